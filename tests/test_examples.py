"""The examples in docstrings are true."""

import ast
import doctest
import importlib
import pkgutil

import pytest

import ringproof
import tasks
import worker

MODULES = sorted(
    module.name
    for package in (ringproof, tasks, worker)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
)

STAND_INS = {"ledger", "client", "roster", "numbers", "number", "environment", "phones"}
"""Names that an example need not define: an example with one of them is only parsed, as it needs a Redis or files."""


def uses_a_stand_in(source):
    return any(isinstance(node, ast.Name) and node.id in STAND_INS for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("name", MODULES)
def test_an_example_has_the_result_that_it_shows(name):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        for example in test.examples:
            example.options[doctest.SKIP] = uses_a_stand_in(example.source)
        runner.run(test)

    assert runner.failures == 0

"""The examples in docstrings are true."""

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


@pytest.mark.parametrize("name", MODULES)
def test_an_example_has_the_result_that_it_shows(name):
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert not outcome.failed

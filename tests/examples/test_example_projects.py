"""The applications of examples/: their own tests, and each outcome of the guide through each of them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.harness import ROOT

from ringproof import errors
from ringproof.settings import Settings
from ringproof.words.catalogue import english

HERE = Path(__file__).parent
EXAMPLES = sorted(folder.name for folder in (ROOT / "examples").iterdir() if (folder / "pyproject.toml").exists())

FEWEST_OUTCOMES = 40

CALLS = re.compile(r"^\| `(?:(?:initiate|confirm)_verification|\.get|\.state).* \| (.*) \|$", re.MULTILINE)
"""A row of the guide's first table: an application's calls, and the errors that they raise."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_application_answers_each_outcome_and_its_own_tests_pass(name, tmp_path):
    """In a folder of its own, as its user has it, and in one process: it has one worker for all tests."""
    project = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, project, ignore=shutil.ignore_patterns("__pycache__", ".*", "db.sqlite3"))
    shutil.copy(HERE / "pages.py", project)
    shutil.copy(HERE / "each_outcome.py", project / "test_each_outcome.py")
    inherited = {key: value for key, value in os.environ.items() if key not in {*Settings.variables(), "SECRET_KEY"}}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=project,
        env=inherited | {"EXAMPLE": name, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "warning" not in done.stdout.splitlines()[-1], done.stdout[-6000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > FEWEST_OUTCOMES


def test_each_error_of_the_guide_has_its_outcome():
    """By the table of sentences in which the error has its own: that of a class above it, if none is its own."""
    page = (ROOT / "docs/guide/results-and-errors.md").read_text()
    named = {name for row in CALLS.findall(page) for name in re.findall(r"\[`(\w+)`\]", row)}
    shown = {next(one.__name__ for one in getattr(errors, name).__mro__ if one.__name__ in english()) for name in named}
    tested = set(re.findall(r'"([A-Z]\w+)(?:\.\w+)?"', (HERE / "each_outcome.py").read_text()))

    assert len(named) > 20
    assert shown - tested == set()

"""The scenarios with several hosts: `make hosts`. pyproject.toml keeps them out of `make test` (`norecursedirs`)."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "faults"), str(TESTS / "benchmarks")]

from machines import why_not  # noqa: E402
from table import Tables, measured_with  # noqa: E402

REASON = why_not()


@pytest.fixture(autouse=True)
def _machines():
    if REASON:
        pytest.skip(REASON)


@pytest.fixture(scope="module")
def tables(request):
    """What a file's scenarios measure. The page gets it if all of them ran, and none failed."""
    tables, load, failed = Tables(), os.getloadavg()[0], request.session.testsfailed
    yield tables
    if not tables.lines:
        return
    began = f"The machine's load was {load:.1f} before, and {os.getloadavg()[0]:.1f} at the end."
    rows = sum(line.startswith("| ") for line in tables.lines) - 1
    is_whole = rows == request.module.SCENARIOS and request.session.testsfailed == failed
    tables.end(f"{measured_with()} {began}", f"output: {request.module.OUTPUT}", writes=is_whole)

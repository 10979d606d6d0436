"""The page on the status explains the lines that the command and the workers write."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operating" / "status.md").read_text()


def first_cells(heading):
    """Return what the first column of the first table below a heading has in backticks."""
    rows = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    return [word for row in rows if row.startswith("| `") for word in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_the_lines_of_the_status_are_those_of_its_view():
    view = (ROOT / "worker/views/sending.py").read_text()

    assert first_cells("The sending") == re.findall(r'^ +"([\w ]+)": ', view, re.MULTILINE)

"""The glossary's third column names files, functions and keys that the code has."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ringproof", "worker", "tasks")


@cache
def source():
    """Return the code of all packages as one text."""
    files = [file for package in PACKAGES for kind in ("*.py", "*.lua") for file in (ROOT / package).rglob(kind)]
    return "\n".join(file.read_text() for file in files)


def glossary():
    """Give each term of the glossary with its name in the code."""
    for line in (ROOT / "docs" / "glossary.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "term":
            yield from ((cells[0], name) for name in re.findall(r"`([^`]+)`", cells[2]))


def is_there(name):
    """Whether a file of this name exists, or the code has its word."""
    if "/" in name:
        return any((ROOT / folder / name).exists() for folder in ("", "ringproof/ledger", "ringproof/ledger/lua"))
    word = re.sub(r"^(\{P\}:|errors\.|ringproof |ringproof\.|celery -A worker |RINGPROOF_)", "", name)
    return re.search(rf"\b{re.match(r'[A-Za-z_]+', word)[0]}\b", source()) is not None


def test_the_names_of_the_glossary_are_in_the_code():
    assert not [f"{term}: {name}" for term, name in glossary() if not is_there(name)]

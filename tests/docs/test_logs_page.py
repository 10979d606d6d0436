"""The page on the logs names the keys, the events and the lines that the code writes."""

import re
from pathlib import Path

from worker.celery.outcome_log import KEYS, Event

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operating" / "logs.md").read_text()


def first_cells(heading):
    """Return what the first column of the table below a heading has in backticks."""
    rows = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    return [word for row in rows if row.startswith("| `") for word in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_the_keys_and_the_events_are_those_of_the_code():
    assert first_cells("Keys") == list(KEYS)
    assert first_cells("Events") == list(Event)


def test_each_event_is_one_that_the_code_logs():
    code = "\n".join(file.read_text() for folder in ("worker", "tasks") for file in (ROOT / folder).rglob("*.py"))

    assert [event for event in Event if f"about(Event.{event.name}," not in code] == []


def test_the_lines_begin_as_the_code_has_them():
    code = "\n".join(file.read_text() for folder in ("worker", "tasks") for file in (ROOT / folder).rglob("*.py"))
    beginnings = [re.match(r"[a-z ]+", line)[0].strip() for line in first_cells("Lines")]

    assert not [words for words in beginnings if words != "code_sent" and f'"{words}' not in code]

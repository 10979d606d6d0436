"""Durations as a person reads them, and lines of JSON as a script does."""

import json
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from ringproof.clock import duration_text
from worker.views.text import counted, json_line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (89, "89 s"), (90, "2 min"), (3_599, "60 min"), (15_600, "4 h 20 min"), (180_000, "2 days 2 h")],
)
def test_a_duration_has_its_two_largest_units(seconds, text):
    assert duration_text(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 rows"), (1, "1 row"), (2_000, "2,000 rows")])
def test_a_count_has_its_noun(count, text):
    assert counted(count, "row") == text


def test_a_line_of_json_has_iso_times_and_durations_in_seconds():
    line = json_line(
        {
            "at": datetime(2031, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC),
            "left": timedelta(seconds=12.5),
            "counts": MappingProxyType({"é": 1}),
            "none": None,
        }
    )

    assert line == json.dumps(
        {"at": "2031-01-02T03:04:05.678+00:00", "left": 12.5, "counts": {"é": 1}, "none": None}, ensure_ascii=False
    )

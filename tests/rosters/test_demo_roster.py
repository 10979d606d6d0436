"""The demo's roster is as clean and as dirty as the documentation says."""

import csv
from collections import Counter
from pathlib import Path

import pytest

import worker.local.demo
from ringproof.errors import InvalidNumber
from ringproof.phone.number import CHANNELS, channel_for, parse

FILE = Path(worker.local.demo.__file__).with_name("roster.csv")


@pytest.fixture(scope="module")
def rows():
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def outcome(row):
    """Return the number and channel of a row without a default region, or the reason of its reject."""
    try:
        number = parse(row["phone"])
        return number, channel_for(number, row["channel"])
    except InvalidNumber as error:
        return error.reason


def test_it_has_two_hundred_rows_of_three_columns(rows):
    assert FILE.read_text(encoding="utf-8").startswith("phone,alias,channel\n")
    assert len(rows) == 200
    assert all(set(row) == {"phone", "alias", "channel"} for row in rows)


def test_every_row_has_a_name_and_a_known_channel(rows):
    assert all(0 < len(row["alias"]) <= 255 and row["alias"].isprintable() for row in rows)
    assert {row["channel"] for row in rows} == set(CHANNELS)
    assert sum(not row["alias"].isascii() for row in rows) > 20


def test_it_has_the_errors_of_real_rosters(rows):
    refused = Counter(reason for row in rows if isinstance(reason := outcome(row), str))

    assert refused.total() * 10 <= len(rows), "ringproof import accepts it"
    assert refused == {
        "excel_number": 4,
        "no_country": 2,
        "not_a_number": 2,  # one blank, one "n/a"
        "extension": 2,
        "impossible": 2,
        "invalid": 2,
        "landline_sms": 2,
        "letters": 2,
        "premium": 2,
    }


def test_six_numbers_appear_twice_in_two_notations(rows):
    written = {}
    for row in rows:
        if not isinstance(result := outcome(row), str):
            written.setdefault(result[0].e164, []).append(row["phone"])
    twice = [notations for notations in written.values() if len(notations) > 1]

    assert len(written) == 174
    assert len(twice) == 6
    assert all(len(set(notations)) == len(notations) == 2 for notations in twice)


def test_it_has_numbers_of_53_countries_and_of_both_channels(rows):
    good = [result for row in rows if not isinstance(result := outcome(row), str)]

    assert len({number.country for number, _ in good}) == 53
    assert 12 <= Counter(channel for _, channel in good)["call"] <= 14, "at Plivo's two calls a second, the demo waits"
    assert sum(number.landline for number, _ in good) >= 8

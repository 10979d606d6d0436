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
        next(file)  # the title
        return list(csv.DictReader(file, strict=True))


def outcome(row):
    """Return the number and channel of a row without a default region, or the reason of its reject."""
    try:
        number = parse(row["phone"])
        return number, channel_for(number, row["channel"])
    except InvalidNumber as error:
        return error.reason


def test_it_has_two_hundred_rows_of_four_columns_below_a_title(rows):
    title, header = FILE.read_text(encoding="utf-8").split("\n")[:2]

    assert title.rstrip(",").startswith('"Contacts of all branches')
    assert header == "phone,alias,channel,note"
    assert len(rows) == 200
    assert all(set(row) == {"phone", "alias", "channel", "note"} for row in rows)


def test_it_has_notes_of_several_lines_and_a_number_in_a_note(rows):
    notes = [row["note"] for row in rows if "\n" in row["note"]]

    assert len(notes) == 3
    assert "+1 415 555 0199" in notes[0]
    assert all(row["phone"] != "+1 415 555 0199" for row in rows)


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
        "not_a_number": 2,  # one blank, one "n/a": an import reports them as empty
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

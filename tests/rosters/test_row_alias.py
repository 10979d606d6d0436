"""A row of a roster is never lost for its alias: the alias is cleaned, and counted."""

import io
import json

import pytest

from ringproof.rosters.roster import open_roster, roster_of
from ringproof.rosters.row import Row

ONE, TWO, THREE = "+14155552671", "+442083661177", "+4915112345678"
SUBACCOUNT = "SA" + "X7" * 9

ALIASES = {
    "Front\ndesk": ("Front desk", 1),
    "Büro\r\nOst": ("Büro Ost", 1),
    "a\x07b": ("ab", 1),
    "a\0b": ("ab", 1),
    "佐藤\u2028恵": ("佐藤 恵", 1),
    "x" * 256: ("x" * 255, 1),
    "\x01": (None, 1),
    "\u00a0Ada\u00a0Lovelace\u00a0": ("Ada Lovelace", 0),
    "می\u200cخواهم": ("می\u200cخواهم", 0),
    "👨\u200d👩\u200d👧": ("👨\u200d👩\u200d👧", 0),
    "\u202aAda\u202c": ("Ada", 0),
    "\u200e": (None, 0),
    " ": (None, 0),
}


def read(roster):
    with roster:
        rows = list(roster)
    assert all(isinstance(row, Row) for row in rows)
    return rows, roster.cleaned_aliases


@pytest.mark.parametrize(("written", "expected"), ALIASES.items(), ids=lambda part: ascii(part)[:20])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_alias_of_a_csv_row_is_cleaned_and_counted(written, expected, delimiter):
    fields = [["Phone", "Name"], [ONE, "Ada"], [THREE, '"' + written + '"'], [THREE, "Bob"]]
    data = "".join(delimiter.join(row) + "\n" for row in fields).encode()

    rows, cleaned = read(open_roster(io.BytesIO(data), mapping={"alias": "Name"}))

    assert [row.alias for row in rows] == ["Ada", expected[0], "Bob"]
    assert cleaned == expected[1]


@pytest.mark.parametrize(("written", "expected"), ALIASES.items(), ids=lambda part: ascii(part)[:20])
def test_the_alias_of_a_json_row_is_cleaned_and_counted(written, expected):
    data = "".join(json.dumps({"phone": ONE, "alias": alias}) + "\n" for alias in ("Ada", written))

    rows, cleaned = read(open_roster(io.BytesIO(data.encode())))

    assert ([row.alias for row in rows], cleaned) == (["Ada", expected[0]], expected[1])


@pytest.mark.parametrize(
    ("alias", "kept", "cleaned"),
    [
        (7, "7", 0),
        (7.0, "7", 0),
        (7.5, "7.5", 0),
        (float("nan"), None, 0),
        (None, None, 0),
        (float("inf"), None, 1),
        (10**400, None, 1),
        (True, None, 1),
        (["Ada"], None, 1),
        ({"first": "Ada"}, None, 1),
        (b"Ada", None, 1),
        ("\ud83d", None, 1),
    ],
    ids=lambda part: ascii(part)[:20],
)
def test_a_row_from_python_may_have_any_value_as_its_alias(alias, kept, cleaned):
    rows, count = read(roster_of([{"phone": ONE, "alias": alias}]))

    assert ([row.alias for row in rows], count) == ([kept], cleaned)


def test_an_empty_cell_of_a_data_frame_is_absent():
    nan = float("nan")
    rows, cleaned = read(roster_of([{"phone": ONE, "alias": nan, "channel": nan, "subaccount": nan}], channel="Call"))

    assert [(row.alias, row.channel, row.subaccount) for row in rows] == [(None, "call", None)]
    assert cleaned == 0


def test_only_accepted_rows_are_counted_as_cleaned():
    roster = roster_of(
        [
            {"phone": "n/a", "alias": "a\nb"},
            {"phone": ONE, "alias": "a\nb", "channel": "fax"},
            {"phone": ONE, "alias": "a\nb", "subaccount": "SA1"},
            {"phone": ONE, "alias": "a\nb", "subaccount": SUBACCOUNT},
        ]
    )

    assert [isinstance(row, Row) for row in roster] == [False, False, False, True]
    assert (roster.accepted, roster.cleaned_aliases) == (1, 1)


@pytest.mark.parametrize("written", ["Call", "CALL", " call\u00a0"])
def test_a_channel_in_capitals_is_the_same_channel(written):
    rows, _ = read(roster_of([{"phone": ONE, "channel": written}, TWO], channel=written))

    assert [row.channel for row in rows] == ["call", "call"]

"""The codes of the last minute, and what took the slots, from the counts that the scripts keep."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support.number_in_ledger import Book

from ringproof.ledger.last_minute import NOTES, last_minute, note_minute

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
NOW_MS = int(NOON.timestamp() * 1000)
METRICS = {
    "outcome US code_sent - sms bulk": "1000",
    "outcome CA code_sent - call bulk": "200",
    "outcome US code_sent - sms interactive": "9",
    "outcome US failed rejected sms bulk": "7",
    "slot - bulk sms": "1210",
    "slot - question sms": "13",
    "junk": "x",
}


def note(seconds_ago, **counts):
    return json.dumps({"at": NOW_MS - seconds_ago * 1000} | {name.replace("_", " "): n for name, n in counts.items()})


def test_the_note_of_a_minute_ago_is_compared_with():
    notes = [note(5, code_bulk=1190), note(58, code_bulk=700, slot_bulk=705), note(70, code_bulk=1)]
    found = last_minute(NOON, METRICS, notes)

    assert found.seconds == 58
    assert found.codes == {"bulk": 500, "interactive": 9}
    assert found.slots == {"bulk": 505, "question": 13}


def test_without_a_note_so_old_it_is_less_than_a_minute_and_without_a_sweep_more():
    assert last_minute(NOON, METRICS, [note(12, code_bulk=1100)]).seconds == 12
    assert last_minute(NOON, METRICS, [note(300, code_bulk=1100), note(310, code_bulk=0)]).seconds == 300


def test_no_count_is_negative_after_redis_was_emptied():
    assert last_minute(NOON, {}, [note(60, code_bulk=1100)]).codes == {}
    assert last_minute(NOON, METRICS, [note(60, code_bulk=9999)]).codes["bulk"] == 0


@pytest.mark.parametrize("notes", [[], ["junk"], ["[]"], ['{"at": "x"}'], ["{}"]])
def test_without_a_note_nothing_is_known(notes):
    assert last_minute(NOON, METRICS, notes) is None


def test_the_sweep_notes_the_counts_every_ten_seconds_and_keeps_a_minute_of_them(client):
    book = Book(client)
    for _ in range(NOTES + 3):
        note_minute(book.ledger)
        note_minute(book.ledger)
        book.move(timedelta(seconds=10.5))
    notes = client.lrange(book.ledger.keys.minute, 0, -1)
    moments = [json.loads(one)["at"] for one in notes]

    assert len(notes) == NOTES
    assert moments == sorted(moments, reverse=True)
    assert last_minute(book.ledger.now(), {}, notes).seconds < 70

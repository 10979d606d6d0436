"""What processes say of their work, and what the ticks did: a reader takes what it knows, and leaves out the rest."""

import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ringproof.ledger.activity import (
    TICKS_KEPT,
    Activity,
    Sender,
    end_activity,
    is_process_of,
    note_activity,
    note_tick,
    process_id,
    read_activities,
    read_ticks,
    sender_of,
)
from ringproof.ledger.heartbeats import Heartbeat, beat
from ringproof.ledger.keys import PREFIXES
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record, State
from worker.celery.tick_notes import TickNotes

SECOND = timedelta(seconds=1)


@pytest.fixture
def own(client):
    """A ledger that no worker uses."""
    own = Ledger(client, prefix=f"t{secrets.token_hex(4)}")
    yield own
    client.delete(own.keys.heartbeats, own.keys.activity, own.keys.ticks)
    client.hdel(PREFIXES, own.keys.prefix)


def activities(ledger):
    return read_activities(ledger.client.hgetall(ledger.keys.activity))


def ticks(ledger):
    return read_ticks(ledger.client.hgetall(ledger.keys.ticks))


def test_an_activity_is_read_as_it_was_written(own):
    facts = {"worker": "bulk@vm", "in_hand": 7, "sending": 3, "sent": 40, "missed_slots": 2}
    failing = {"unreachable_count": 4, "unreachable_why": "no connection: refused"}
    note_activity(own, "bulk@vm/12", facts | failing, {"last_sent": SECOND, "unreachable_since": 9 * SECOND})
    (read,) = activities(own)

    assert (read.process, read.id, read.worker, read.pid) == ("bulk@vm/12", process_id("bulk@vm/12"), "bulk@vm", 12)
    assert (read.in_hand, read.sending, read.sent, read.missed_slots) == (7, 3, 40, 2)
    assert read.last_sent == read.at - SECOND
    assert (read.unreachable.since, read.unreachable.count) == (read.at - 9 * SECOND, 4)
    assert read.unreachable.why == "no connection: refused"
    end_activity(own, "bulk@vm/12")
    assert activities(own) == []


@pytest.mark.parametrize("value", [None, "x", -7, True, [], {}, 1e300], ids=json.dumps)
def test_an_activity_of_another_version_is_read_as_far_as_it_is_known(value):
    names = [*Activity.__dataclass_fields__, "unreachable_since", "unreachable_count", "unreachable_why"]
    (read,) = read_activities({"x": json.dumps(dict.fromkeys(names, value) | {"at": 1})})

    assert (read.in_hand, read.sending, read.sent, read.missed_slots) == (0, 0, 0, 0)
    assert (read.last_sent, read.unreachable, read.pid) == (None, None, None)


def test_the_sender_of_a_number_is_the_process_whose_id_its_fence_begins_with(own):
    for process in ("bulk@vm/12", "bulk@vm/13"):
        note_activity(own, process, {"worker": "bulk@vm"}, {})
    record = Record("+14155550123", State.SENDING, 1, fence=process_id("bulk@vm/13") + "0a1b2c")

    assert sender_of(own, record) == Sender("bulk@vm", None, 13)
    beat(own, "bulk@vm", {"kind": "worker", "host": "machine"})
    assert sender_of(own, record) == Sender("bulk@vm", "machine", 13)
    assert sender_of(own, Record("+14155550123", State.SENDING, 1, fence="0" * 20)) is None
    assert sender_of(own, Record("+14155550123", State.CODE_SENT, 1, fence=record.fence)) is None


@pytest.mark.parametrize(
    ("process", "seconds_after_start", "is_its_own"),
    [("bulk@vm/31", 5, True), ("bulk@vm/12", 5, True), ("bulk@vm/30", 5, False), ("bulk@vm/31", -5, False)],
)
def test_what_a_killed_process_has_left_is_of_no_worker_that_lives(process, seconds_after_start, is_its_own):
    started = datetime(2026, 11, 30, tzinfo=UTC)
    alive = Heartbeat("bulk@vm", started + 60 * SECOND, pid=12, children=(31, 32), started=started)
    left = Activity(process, started + seconds_after_start * SECOND, worker="bulk@vm", in_hand=7)

    assert is_process_of(left, alive) is is_its_own
    assert not is_process_of(left, replace(alive, worker="people@vm"))


def test_a_tick_is_noted_with_what_it_did_and_for_how_long_and_kept_for_a_week(own):
    note_tick(own, "sweep", took=timedelta(milliseconds=12), what="3 expired", worker="ticks@vm")
    tick = ticks(own)["sweep"]

    assert (tick.ms, tick.what, tick.worker) == (12.0, "3 expired", "ticks@vm")
    assert abs(own.now() - tick.at) < 60 * SECOND
    assert 0 < own.client.ttl(own.keys.ticks) <= TICKS_KEPT.total_seconds()


def test_a_tick_that_does_nothing_is_not_noted_each_time(own, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("worker.celery.tick_notes.time.monotonic", lambda: now)
    notes = TickNotes("sweep")
    notes.write(own, now, "")
    assert ticks(own)["sweep"].what == "nothing to do"

    own.client.delete(own.keys.ticks)
    now += 5
    notes.write(own, now, "")
    assert ticks(own) == {}
    notes.write(own, now, "3 expired")
    assert ticks(own)["sweep"].what == "3 expired"
    now += 10
    notes.write(own, now, "")
    assert ticks(own)["sweep"].what == "nothing to do"

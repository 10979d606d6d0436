"""A sweep notices that Redis has lost its memory of some time."""

from datetime import UTC, datetime, timedelta

import pytest
from support.number_in_ledger import Book

from ringproof.ledger.gaps import KEPT, Gap, Memory, note_gap, read_gap
from ringproof.ledger.queues import SWEEP_TICK, Claim, claim_tick

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def claims(*pairs):
    """What one process finds at its claims: each is when it was made, and when the one before was, by Redis."""
    memory = Memory()
    return [memory.compare(Claim(at(made), None if before is None else at(before))) for made, before in pairs]


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([(0, None), (1, 0), (2, 1)], None),
        ([(0, None), (1, 0), (5, 4)], None),  # another process has swept
        ([(0, None), (300, 0)], None),  # beat was away; Redis remembers all the same
        ([(0, None), (100, 0), (110, -600)], Gap(at(-600), at(100), is_sure=True)),
        ([(0, None), (1, 0), (2, None)], Gap(None, at(1), is_sure=True)),
        ([(0, -50)], None),
        ([(0, -7200)], Gap(at(-7200), at(0), is_sure=False)),
        ([(0, None), (100, 0), (50, -10)], None),  # Redis' clock was set back
    ],
)
def test_what_a_process_remembers_and_redis_does_not_is_a_gap(pairs, found):
    assert claims(*pairs)[-1] == found


def test_a_gap_is_noted_for_an_hour_and_junk_is_none(client):
    ledger = Book(client).ledger
    for gap in (Gap(at(-600), at(100), is_sure=True), Gap(None, at(1), is_sure=False)):
        note_gap(ledger, gap)

        assert read_gap(client.get(ledger.keys.gap)) == gap
    assert timedelta() < timedelta(milliseconds=client.pttl(ledger.keys.gap)) <= KEPT
    assert [read_gap(note) for note in (None, "", "junk", "[]", '{"ended": "x"}')] == [None] * 5


def test_a_claim_has_the_time_of_the_one_before(client):
    book = Book(client)
    first = claim_tick(book.ledger, SWEEP_TICK, timedelta(seconds=1))
    book.move(timedelta(seconds=30))
    second = claim_tick(book.ledger, SWEEP_TICK, timedelta(seconds=1))

    assert first.before is None
    assert second.before == first.at
    assert timedelta(seconds=30) <= second.at - first.at < timedelta(seconds=40)
    assert claim_tick(book.ledger, SWEEP_TICK, timedelta(seconds=1)) is None

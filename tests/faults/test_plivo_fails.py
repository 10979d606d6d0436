"""Every way in which Plivo can fail: each alone, and all of them over a thousand numbers."""

from datetime import timedelta

import pytest
from checker import check
from harness import eventually
from world import LONG, SETTLED, World

from worker import control
from worker.local.misfortunes import Kind
from worker.record import Reason, State

NUMBERS = 1000 if LONG else 250
ANSWER_SECONDS = 1.0

SENT_AND_UNKNOWN = {
    *(kind for kind in Kind if kind.endswith("_after") and kind is not Kind.UNAVAILABLE_RETRY_AFTER),
    Kind.RESET_IN_BODY,
    Kind.EMPTY,
    Kind.HTML,
    Kind.TRUNCATED,
    Kind.WITHOUT_UUID,
    Kind.ASYNC,
    Kind.ERROR_IN_200,
    Kind.TRICKLE,
    Kind.FLOOD,
}
UNKNOWN = {
    *SENT_AND_UNKNOWN,
    Kind.FAILS_BEFORE,
    Kind.BAD_GATEWAY_BEFORE,
    Kind.GATEWAY_TIMEOUT_BEFORE,
    Kind.UNAVAILABLE_BARE,
    Kind.TIMEOUT_BEFORE,
    Kind.RESET_BEFORE,
    Kind.REDIRECT,
}
WAITS = {
    Kind.UNAVAILABLE: Reason.UNREACHABLE,
    Kind.UNAVAILABLE_RETRY_AFTER: Reason.UNREACHABLE,
    Kind.THROTTLED: Reason.PACE,
    Kind.THROTTLED_SECONDS: Reason.PACE,
    Kind.THROTTLED_DATE: Reason.PACE,
    Kind.THROTTLED_JUNK: Reason.PACE,
    Kind.UNAUTHORIZED: Reason.PAUSED,
}
"""Not sent, and tried again by itself."""
FAILS = {Kind.REJECTED: Reason.REJECTED, Kind.OUT_OF_CREDIT: Reason.FORBIDDEN, Kind.FORBIDDEN: Reason.FORBIDDEN}
FIRST = {
    Kind.REJECTED: (State.FAILED, Reason.REJECTED),
    Kind.OUT_OF_CREDIT: (State.WAITING, Reason.PAUSED),
    Kind.FORBIDDEN: (State.WAITING, Reason.PAUSED),
}
"""What fails waits until another number tells whether it was the account; only a 400 is surely the number's own."""
ENDS = {State.CODE_SENT, State.EXPIRED, State.FAILED}
ONE_BY_ONE = [kind for kind in Kind if kind is not Kind.REFUSED]


@pytest.fixture
def world(tmp_path):
    with World(
        tmp_path, FAULTS_ANSWER_SECONDS=str(ANSWER_SECONDS), durations={"lease": 8.0, "first_byte": 4.0}
    ) as world:
        yield world


def expected(kind):
    """The states that an initiate ends in which this befalls."""
    if kind in UNKNOWN:
        return State.IN_DOUBT
    if kind in WAITS:
        return State.WAITING
    return State.FAILED if kind in FAILS else State.CODE_SENT


def test_each_alone(world):
    """It befalls one number, which is told of it; then the others go on."""
    numbers = {}
    world.start(children=4)
    for kind in ONE_BY_ONE:
        (number,) = numbers[kind] = world.accept(1)
        world.plivo.befall(kind, number=number)
        world.send(number)
        told = world.until(number, *SETTLED, State.WAITING)
        assert (kind, told.state, told.reason) == (kind, *FIRST.get(kind, (expected(kind), WAITS.get(kind))))
        assert len(world.plivo.sends(number)) == int(kind in SENT_AND_UNKNOWN or kind is Kind.CLOSED_IDLE)
        goes_on(world)
    check(world)

    world.until_doubts_are_over(within=60)

    numbers = {kind: number for kind, (number,) in numbers.items()}
    assert {kind: world.ledger.read(number).reason for kind, number in numbers.items() if kind in FAILS} == FAILS
    codes = {kind: len(world.plivo.sends(number)) for kind, number in numbers.items()}
    assert codes == {kind: 0 if kind in FAILS else 2 if kind in SENT_AND_UNKNOWN else 1 for kind in ONE_BY_ONE}
    check(world)


def goes_on(world):
    """After what was paused or closed for it, the next number gets its code."""
    control.resume(world.ledger)  # or Plivo would be asked about the credentials in half a minute
    eventually(lambda: not world.client.hexists("ringproof:pauses", "credentials"))
    world.move(timedelta(seconds=10))
    (other,) = world.enqueue(1)
    world.until(other, State.CODE_SENT)


def test_all_of_them_at_thirty_percent(world):
    kinds = [kind for kind in ONE_BY_ONE if kind not in {Kind.TIMEOUT_BEFORE, Kind.TIMEOUT_AFTER, Kind.TRICKLE} or LONG]
    left = 1.0
    for kind in kinds:  # each share is one of what the earlier ones have left
        share = 0.3 / len(kinds)
        world.plivo.befall(kind, share=share / left)
        left -= share
    world.start(children=12)
    world.enqueue(NUMBERS)
    world.hurry_until(lambda: not world.states()[State.QUEUED] and len(world.plivo.requests()) >= NUMBERS, within=150)
    befallen = [bool(request["misfortune"]) for request in world.plivo.requests()]

    assert 0.2 < sum(befallen) / len(befallen) < 0.4
    check(world)

    world.plivo.spare()
    control.resume(world.ledger)
    world.move(timedelta(minutes=16))
    world.hurry_until(lambda: not set(world.states()) - ENDS, within=60)

    assert sum(world.states().values()) == NUMBERS
    check(world)

"""Every way in which Plivo can fail: each alone, and all of them over a thousand numbers."""

import pytest
from checker import check
from world import LONG, SETTLED, World

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
ONE_BY_ONE = [kind for kind in Kind if kind is not Kind.REFUSED]


@pytest.fixture
def world(tmp_path):
    with World(tmp_path, FAULTS_ANSWER_SECONDS=str(ANSWER_SECONDS), durations={"lease": 4.0}) as world:
        yield world


def expected(kind):
    """The states that an initiate ends in which this befalls."""
    if kind in UNKNOWN:
        return State.IN_DOUBT
    if kind in WAITS:
        return State.WAITING
    return State.FAILED if kind in FAILS else State.CODE_SENT


def test_each_alone(world):
    numbers = dict(zip(ONE_BY_ONE, world.accept(len(ONE_BY_ONE)), strict=True))
    for kind, number in numbers.items():
        world.plivo.befall(kind, number=number)
    world.start(children=12)
    world.send(*numbers.values())
    told = {kind: world.until(number, *SETTLED, State.WAITING) for kind, number in numbers.items()}

    assert {kind: record.state for kind, record in told.items()} == {kind: expected(kind) for kind in ONE_BY_ONE}
    for kind, record in told.items():
        assert record.reason == (WAITS | FAILS).get(kind), kind
        assert len(world.plivo.sends(record.phone_number)) == int(kind in SENT_AND_UNKNOWN or kind is Kind.CLOSED_IDLE)
    check(world)

    world.until_doubts_are_over(within=60)

    codes = {kind: len(world.plivo.sends(number)) for kind, number in numbers.items()}
    assert codes == {kind: 0 if kind in FAILS else 2 if kind in SENT_AND_UNKNOWN else 1 for kind in ONE_BY_ONE}
    check(world)


def test_all_of_them_at_thirty_percent(world):
    kinds = [kind for kind in ONE_BY_ONE if kind not in {Kind.TIMEOUT_BEFORE, Kind.TIMEOUT_AFTER, Kind.TRICKLE} or LONG]
    left = 1.0
    for kind in kinds:  # each share is one of what the earlier ones have left
        share = 0.3 / len(kinds)
        world.plivo.befall(kind, share=share / left)
        left -= share
    world.start(children=12)
    world.enqueue(NUMBERS)
    world.until_settled(within=110, states=SETTLED | {State.WAITING})
    befallen = sum(1 for request in world.plivo.requests() if request["misfortune"])

    assert 0.2 * NUMBERS < befallen < 0.4 * NUMBERS
    check(world)

    world.plivo.spare()
    world.until_doubts_are_over(within=60)

    states = world.states()
    assert states[State.CODE_SENT] + states[State.EXPIRED] + states[State.FAILED] == NUMBERS
    check(world)

"""Every way in which Plivo can fail: each alone, and all of them over a thousand numbers."""

import time
from collections import Counter
from datetime import timedelta

import pytest
from batches_of import agrees, import_rows
from checker import check
from support.harness import LONG, eventually, fresh_number
from world import SETTLED, World

from ringproof.batches.model import BatchState
from ringproof.batches.summary import batch_summary
from ringproof.ledger import control
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Rate
from worker.local.sandbox.misfortunes import MisfortuneKind

LOADS = {"numbers": (1000, 0.3), "batch": (5000, 0.06)} if LONG else {"numbers": (250, 0.3)}
"""How many, and the share of requests that something befalls: as many pauses to wait out for the batch, too."""
ANSWER_SECONDS = 3.0  # beyond what a busy machine needs for an answer

SENT_AND_UNKNOWN = {
    *(
        kind
        for kind in MisfortuneKind
        if kind.endswith("_after") and kind is not MisfortuneKind.UNAVAILABLE_RETRY_AFTER
    ),
    MisfortuneKind.RESET_IN_BODY,
    MisfortuneKind.EMPTY,
    MisfortuneKind.HTML,
    MisfortuneKind.TRUNCATED,
    MisfortuneKind.WITHOUT_UUID,
    MisfortuneKind.ASYNC,
    MisfortuneKind.ERROR_IN_200,
    MisfortuneKind.TRICKLE,
    MisfortuneKind.FLOOD,
}
UNKNOWN = {
    *SENT_AND_UNKNOWN,
    MisfortuneKind.FAILS_BEFORE,
    MisfortuneKind.BAD_GATEWAY_BEFORE,
    MisfortuneKind.GATEWAY_TIMEOUT_BEFORE,
    MisfortuneKind.UNAVAILABLE_BARE,
    MisfortuneKind.TIMEOUT_BEFORE,
    MisfortuneKind.RESET_BEFORE,
    MisfortuneKind.REDIRECT,
}
WAITS = {
    MisfortuneKind.UNAVAILABLE: Reason.UNREACHABLE,
    MisfortuneKind.UNAVAILABLE_RETRY_AFTER: Reason.UNREACHABLE,
    MisfortuneKind.THROTTLED: Reason.PACE,
    MisfortuneKind.THROTTLED_SECONDS: Reason.PACE,
    MisfortuneKind.THROTTLED_DATE: Reason.PACE,
    MisfortuneKind.THROTTLED_JUNK: Reason.PACE,
    MisfortuneKind.UNAUTHORIZED: Reason.PAUSED,
    MisfortuneKind.OUT_OF_CREDIT: Reason.REFUSED,
}
"""Not sent, and tried again by itself."""
FAILS = {
    MisfortuneKind.REJECTED: Reason.REJECTED,
    MisfortuneKind.FORBIDDEN: Reason.FORBIDDEN,
}
FIRST = {
    MisfortuneKind.REJECTED: (State.FAILED, Reason.REJECTED),
    MisfortuneKind.FORBIDDEN: (State.WAITING, Reason.REFUSED),
}
"""Plivo took codes of this country before, so that a 403 waits for two seconds, to see if it was the account."""
ENDS = {State.CODE_SENT, State.EXPIRED, State.FAILED}
ONE_BY_ONE = [kind for kind in MisfortuneKind if kind is not MisfortuneKind.REFUSED]


@pytest.fixture
def world(tmp_path):
    with World(
        tmp_path, FAULTS_ANSWER_SECONDS=str(ANSWER_SECONDS), durations={"lease": 20.0, "first_byte": 10.0}
    ) as world:
        yield world


def expected(kind):
    """The states that an initiate ends in which this befalls."""
    if kind in UNKNOWN:
        return State.IN_DOUBT
    if kind in WAITS:
        return State.WAITING
    return State.FAILED if kind in FAILS else State.CODE_SENT


def test_each_misfortune_of_plivo_alone_ends_as_expected(world):
    """It befalls one number, whose record says so; then the others go on."""
    numbers = {}
    world.start(children=4)
    for kind in ONE_BY_ONE:
        (number,) = numbers[kind] = world.accept(1)
        world.plivo.befall(kind, number=number)
        world.send(number)
        record = world.until(number, *SETTLED, State.WAITING)
        assert (kind, record.state, record.reason) == (kind, *FIRST.get(kind, (expected(kind), WAITS.get(kind))))
        assert len(world.plivo.sends(number)) == int(kind in SENT_AND_UNKNOWN or kind is MisfortuneKind.CLOSED_IDLE)
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


@pytest.mark.long
@pytest.mark.timeout(600 if LONG else 300)
@pytest.mark.parametrize("load", LOADS)
def test_all_misfortunes_of_plivo_together_lose_and_double_nothing(world, load):
    count, befallen_share = LOADS[load]
    kinds = [
        kind
        for kind in ONE_BY_ONE
        if kind not in {MisfortuneKind.TIMEOUT_BEFORE, MisfortuneKind.TIMEOUT_AFTER, MisfortuneKind.TRICKLE} or LONG
    ]
    left = 1.0
    for kind in kinds:  # each share is one of what the earlier ones have left
        share = befallen_share / len(kinds)
        world.plivo.befall(kind, share=share / left)
        left -= share
    world.start(children=12)
    if load == "batch":
        import_rows(world, "spring", [fresh_number() for _ in range(count)])
    else:
        world.enqueue(count)
    world.hurry_until(
        lambda: not {State.QUEUED, None} & set(world.states()) and len(world.plivo.requests()) >= count, within=300
    )
    befallen = [bool(request["misfortune"]) for request in world.plivo.requests()]

    assert 0.5 < sum(befallen) / len(befallen) / befallen_share < 1.5, "five standard deviations of chance"
    check(world)

    world.plivo.spare()
    control.resume(world.ledger)
    world.move(timedelta(minutes=16))
    world.hurry_until(lambda: not set(world.states()) - ENDS, within=150)

    assert sum(world.states().values()) == count
    check(world)
    if load == "batch":
        found = eventually(lambda: (now := agrees(world, "spring")).state is BatchState.COMPLETED and now)
        outcomes = Counter(outcome.partition(":")[0] for outcome in Counter(found.outcomes).elements())
        assert outcomes == Counter(str(state) for state in world.states().elements())


PACE = "60/5s"


@pytest.fixture
def paced(tmp_path):
    """A pace that a busy machine keeps up with, and a Plivo that refuses two countries."""
    with World(tmp_path, durations={"lease": 20.0, "enqueue_again": 30.0}, RINGPROOF_RATE=PACE) as world:
        world.plivo.switch(limit=60, window_seconds=5, refused=["+55", "+91"])
        yield world


def test_a_country_that_plivo_refuses_takes_nothing_from_the_others(paced):
    """A quarter of a roster is refused: the others go on, and a person is sent to at once.

    The limits leave room for a busy machine; tests/ledger/test_destinations.py measures the pace in simulated time.
    """
    ours, theirs = [fresh_number() for _ in range(60)], [f"+55119{60000000 + nth}" for nth in range(20)]
    mixed = [number for four in zip(ours[::3], ours[1::3], ours[2::3], theirs, strict=True) for number in four]
    paced.start(children=8)
    (first,) = paced.enqueue(1, Lane.INTERACTIVE)
    paced.until(first, State.CODE_SENT)
    import_rows(paced, "spring", mixed)
    eventually(lambda: len(paced.plivo.sends()) > 10)
    asked = time.monotonic()
    (person,) = paced.enqueue(1, Lane.INTERACTIVE)
    paced.until(person, State.CODE_SENT)
    waited = time.monotonic() - asked
    eventually(lambda: len(paced.plivo.sends()) == 62)
    sent = [send["at"] for send in paced.plivo.sends() if send["phone_number"] in set(ours)]
    status = control.sending_status(paced.ledger)
    shown = batch_summary(paced.ledger, "spring")

    assert max(sent) - min(sent) <= 2 * 62 * Rate.parse(PACE).spacing_us / 1e6
    assert waited <= 3.0
    assert ([one.name for one in status.refused_destinations], status.pauses) == (["BR"], ())
    assert "Plivo refuses BR (403)" in shown.held_back_by
    assert shown.outcomes["code_sent"] == 60
    assert paced.plivo.counts()["refused_429"] == 0
    check(paced)

    paced.plivo.switch(refused=[])
    control.resume(paced.ledger)
    eventually(lambda: not control.sending_status(paced.ledger).refused_destinations)
    eventually(lambda: agrees(paced, "spring").state is BatchState.COMPLETED)
    check(paced)


@pytest.mark.long
def test_a_roster_of_refused_rows_alone_is_completed(paced):
    paced.start(children=4)
    import_rows(paced, "spring", [f"+9198765432{nth}0" for nth in range(3)])

    found = eventually(lambda: (now := agrees(paced, "spring")).state is BatchState.COMPLETED and now)
    assert found.outcomes == {"failed:forbidden": 3}
    check(paced)

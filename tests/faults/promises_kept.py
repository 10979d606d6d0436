"""The checker of the histories: it knows the promises, what was asked for, and what Plivo has seen."""

import itertools
from collections.abc import Iterator
from typing import Any

from strict_plivo import CODE_SECONDS

from ringproof.batches.summary import recount
from ringproof.events.event import Event
from ringproof.ledger.record import Reason, Record, State

COOLDOWN_SECONDS = 60.0
NEWCOMER_SECONDS = 16.0
"""When all is well again, so soon a newcomer gets a code."""

ON_ITS_WAY_SECONDS = 80.0
"""A request whose worker was frozen at its first byte takes so long. If its number is erased then, nobody knows later
when that code was sent."""

DEADLINE_SECONDS = 15 * 60.0
"""How long a person's request may wait for its send."""


def broken_at_plivo(history: Any) -> list[str]:
    """Return what Plivo has seen of a broken promise so far."""
    return [*_two_live_codes(history), *_over_the_limit(history)]


def broken(history: Any) -> list[str]:
    """Return each broken promise of a history that has ended."""
    return [
        *broken_at_plivo(history),
        *_lost(history),
        *_batches_without_an_end(history),
        *_not_verified(history),
        *_newcomer(history),
        *_without_an_event(history),
    ]


def _over_the_limit(history: Any) -> Iterator[str]:
    """A window had too many requests."""
    yield from (f"over the limit: {text}" for _, text in history.plivo.beyond_limit)


def _two_live_codes(history: Any) -> Iterator[str]:
    """Two codes of a number lived at once, and no person had asked for another one in between."""
    for number, codes in history.plivo.codes.items():
        for earlier, later in itertools.pairwise(codes):
            asked = any(earlier.at <= at <= later.at for at in history.resends[number])
            died = earlier.used_at or earlier.at + CODE_SECONDS
            if later.at < died and not asked:
                yield f"two live codes for {number}: at {earlier.at:.2f} and {later.at:.2f}"
            erased = any(earlier.at - ON_ITS_WAY_SECONDS < at < later.at for at in history.erasures[number])
            if asked and not erased and later.at - earlier.at < COOLDOWN_SECONDS - 1:
                yield f"a resend within the cooldown for {number}: at {earlier.at:.2f} and {later.at:.2f}"


def _lost(history: Any) -> Iterator[str]:
    """A number that a person asked for has no end, or one that nothing has brought about."""
    left = history.client.zrange(history.ledger.keys.agenda, 0, -1)
    yield from (f"{number} is still on the agenda: {history.ledger.read(number)!r}" for number in left)
    for number in history.requests:
        record = history.ledger.read(number)
        if record is None:
            if not history.erasures[number]:
                yield f"{number} is lost"
        elif not record.state.is_final:
            yield f"{number} has no end: {record}"
        elif record.state is State.VERIFIED and number not in history.plivo.verified:
            yield f"{number} is verified, and Plivo does not have it"
        elif record.state is State.CANCELLED and number not in history.cancelled and not history.erasures[number]:
            yield f"{number} is cancelled, and nobody cancelled it"
        elif record.state is State.FAILED:
            yield from _failed_for_nothing(history, number, record)


def _failed_for_nothing(history: Any, number: str, record: Record) -> Iterator[str]:
    country = {text for other, texts in history.plivo.answers.items() if other[:3] == number[:3] for text in texts}
    if not record.reason:
        yield f"{number} failed without a reason"
    elif record.reason is Reason.TOO_LATE and history.time.now - history.asked.get(number, 0.0) < DEADLINE_SECONDS - 60:
        yield f"{number} is too late, and was asked for a moment ago"
    elif record.reason is Reason.REJECTED and not history.plivo.answers[number] & {"400", "404"}:
        yield f"{number} was rejected, and Plivo never rejected it"
    elif record.reason is Reason.FORBIDDEN and not country & {"402", "403"}:
        yield f"{number} is forbidden, and Plivo never refused its country"


def _batches_without_an_end(history: Any) -> Iterator[str]:
    for name in history.batches:
        kept, counted = recount(history.ledger, name)
        if kept != counted:
            yield f"batch {name} counts {kept}, and its rows are {counted}"
        if kept.unfinished:
            yield f"batch {name} has no end: {kept}"


def _not_verified(history: Any) -> Iterator[str]:
    """A number is verified at Plivo, and here it is not."""
    for number in history.plivo.verified:
        record = history.ledger.read(number)
        if record and not record.is_verified:
            yield f"{number} is verified at Plivo, and here it is {record!r}"


def _without_an_event(history: Any) -> Iterator[str]:
    """The last event of a number does not say where the number stands. A cancelled request makes no event."""
    entries = history.client.xrange(history.ledger.keys.outbox)
    last = {one.phone_number: one for one in (Event.unpack(place, fields) for place, fields in entries)}
    erased = {number for number, at in history.erasures.items() if at}
    for number in {*history.requests, *itertools.chain(*history.batches.values())} - erased:
        record, event = history.ledger.read(number), last.get(number)
        if record is None or record.state is State.CANCELLED:
            continue
        # If nobody has entered a resend's code, the number stays verified, and the event is about the resend.
        may_be = {record.state, State.EXPIRED} if record.state is State.VERIFIED else {record.state}
        if event is None or event.state not in may_be or event.is_verified != record.is_verified:
            yield f"{number} is {record!r}, and its last event is {event!r}"


def _newcomer(history: Any) -> Iterator[str]:
    if not history.newcomers_code:
        yield f"a newcomer got no code within {NEWCOMER_SECONDS} s: {history.ledger.read(history.newcomer)!r}"

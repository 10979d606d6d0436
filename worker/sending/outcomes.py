"""How an attempt ends: one table that maps each error of the client to an outcome for the ledger."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from ringproof.errors import (
    Forbidden,
    LeaseOver,
    Rejected,
    RingproofError,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
    WrongCode,
)
from ringproof.ledger.answers import Outcome, PlivoSignal
from ringproof.ledger.record import Reason, State

FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=15)
"""If Plivo is unreachable, the worker asks again after 30 s, 1, 2, 4 … 15 minutes: an outage lasts minutes."""

SHORTEST_WAIT: Final = timedelta(seconds=1)
"""The wait if Plivo says `Retry-After: 0`: without it the worker would ask in a busy loop."""


_STATUS = re.compile(r"[1-5][0-9]{2}(?![^ ])")


def _rejected(error: Rejected, _: int) -> Outcome:
    plivo_signal = PlivoSignal.NOT_FOUND if http_status_of(error) in {404, 405} else PlivoSignal.ANSWERED
    return Outcome(State.FAILED, Reason.REJECTED, error.detail, plivo_signal=plivo_signal)


def _forbidden(error: Forbidden, _: int) -> Outcome:
    plivo_signal = PlivoSignal.NO_CREDIT if http_status_of(error) == 402 else PlivoSignal.FORBIDDEN
    return Outcome(State.FAILED, Reason.FORBIDDEN, error.detail, plivo_signal=plivo_signal)


def _unknown(error: Unknown, _: int) -> Outcome:
    return Outcome(State.IN_DOUBT, None, error.cause, plivo_signal=PlivoSignal.DOUBTFUL)


def _unreachable(error: Unreachable, attempts: int) -> Outcome:
    wait = min(FIRST_WAIT * 2 ** min(attempts - 1, 10), LONGEST_WAIT)
    if error.retry_after is not None:
        wait = max(timedelta(seconds=error.retry_after), SHORTEST_WAIT)
    return Outcome(State.WAITING, Reason.UNREACHABLE, error.cause, wait)


# The scripts decide how long a number waits after the next three errors: the wait is the same for all numbers.


def _throttled(error: Throttled, _: int) -> Outcome:
    return Outcome(
        State.WAITING,
        Reason.PACE,
        error.cause,
        counted=False,
        plivo_signal=PlivoSignal.THROTTLED,
        retry_after=error.retry_after,
    )


def _unauthorized(error: Unauthorized, _: int) -> Outcome:
    return Outcome(State.WAITING, Reason.PAUSED, error.cause, counted=False, plivo_signal=PlivoSignal.UNAUTHORIZED)


def _lease_over(error: LeaseOver, _: int) -> Outcome:
    return Outcome(State.WAITING, Reason.PACE, error.cause, counted=False)


OUTCOMES: Final[dict[type[RingproofError], Callable[..., Outcome]]] = {
    Rejected: _rejected,
    Forbidden: _forbidden,
    Unknown: _unknown,
    Unreachable: _unreachable,
    LeaseOver: _lease_over,
    Throttled: _throttled,
    Unauthorized: _unauthorized,
}


def http_status_of(error: RingproofError) -> int | None:
    """Return Plivo's status, with which the client's texts begin; None if Plivo has not answered."""
    text = getattr(error, "detail", "") or getattr(error, "cause", "")
    status = _STATUS.match(text)
    return int(status[0]) if status else None


def outcome_of(error: RingproofError, attempts: int) -> Outcome:
    """Return the outcome of an attempt, the `attempts`-th, that ended with this error."""
    return OUTCOMES[type(error)](error, attempts)


def signal_of(error: RingproofError) -> PlivoSignal:
    """Return what an error means for all sending, if the request was no send.

    A 403 to such a request says nothing about the account's credit, and a wrong code nothing about sending: both only
    show that Plivo accepts the credentials. A 404 says nothing about the address of sends.
    """
    if isinstance(error, Forbidden | WrongCode):
        return PlivoSignal.KNOWN
    rule = OUTCOMES.get(type(error))
    plivo_signal = rule(error, 1).plivo_signal if rule else PlivoSignal.NONE
    return PlivoSignal.ANSWERED if plivo_signal is PlivoSignal.NOT_FOUND else PlivoSignal(plivo_signal)

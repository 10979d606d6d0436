"""How an attempt ends: one table from what the client raised to what the ledger is told."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from worker.errors import (
    Forbidden,
    LeaseOver,
    Rejected,
    RingproofError,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
    Unsent,
)
from worker.ledger import Outcome
from worker.record import Reason, State

FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=15)
"""An unreachable Plivo is asked again after 30 s, 1, 2, 4 … 15 minutes: an outage is minutes, not seconds."""

SHORTEST_WAIT: Final = timedelta(seconds=1)
"""A `Retry-After` of 0 is no invitation to a busy loop."""

PACE_WAIT: Final = timedelta(seconds=5)
"""After a 429 without `Retry-After`: the window of Plivo's limit."""

CREDENTIALS_WAIT: Final = timedelta(seconds=30)
"""After a 401: nothing succeeds before a person has mended the credentials."""


def _rejected(error: Rejected, _: int) -> Outcome:
    return Outcome(State.FAILED, Reason.REJECTED, error.detail)


def _forbidden(error: Forbidden, _: int) -> Outcome:
    return Outcome(State.FAILED, Reason.FORBIDDEN, error.detail)


def _unknown(error: Unknown, _: int) -> Outcome:
    return Outcome(State.IN_DOUBT, None, error.cause)


def _unreachable(error: Unreachable, attempts: int) -> Outcome:
    backed_off = min(FIRST_WAIT * 2 ** min(attempts - 1, 10), LONGEST_WAIT)
    return Outcome(State.WAITING, Reason.UNREACHABLE, error.cause, _wait(error, backed_off))


def _throttled(error: Throttled, _: int) -> Outcome:
    return Outcome(State.WAITING, Reason.PACE, error.cause, _wait(error, PACE_WAIT), counted=False)


def _unauthorized(error: Unauthorized, _: int) -> Outcome:
    return Outcome(State.WAITING, Reason.PAUSED, error.cause, CREDENTIALS_WAIT, counted=False)


def _wait(error: Unsent, ours: timedelta) -> timedelta:
    """Return the wait that Plivo asked for, otherwise ours."""
    return ours if error.retry_after is None else max(timedelta(seconds=error.retry_after), SHORTEST_WAIT)


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


def outcome_of(error: RingproofError, attempts: int) -> Outcome:
    """Return what the ledger is told of an attempt, the `attempts`-th, that ended with this error."""
    return OUTCOMES[type(error)](error, attempts)

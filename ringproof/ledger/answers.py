"""What the ledger is asked and what it answers, as values: who asks, what becomes of it, whose turn it is, and when."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from ringproof.ledger.record import Lane, Reason, Record, State


class Verdict(StrEnum):
    """What begin says of one number."""

    BEGUN = "begun"
    LATER = "later"
    WAITING = "waiting"
    ENDED = "ended"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Begun:
    """What begin said of one number; `record` is None when there is none.

    `wait` is the time until its slot, or LATER until its turn to ask again, `at` that moment by this process's
    `boot_clock()`, and `at_us` by Redis' (µs since 1970).
    """

    verdict: Verdict
    wait: timedelta
    at: float
    at_us: int
    fence: str = field(repr=False)
    record: Record | None


class PlivoSignal(StrEnum):
    """What an answer of Plivo's says to all others who would ask it."""

    NONE = ""
    TAKEN = "taken"
    ANSWERED = "answered"
    KNOWN = "known"
    FORBIDDEN = "forbidden"
    THROTTLED = "throttled"
    UNAUTHORIZED = "unauthorized"
    DOUBTFUL = "doubtful"


class AgendaAction(StrEnum):
    """What was done with an entry of the agenda that was due."""

    ENQUEUE = "enqueue"
    HELD = "held"
    TOO_LATE = "too_late"
    CANCELLED = "cancelled"
    DOUBTED = "doubted"
    EXPIRED = "expired"
    LOOK_UP = "look_up"
    LIST = "list"
    KEPT = "kept"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class AgendaResult:
    """One entry of the agenda, and what was done with it."""

    action: AgendaAction
    phone_number: str = field(repr=False)
    request: int
    lane: Lane
    channel: str = ""


class Settled(StrEnum):
    """What settle says: done now, done before, or somebody else's turn."""

    SETTLED = "settled"
    ALREADY = "already"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt, as settle is told it; `retry_after`: the seconds that Plivo asked all to wait."""

    state: State
    reason: Reason | None = None
    detail: str = ""
    wait: timedelta = timedelta()
    counted: bool = True
    verification_uuid: str = ""
    api_id: str = ""
    plivo_signal: PlivoSignal = PlivoSignal.NONE
    retry_after: float | None = None

"""What the ledger is asked and what it answers, as values: who asks, what becomes of it, whose turn it is, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from worker.record import Lane, Reason, Record, State


class Newcomer(StrEnum):
    """Who asks: a person, a person again (`resend=True`), a roster or schedule, or the re-verification of a number."""

    PERSON = "a new request"
    RESEND = "with `resend=True`, cooldown over"
    ROSTER = "from bulk or schedule"
    REVERIFICATION = "from re-verification"


class Disposition(StrEnum):
    """What becomes of a new request."""

    ACCEPTED = "accepted"
    SAME = "same"
    RETURNED = "returned"
    IN_DOUBT = "in_doubt"
    JOINED = "joined"
    LIVE = "live"
    VERIFIED = "verified"
    COOLING_DOWN = "cooling_down"
    CAPPED = "capped"
    COUNTRY = "country"
    GONE = "gone"


_D = Disposition
_FREE = (_D.ACCEPTED, _D.ACCEPTED, _D.ACCEPTED, _D.ACCEPTED)
_OPEN = (_D.SAME, _D.SAME, _D.JOINED, _D.JOINED)
_ENDED = (_D.RETURNED, _D.ACCEPTED, _D.LIVE, _D.LIVE)

TABLE: Final[Mapping[tuple[State | None, bool], Mapping[Newcomer, Disposition]]] = {
    situation: dict(zip(Newcomer, answers, strict=True))
    for situation, answers in {
        (None, False): (*_FREE[:3], _D.GONE),
        (State.EXPIRED, False): _FREE,
        (State.FAILED, False): _FREE,
        (State.CANCELLED, False): _FREE,
        (State.CODE_SENT, False): _FREE,
        (State.IN_DOUBT, False): _FREE,
        (State.EXPIRED, True): _ENDED,
        (State.FAILED, True): _ENDED,
        (State.CANCELLED, True): _ENDED,
        (State.QUEUED, False): _OPEN,
        (State.QUEUED, True): _OPEN,
        (State.WAITING, False): _OPEN,
        (State.WAITING, True): _OPEN,
        (State.SENDING, False): _OPEN,
        (State.SENDING, True): _OPEN,
        (State.CODE_SENT, True): _ENDED,
        (State.IN_DOUBT, True): (_D.IN_DOUBT, _D.ACCEPTED, _D.LIVE, _D.LIVE),
        (State.VERIFIED, False): (_D.RETURNED, _D.ACCEPTED, _D.VERIFIED, _D.ACCEPTED),
        (State.VERIFIED, True): (_D.RETURNED, _D.ACCEPTED, _D.VERIFIED, _D.LIVE),
    }.items()
}
"""*Record × new request*: for each state, and whether a code may live, what each newcomer is told.

The scripts are handed their column of it, the README prints it, a test walks it: there is no second copy.
"""

COLUMNS: Final[Mapping[Newcomer, str]] = {
    newcomer: " ".join(
        f"{state or 'none'}{':live' if live else ''}={answers[newcomer]}" for (state, live), answers in TABLE.items()
    )
    for newcomer in Newcomer
}
"""Its columns, as the scripts are handed them."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long things take. Tests shorten them; nothing else does."""

    lease: timedelta = timedelta(seconds=45)  # from the slot: 20 s for the first byte, 10 s for the answer, 15 to spare
    first_byte: timedelta = timedelta(seconds=20)  # from the slot: far beyond 5 s of connecting; later nothing is sent
    code: timedelta = timedelta(minutes=15)  # Plivo's documentation: "valid for 15 minutes"
    enqueue_again: timedelta = timedelta(seconds=30)  # a queued message that nobody took by then is likely lost
    enqueue_again_longest: timedelta = timedelta(minutes=10)  # an hour without a worker: seven messages a number
    look_longest: timedelta = timedelta(minutes=15)  # Plivo's list is waited for, before a code is expired
    look_up: timedelta = timedelta(minutes=1)  # a slot, 15 s of Plivo, and then it is tried again
    interactive: timedelta = timedelta(minutes=15)  # a person has left the page by then
    background: timedelta = timedelta(hours=24)  # bulk and scheduled: over a night, and a day's outage
    token: timedelta = timedelta(minutes=15)  # far beyond any caller's own repetition
    reverify_again: timedelta = timedelta(hours=24)  # whoever did not answer a re-verification: another day, same hour
    earlier: timedelta = timedelta(hours=24)  # Celery's default for how long a result is kept

    def request(self, lane: Lane) -> timedelta:
        """How long a request of this lane may take until it is sent."""
        return self.interactive if lane is Lane.INTERACTIVE else self.background

    def facts(self) -> dict[str, int]:
        """Return them as the scripts are told them, in ms."""
        return {f"{one.name}_ms": ms(getattr(self, one.name)) for one in fields(self)}


def ms(duration: timedelta) -> int:
    """Return a duration in the scripts' milliseconds."""
    return duration // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What became of a new request: `request` is the one that now counts for the number (0: none does).

    `until` says for how long, when the disposition is COOLING_DOWN, IN_DOUBT or CAPPED, by the limit of that name.
    `promoted`: a person's request has taken over one of bulk or schedule, which needs a message in the new lane.
    """

    disposition: Disposition
    request: int
    until: datetime | None
    promoted: bool
    limit: str = ""


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


class News(StrEnum):
    """What an answer of Plivo's says to all others who would ask it."""

    NONE = ""
    TAKEN = "taken"
    ANSWERED = "answered"
    KNOWN = "known"
    FORBIDDEN = "forbidden"
    THROTTLED = "throttled"
    UNAUTHORIZED = "unauthorized"
    DOUBTFUL = "doubtful"


class Due(StrEnum):
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
class Worked:
    """One entry of the agenda, and what was done with it."""

    due: Due
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
    news: News = News.NONE
    retry_after: float | None = None

"""The answer to a new request: the table *record × new request*, and the answer of the script `number/accept`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from ringproof.clock import moment
from ringproof.ledger.record import State


class RequestKind(StrEnum):
    """Who makes a request, and whether it is a resend. The values head the columns of the documentation's table."""

    PERSON = "a new request"
    RESEND = "with `resend=True`, cooldown over"
    ROSTER = "from bulk or schedule"
    REVERIFICATION = "from re-verification"


class Disposition(StrEnum):
    """The answer to a new request."""

    ACCEPTED = "accepted"  # the request is new, and the number is queued
    SAME = "same"  # an unfinished request of the number stands for this one too
    RETURNED = "returned"  # the number's last request stands for this one, with its code or its verification
    IN_DOUBT = "in_doubt"  # Plivo may have sent a code: no other one until none can be live
    JOINED = "joined"  # an unfinished request of the number counts for this row or re-verification, too
    LIVE = "live"  # a code of the number may still work, so this row or re-verification sends none
    VERIFIED = "verified"  # the number is verified, so the row gets no code
    COOLING_DOWN = "cooling_down"  # the cooldown of the last code is not over
    CAPPED = "capped"  # the number, or its range, has reached a cap
    OVERLOADED = "overloaded"  # so many people wait that a code could come only after the end of the request
    COUNTRY = "country"  # the list of countries leaves the number out
    GONE = "gone"  # the request follows an earlier one, which is not there any more

    @classmethod
    def of(cls, word: str) -> "Disposition":
        """Return what a script has answered. A newer version may have answered the same token before, by its word."""
        return cls(word) if word in _WORDS else cls.SAME


_WORDS = frozenset(Disposition)
_D = Disposition

_FREE = (_D.ACCEPTED, _D.ACCEPTED, _D.ACCEPTED, _D.ACCEPTED)
_UNFINISHED = (_D.SAME, _D.SAME, _D.JOINED, _D.JOINED)
_ENDED = (_D.RETURNED, _D.ACCEPTED, _D.LIVE, _D.LIVE)


TABLE: Final[Mapping[tuple[State | None, bool], Mapping[RequestKind, Disposition]]] = {
    situation: dict(zip(RequestKind, answers, strict=True))
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
        (State.QUEUED, False): _UNFINISHED,
        (State.QUEUED, True): _UNFINISHED,
        (State.WAITING, False): _UNFINISHED,
        (State.WAITING, True): _UNFINISHED,
        (State.SENDING, False): _UNFINISHED,
        (State.SENDING, True): _UNFINISHED,
        (State.CODE_SENT, True): _ENDED,
        (State.IN_DOUBT, True): (_D.IN_DOUBT, _D.ACCEPTED, _D.LIVE, _D.LIVE),
        (State.VERIFIED, False): (_D.RETURNED, _D.ACCEPTED, _D.VERIFIED, _D.ACCEPTED),
        (State.VERIFIED, True): (_D.RETURNED, _D.ACCEPTED, _D.VERIFIED, _D.LIVE),
    }.items()
}
"""*Record × new request*: the answer for each state, with or without a code that may be live, to each kind of request.

The scripts get their column of it, the documentation prints it, and a test checks each cell: there is no second copy.

>>> TABLE[State.QUEUED, False][RequestKind.PERSON]
<Disposition.SAME: 'same'>
"""

COLUMNS: Final[Mapping[RequestKind, str]] = {
    kind: " ".join(
        f"{state or 'none'}{':live' if live else ''}={answers[kind]}" for (state, live), answers in TABLE.items()
    )
    for kind in RequestKind
}
"""The columns as the scripts get them: `"none=accepted expired=accepted … code_sent:live=returned …"`."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer to a new request: `request` is the number's current one (0: it has none).

    `until` is the end of a COOLING_DOWN, IN_DOUBT, CAPPED or OVERLOADED. `limit` names the cap, such as
    `codes_per_day`; for COUNTRY it is the reason of an `InvalidNumber`: `country`, `network` or `personal`.
    `promoted`: a person's request has taken over one of bulk or schedule, so it needs a message in the person's lane.

        Acceptance(Disposition.CAPPED, 1764376884, datetime(2026, 11, 30, 0, 41, tzinfo=UTC), False, "codes_per_day")
    """

    disposition: Disposition
    request: int
    until: datetime | None
    promoted: bool
    limit: str = ""

    @property
    def needs_message(self) -> bool:
        """Whether a worker has to get a message about the request."""
        return self.disposition is Disposition.ACCEPTED or self.promoted

    @classmethod
    def read(cls, answer: Sequence[Any]) -> Self:
        """Read the answer of the script `number/accept`."""
        disposition, request, until, promoted, limit = answer
        ends_at = moment(int(until)) if until else None
        return cls(Disposition.of(disposition), int(request), ends_at, promoted=bool(promoted), limit=limit)

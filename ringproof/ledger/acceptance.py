"""What becomes of a new request: the table of record and requester, and the answer of the script `accept`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ringproof.ledger.record import State


class Requester(StrEnum):
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


TABLE: Final[Mapping[tuple[State | None, bool], Mapping[Requester, Disposition]]] = {
    situation: dict(zip(Requester, answers, strict=True))
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

The scripts are handed their column of it, the documentation prints it, a test walks it: there is no second copy.
"""


COLUMNS: Final[Mapping[Requester, str]] = {
    requester: " ".join(
        f"{state or 'none'}{':live' if live else ''}={answers[requester]}" for (state, live), answers in TABLE.items()
    )
    for requester in Requester
}
"""Its columns, as the scripts are handed them."""


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

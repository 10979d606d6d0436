"""The byte of a batch row: one letter for each outcome that a row can have."""

from collections.abc import Collection, Mapping
from typing import Final

from ringproof.ledger.record import UNBEGUN, UNFINISHED, State

LISTS: Final = ("sms", "call")


BYTES: Final[Mapping[str, str]] = {
    "queued": "q",
    "waiting": "w",
    "waiting:paused": "p",
    "waiting:pace": "a",
    "waiting:cooldown": "o",
    "waiting:cap": "k",
    "waiting:quiet_hours": "n",
    "waiting:unreachable": "u",
    "waiting:batch_paused": "b",
    "sending": "s",
    "code_sent": "c",
    "in_doubt": "d",
    "in_doubt:worker_lost": "D",
    "verified": "v",
    "expired": "e",
    "failed": "f",
    "failed:rejected": "r",
    "failed:forbidden": "F",
    "failed:capped": "K",
    "failed:too_late": "l",
    "failed:unreachable": "U",
    "failed:in_doubt": "i",
    "failed:crashes_worker": "x",
    "cancelled": "C",
    "joined": "j",
    "live": "L",
    "capped": "0",
    "capped:codes_per_day": "1",
    "capped:calls_per_week": "2",
    "country": "-",
    "erased": "E",
}
"""The byte of a row for what became of it. They are in people's Redis: never give one a second meaning."""


UNFED: Final = "\0"


PENDING: Final = "pending"
"""A row that is not fed has no byte, or the empty one; it is told as pending."""


OUTCOMES: Final[Mapping[str, str]] = {byte: outcome for outcome, byte in BYTES.items()} | {UNFED: PENDING}


def _bytes_of(states: Collection[State]) -> str:
    return "".join(byte for outcome, byte in BYTES.items() if outcome.partition(":")[0] in states)


UNBEGUN_BYTES: Final = _bytes_of(UNBEGUN)
"""The bytes of rows that were fed and whose request no worker has begun."""


OPEN: Final = UNFED + _bytes_of(UNFINISHED)
"""The bytes of rows that have no outcome yet: what waits has none, and what is in doubt will have another."""

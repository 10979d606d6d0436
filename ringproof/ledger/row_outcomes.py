"""The byte of a batch row: one for each outcome that a row can have."""

from collections.abc import Collection, Mapping
from typing import Final

from ringproof.ledger.record import UNBEGUN, UNFINISHED, State

LISTS: Final = ("sms", "call")
"""The lists of a batch, one for each channel."""

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
    "waiting:refused": "R",
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
"""The byte of each outcome. Installations have them in Redis: never give one a second meaning."""

UNFED: Final = "\0"
"""The byte of a row that the feeder has not fed. At the end of the bytes it may be missing."""

PENDING: Final = "pending"
"""The outcome of such a row."""

OUTCOMES: Final[Mapping[str, str]] = {byte: outcome for outcome, byte in BYTES.items()} | {UNFED: PENDING}
"""The outcome of each byte."""


NEWER_VERSION: Final = "newer_version"
"""The outcome of a row whose byte only a newer version knows. This version leaves the byte as it is."""


def outcome_of(byte: str) -> str:
    """Return the outcome of a byte.

    >>> outcome_of("D")
    'in_doubt:worker_lost'
    """
    return OUTCOMES.get(byte, NEWER_VERSION)


def _bytes_of(states: Collection[State]) -> str:
    return "".join(byte for outcome, byte in BYTES.items() if outcome.partition(":")[0] in states)


UNBEGUN_BYTES: Final = _bytes_of(UNBEGUN)
"""The bytes of rows that were fed and whose request no worker has begun."""


UNFINISHED_BYTES: Final = UNFED + _bytes_of(UNFINISHED)
"""The bytes of rows without an outcome. A row that waits or is in doubt is one, because its outcome comes later."""

RATE_SECONDS: Final = 10.0
"""The rate of a batch is a weighted count of its codes: in this time the weight of a code falls to 37 %."""

"""The gate: whether Redis may have gone back in time, so that nothing is sent, and what became of that."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ringproof.clock import moment

SHOWN: Final = timedelta(hours=1)
"""For so long the status says that Redis has gone back. Codes of that time are dead after a quarter of an hour."""

LATEST_MS: Final = 4_000_000_000_000
"""A moment in the year 2096: what is later is no time of Redis."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What Redis says about itself. Moments are of its clock.

    `is_closed`: nothing is sent. `unreported` processes have not reported what they remember, of those that it knows.
    """

    closed_at: datetime | None = None  # since when nothing is sent; None: sending goes on
    closing: datetime | None = None  # the last time that the gate was closed
    opened_at: datetime | None = None
    knew_until: datetime | None = None  # up to when Redis knew something; None: it was emptied
    went_back: bool = False  # some process has seen more than Redis knew
    reported: int = 0
    unreported: int = 0
    mended: int = 0  # numbers that Redis knew less of than a process
    forgotten: int = 0  # numbers that wait, because a process has not reported
    lost_batches: tuple[str, ...] = ()

    @property
    def is_closed(self) -> bool:
        """Whether nothing is sent, because Redis may have gone back."""
        return self.closed_at is not None


def read_gate(fields: Mapping[str, str]) -> Gate:
    """Read the hash of the generation. What is none is left out, and nothing is raised."""

    def at(name: str) -> datetime | None:
        value = whole(fields.get(name))
        return moment(value) if 0 < value < LATEST_MS else None

    awaited = sum(name.startswith("awaits:") for name in fields)
    return Gate(
        closed_at=at("closed_at"),
        closing=at("closing"),
        opened_at=at("opened_at"),
        knew_until=at("last_sign"),
        went_back="went_back" in fields,
        reported=sum(name.startswith("reported:") for name in fields),
        unreported=awaited or whole(fields.get("unreported")),
        mended=whole(fields.get("mended")),
        forgotten=whole(fields.get("forgotten")),
        lost_batches=tuple(filter(None, fields.get("lost_batches", "").split("/"))),
    )


def whole(text: str | None) -> int:
    """Return a whole number that a script has written; 0 for none, and for junk."""
    try:
        return max(int(float(text or 0)), 0)
    except (ValueError, OverflowError):
        return 0

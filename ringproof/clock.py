"""Time: the clock that runs on while a machine sleeps, its offset from the clock of Redis, and moments as values."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

# Counts the time that the machine was suspended, which time.monotonic() does not; only Linux has it.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Return the seconds by which slots and leases are kept in this process; their zero means nothing."""
    return time.clock_gettime(_BOOT_CLOCK)


class SlotClock:
    """Tells when a moment of Redis' clock comes by this process's boot clock. Thread-safe.

    What Redis answered is late by a way back whose length nobody knows. The quickest answer of late tells how far the
    two clocks are apart; how long this one took bounds that from both sides, whatever a clock has jumped meanwhile.
    """

    DRIFT = 500e-6
    """How much two clocks may part, in seconds a second: what NTP slews at most."""

    def __init__(self) -> None:
        self._apart, self._since = math.inf, 0.0

    def locate(self, asked_at: float, answered_at: float, now_us: int) -> Callable[[int], float]:
        """Return what turns µs of Redis' into seconds of ours, by an answer that told Redis' `now_us`."""
        apart = answered_at - now_us / 1e6
        known = self._apart + self.DRIFT * (answered_at - self._since)
        self._apart, self._since = min(apart, known), answered_at
        offset = max(self._apart, asked_at - now_us / 1e6)
        return lambda at_us: at_us / 1e6 + offset


def moment(milliseconds: int) -> datetime:
    """Return a time of the scripts, in ms since 1970, as an aware datetime in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def epoch_ms(when: datetime | None) -> int:
    """Return a time as the scripts have it: ms since 1970, and 0 for none."""
    return int(when.timestamp() * 1000) if when else 0


def iso(when: datetime) -> str:
    """Return a time as text, as in all output: `2026-11-29T00:41:24.123+00:00`."""
    return when.isoformat(timespec="milliseconds")

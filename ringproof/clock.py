"""The clock that runs on while a machine sleeps, and how it is compared with the clock of Redis."""

import math
import time
from collections.abc import Callable

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

"""Time: the clock that runs on while a machine sleeps, its offset from Redis' clock, moments as values and texts."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

# It counts the time in which the machine was suspended; time.monotonic() does not. Only Linux has it.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Return the seconds that slots and leases use in this process. Only differences mean something."""
    return time.clock_gettime(_BOOT_CLOCK)


class SlotClock:
    """Converts moments of Redis' clock to this process's boot clock. Thread-safe.

    The reply's travel time is unknown. The fastest recent reply gives the best estimate of the offset between the
    clocks, less half of the shortest recent round trip: the longer a way is, the more it would be late otherwise. This
    reply's own round trip bounds the offset from both sides, even if a clock has jumped.
    """

    DRIFT = 500e-6
    """How fast two clocks may drift apart, in seconds a second: the most by which NTP slews a clock."""

    SET_BACK = 1.0
    """An estimate that is wrong by so many seconds is of a time before Redis' clock was set back: it is dropped."""

    NEAR = 0.003
    """An answer that takes less for its way comes in time for any slot, which may be used 5 ms late."""

    SLOW_MOMENT = 0.05
    """A slow moment of Redis, which a few answers have seen at once, counts as no more than that. People would wait for
    as long after it, until enough other answers have come.
    """

    LONGEST_REACH = 1.0
    """Redis' answers may be as late as that. Beyond it a slow Redis would delay all callers by seconds."""

    def __init__(self) -> None:
        self._offset, self._estimated_at = math.inf, 0.0
        self._round_trips: list[float] = []
        self._ways_back: list[float] = []
        self.reach = 0.0
        """By how many seconds an answer of Redis comes after its moment: no slot that it gives may come earlier.

        Of the last 16 answers the third slowest counts: one slow answer changes nothing. It counts as `SLOW_MOMENT`,
        or as three times the median, if it is slower than both. 0.0 if Redis is near.
        """

    @property
    def is_set(self) -> bool:
        """Whether there was an answer of Redis."""
        return bool(self._round_trips)

    def locate(
        self, asked_at: float, answered_at: float, now_us: int, usable_at: float = 0.0
    ) -> Callable[[int], float]:
        """Return a function that converts µs of Redis to seconds of this clock, from an answer with Redis' `now_us`.

        If the answer could be used only later, because replicas had to confirm it first, that was at `usable_at`.
        """
        earliest, latest = asked_at - now_us / 1e6, answered_at - now_us / 1e6
        estimate = self._offset + self.DRIFT * (answered_at - self._estimated_at)
        if estimate < earliest - self.SET_BACK:
            estimate = latest
        self._offset, self._estimated_at = min(latest, estimate), answered_at
        self._round_trips = [*self._round_trips[-63:], answered_at - asked_at]
        offset = max(self._offset - min(self._round_trips) / 2, earliest)
        self._ways_back = [*self._ways_back[-15:], max(answered_at, usable_at) - now_us / 1e6 - offset]
        slowest = sorted(self._ways_back)
        way_back = min(slowest[-3:][0], max(3 * slowest[len(slowest) // 2], self.SLOW_MOMENT))
        self.reach = min(way_back, self.LONGEST_REACH) if way_back > self.NEAR else 0.0
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


def duration_text(duration: timedelta) -> str:
    """Return a duration in its two largest units: `45 s`, `12 min`, `4 h 20 min` or `2 days 3 h`."""
    seconds = max(1, round(duration.total_seconds()))
    minutes, hours, days = round(seconds / 60), round(seconds / 3600), seconds // 86_400
    if seconds < 90:
        return f"{seconds} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{days} days {seconds % 86_400 // 3600} h"

"""Notices when Redis' clock jumps ahead, or when a Redis takes over whose clock is ahead.

This process measures Redis' clock by its own boot clock, which never jumps. It passes the time that it expects Redis to
have to each script. A script that finds another time changes nothing. Then this process measures again: either Redis
was slow, or its clock has jumped. A jump ahead is noted in Redis, and from then on each script moves the times that it
reads (`lua/lib/jumps.lua`). A clock that was set back shows by itself in what was written later than now.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable

CLOCK_IS_ANOTHER: Final = "CLOCK is another than the caller expects"
"""The answer of a script that finds another time than its caller expects (`lua/lib/clock.lua`)."""

AGAIN_SECONDS: Final = 60.0
"""A measurement is repeated so often. Until then two clocks drift apart by 60 ms at most, if NTP slews both."""

OLDEST_SECONDS: Final = 1800.0
"""With an older measurement no jump is noted: any code that lived then is dead by now. Redis keeps a jump for an hour,
so that it is noted once.
"""

SMALLEST_JUMP_SECONDS: Final = 0.5
"""Smaller steps do little harm: as many seconds of slots may lie too near to each other."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Measurement:
    """Redis' clock as it was at `measured_at` or a little later, in seconds of this process's boot clock.

    Redis' time minus the boot clock is between `least` and `most`.
    """

    measured_at: float
    least: float
    most: float

    @property
    def age(self) -> float:
        return boot_clock() - self.measured_at

    def expected_us(self) -> int:
        return int((boot_clock() + self.most) * 1e6)


class ClockWatch:
    """What this process knows of Redis' clock. Thread-safe.

    `run_script(name, keys, args, expected_us)` runs a script, with the time that Redis should have (None: unknown).
    """

    def __init__(self, run_script: Callable[..., Any]) -> None:
        self._run_script = run_script
        self._known: _Measurement | None = None
        self._lock = threading.Lock()

    def expected_us(self) -> int:
        """Return the time (µs) that Redis' clock has now, unless it has jumped.

        Measures the clock once a minute. Raises `LedgerUnavailable` if Redis does not answer.
        """
        known = self._known
        if known is None or known.age > AGAIN_SECONDS:
            known = self.measure()
        return known.expected_us()

    def measure(self) -> _Measurement:
        """Measure Redis' clock. If it has jumped ahead since the last measurement, note the jump in Redis."""
        with self._lock:
            known = self._known if self._known and self._known.age < OLDEST_SECONDS else None
            try:
                new = self._ask(known.expected_us() if known else None)
            except LedgerUnavailable as error:
                if error.cause != CLOCK_IS_ANOTHER or known is None:
                    raise
                new = self._ask(None)
                if new.least - known.most > SMALLEST_JUMP_SECONDS:
                    self._note_jump(new.most - known.least, known.age)
            self._known = new
            return new

    def _ask(self, expected_us: int | None) -> _Measurement:
        asked_at = boot_clock()
        now_us = int(self._run_script("now", (), (), expected_us))
        answered_at = boot_clock()
        return _Measurement(asked_at, now_us / 1e6 - answered_at, now_us / 1e6 - asked_at)

    def _note_jump(self, seconds: float, ago: float) -> None:
        """Note a jump, unless another process has done so. The longest possible one: then no code dies too early."""
        if self._run_script("note_jump", (), (round(seconds * 1000), round(ago * 1000))):
            jump = timedelta(seconds=round(seconds))
            _log.warning("Redis' clock has jumped ahead by %s; its machine needs NTP", jump)

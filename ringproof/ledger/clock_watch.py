"""Notices when Redis' clock jumps ahead, or when a Redis takes over whose clock is ahead.

This process measures Redis' clock by its own boot clock, which never jumps. It passes the time that it expects Redis to
have to each script. A script that finds another time changes nothing. Then this process measures again: either Redis
was slow, or its clock has jumped. A jump ahead is noted in Redis, and from then on each script moves the times that it
reads (`lua/lib/jumps.lua`). A clock that was set back shows by itself in what was written later than now.
"""

import logging
import threading
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.in_one_go import in_one_go

RunScript = Callable[..., Awaitable[Any]]
"""`run_script(name, keys, args, expected_us)` runs a script, with the time that Redis should have (None: unknown)."""

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
    """What this process knows of Redis' clock. Thread-safe."""

    def __init__(self) -> None:
        self._known: _Measurement | None = None
        self._failure: tuple[float, LedgerUnavailable] | None = None
        self._lock = threading.Lock()

    def expected_us(self) -> int | None:
        """Return the time (µs) that Redis' clock has now, unless it has jumped. None: it has to be measured first."""
        known = self._known
        return None if known is None or known.age > AGAIN_SECONDS else known.expected_us()

    def measure(self, run_script: RunScript) -> int:
        """Measure Redis' clock, by steps that block, and return its time (µs). Raises `LedgerUnavailable`.

        Threads that come while one measures share what it finds. If Redis hangs, each of them waits once, and not once
        for each thread before it.
        """
        came_at = boot_clock()
        with self._lock:
            found = self.found_since(came_at)
            return in_one_go(self.measure_now(run_script)) if found is None else found

    def found_since(self, moment: float) -> int | None:
        """Return Redis' time as another caller has measured it since a moment. Raises the error that this one met."""
        if self._known and self._known.measured_at > moment:
            return self._known.expected_us()
        if self._failure and self._failure[0] > moment:
            raise copy(self._failure[1])
        return None

    async def measure_now(self, run_script: RunScript) -> int:
        """Measure Redis' clock, and return its time (µs). If it has jumped ahead since the last time, note the jump."""
        try:
            self._known = await self._measured(run_script)
        except LedgerUnavailable as error:
            self._failure = boot_clock(), error
            raise
        return self._known.expected_us()

    async def _measured(self, run_script: RunScript) -> _Measurement:
        known = self._known if self._known and self._known.age < OLDEST_SECONDS else None
        try:
            return await _ask(run_script, known.expected_us() if known else None)
        except LedgerUnavailable as error:
            if error.cause != CLOCK_IS_ANOTHER or known is None:
                raise
        new = await _ask(run_script, None)
        if new.least - known.most > SMALLEST_JUMP_SECONDS:
            await _note_jump(run_script, new.most - known.least, known.age)
        return new


async def _ask(run_script: RunScript, expected_us: int | None) -> _Measurement:
    asked_at = boot_clock()
    now_us = int(await run_script("now", (), (), expected_us))
    answered_at = boot_clock()
    return _Measurement(asked_at, now_us / 1e6 - answered_at, now_us / 1e6 - asked_at)


async def _note_jump(run_script: RunScript, seconds: float, ago: float) -> None:
    """Note a jump, unless another process has done so. The longest possible one: then no code dies too early."""
    if await run_script("note_jump", (), (round(seconds * 1000), round(ago * 1000)), None):
        jump = timedelta(seconds=round(seconds))
        _log.error("Redis' clock has jumped ahead by %s; its machine needs NTP", jump)

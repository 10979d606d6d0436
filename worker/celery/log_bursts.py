"""Makes one line each ten seconds of many: while Redis is away, every thread of a worker has the same to say."""

import copy
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

BURST_SECONDS: Final = 10.0
"""How often a warning or an error is written that comes again and again."""


@dataclass(slots=True)
class _Burst:
    """The lines that were not written since one like them was; `last` is the newest of them."""

    since: float
    count: int = 0
    last: logging.LogRecord | None = None


class Bursts(logging.Filter):
    """Lets one warning or error of a kind through in ten seconds, and then one that counts the others. Thread-safe.

    Lines are of one kind if their texts are equal without the arguments. A line about one number (with an `event`) is
    always let through, and so is a line below WARNING.
    """

    def __init__(self, seconds: float = BURST_SECONDS) -> None:
        super().__init__()
        self._seconds = seconds
        self._begin()
        os.register_at_fork(after_in_child=self._begin)  # no timer runs on in a child, and the lock may be taken

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._bursts: dict[tuple[Any, ...], _Burst] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a line now."""
        if record.levelno < logging.WARNING or hasattr(record, "event") or hasattr(record, "counts_a_burst"):
            return True
        kind = _kind(record)
        with self._lock:
            burst = self._bursts.get(kind)
            if burst is None or (not burst.count and time.monotonic() - burst.since >= self._seconds):
                self._bursts[kind] = _Burst(time.monotonic())
                return True
            if not burst.count and not self._count_later(kind, burst):
                return True
            burst.count += 1
            burst.last = record
            return False

    def _count_later(self, kind: tuple[Any, ...], burst: _Burst) -> bool:
        """Have a thread write the count. Returns False if the system has no thread left."""
        timer = threading.Timer(max(0.0, burst.since + self._seconds - time.monotonic()), self._write_count, (kind,))
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            return False
        return True

    def _write_count(self, kind: tuple[Any, ...]) -> None:
        with self._lock:
            burst = self._bursts[kind]
            self._bursts[kind] = _Burst(time.monotonic())
        assert burst.last is not None  # noqa: S101  # the first line that is counted starts the timer
        line = copy.copy(burst.last)
        if burst.count > 1:
            line.msg = f"{line.msg} (one of {burst.count} in {self._seconds:.0f} s)"
        line.counts_a_burst = True
        line.created = time.time()  # not when the last of them came: the lines would not be in their order
        line.msecs = int(line.created % 1 * 1000)
        logging.getLogger(line.name).callHandlers(line)


def _kind(record: logging.LogRecord) -> tuple[Any, ...]:
    """Return what lines of one kind have in common. A text that is all argument counts as a whole."""
    is_argument = isinstance(record.msg, str) and record.msg.strip() in {"%s", "%r"}
    of_task = record.args.get("name") if isinstance(record.args, Mapping) else None
    error = record.exc_info[0] if record.exc_info else None
    return record.name, record.levelno, str(record.args if is_argument else record.msg), of_task, error

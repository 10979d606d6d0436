"""A warm stop that all of a worker's processes notice, and a SIGTERM that does not interrupt a send.

When a worker stops, Celery informs its main process alone. That one shares one byte with its children, if its pool has
any, made before the fork. Each process reads it before it begins a number. A supervisor may send SIGTERM to the whole
process group (honcho, systemd). A child that is sending then ends after it has settled in the ledger, at most 15 s
later.
"""

import mmap
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from celery import signals

POLL_SECONDS: Final = 0.1
"""How long it may take until what waits for a slot or a turn notices a stop."""

GRACE_SECONDS: Final = 20.0
"""How long what waits for Redis goes on after a stop. A supervisor gives a worker 30 s."""

REPORT_SECONDS: Final = 0.5
"""How long a child goes on after its last send, so that its result reaches the parent."""

_byte: mmap.mmap | None = None
_noticed_at: float | None = None
_stops_here = False
"""Whether this process itself got a SIGTERM while it was sending."""


def share_flag() -> None:
    """Make the byte that all processes share, and set it when Celery stops. Called in the main one, before any fork."""
    global _byte  # noqa: PLW0603  # one for each process tree, shared by all that is forked
    _byte = mmap.mmap(-1, 1)
    signals.worker_shutting_down.connect(_set_flag, weak=False)


def is_stopping() -> bool:
    """Whether this worker stops. Then no number is begun any more."""
    return _stops_here or (_byte is not None and _byte[0] != 0)


def is_grace_over() -> bool:
    """Whether this process has known for GRACE_SECONDS that its worker stops. Then it does not wait for Redis any more.

    The clock starts with `stop_here`, or with the first call after another process of this worker has noticed the stop.
    """
    global _noticed_at  # noqa: PLW0603  # of this process alone
    if not is_stopping():
        _noticed_at = None
    elif _noticed_at is None:
        _noticed_at = time.monotonic()
    return _noticed_at is not None and time.monotonic() - _noticed_at > GRACE_SECONDS


def stop_here() -> None:
    """Have this process stop, whatever the others of its worker do."""
    global _stops_here  # noqa: PLW0603  # of this process alone
    _stops_here = True
    is_grace_over()  # its clock starts


def sleep_unless_stopping(seconds: float) -> bool:
    """Sleep for so many seconds and return True; return False at once when this worker stops."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if is_stopping():
            return False
        time.sleep(min(left, POLL_SECONDS))
    return True


@contextmanager
def defer_sigterm() -> Iterator[None]:
    """Delay SIGTERM until the block is done, from begin to settle. After the block, the SIGTERM ends the process.

    The handler is set here, and not when the process starts, because billiard sets its own later.
    """
    if _byte is None or threading.current_thread() is not threading.main_thread():  # not a child of a prefork worker
        yield
        return
    usual = signal.signal(signal.SIGTERM, _remember_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
        if _stops_here:
            threading.Timer(REPORT_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()


def _set_flag(**_: Any) -> None:
    if _byte is not None:
        _byte[0] = 1


def _remember_sigterm(_number: int, _frame: FrameType | None) -> None:
    stop_here()

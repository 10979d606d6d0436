"""A warm stop that all of a worker's processes notice, and a SIGTERM that does not interrupt a send.

When a worker stops, Celery informs its main process alone. That one shares the moment with its children, if its pool
has any, in memory made before the fork. Each process reads it before it begins a number. A supervisor may send SIGTERM
to the whole process group (honcho, systemd). A child that is sending then ends after it has settled in the ledger, at
most 15 s later.
"""

import mmap
import os
import signal
import struct
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
"""How long after a stop a call to a Redis that is away is repeated. A supervisor gives a worker 30 s."""

REPORT_SECONDS: Final = 0.5
"""How long a child goes on after its last send, so that its result reaches the parent."""

_MOMENT: Final = struct.Struct("d")

_shared: mmap.mmap | None = None
"""When the worker stopped, by the monotonic clock, which all processes of a machine share; 0: it goes on."""

_stopped_here = 0.0
"""When this process itself got a SIGTERM while it was sending; 0: it has got none."""


def share_stop() -> None:
    """Make the memory that all processes share, and note when Celery stops. Called in the main one, before any fork."""
    global _shared  # noqa: PLW0603  # one for each process tree, shared by all that is forked
    _shared = mmap.mmap(-1, _MOMENT.size)
    signals.worker_shutting_down.connect(note_stop, weak=False)


def note_stop(**_: Any) -> None:
    """Note that this worker stops, for all of its processes."""
    if _shared is not None and not _worker_stopped_at():
        _MOMENT.pack_into(_shared, 0, time.monotonic())


def is_stopping() -> bool:
    """Whether this worker stops. Then no number is begun any more."""
    return _stopped_at() > 0


def is_grace_over() -> bool:
    """Whether this worker stopped GRACE_SECONDS ago. Then it does not wait for Redis any more."""
    stopped_at = _stopped_at()
    return stopped_at > 0 and time.monotonic() - stopped_at > GRACE_SECONDS


def stop_here() -> None:
    """Have this process stop, whatever the others of its worker do."""
    global _stopped_here  # noqa: PLW0603  # of this process alone
    _stopped_here = _stopped_here or time.monotonic()


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
    if _shared is None or threading.current_thread() is not threading.main_thread():  # not a child of a prefork worker
        yield
        return
    usual = signal.signal(signal.SIGTERM, _remember_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
        if _stopped_here:
            threading.Timer(REPORT_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()


def ignore_signals() -> None:
    """Have SIGTERM and SIGHUP do nothing from now on. Called in the main thread of a child that ends by itself.

    With billiard's handler it would end at once, and the numbers that it is sending to would be in doubt.
    """
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)


def _stopped_at() -> float:
    """Return when the worker or this process stopped, whichever came first; 0: neither has."""
    return min(filter(None, (_worker_stopped_at(), _stopped_here)), default=0.0)


def _worker_stopped_at() -> float:
    moment: float = _MOMENT.unpack_from(_shared)[0] if _shared is not None else 0.0
    return moment


def _remember_sigterm(_number: int, _frame: FrameType | None) -> None:
    stop_here()

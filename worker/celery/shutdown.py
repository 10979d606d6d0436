"""A warm stop that the children know of, and a SIGTERM that does not cut a send in two.

Celery tells its parent process alone that it stops. The children share one byte with it, made before the fork, and look
at it before they begin. A supervisor may send SIGTERM to the whole process group (honcho, systemd): a child that is
sending then ends when it has told the ledger, at most 15 s later.
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

LOOK_SECONDS: Final = 0.1
"""How long a child that waits for its slot may not notice a stop."""

REPORT_SECONDS: Final = 0.5
"""How long a child stays after its last send, to hand its result to the parent."""

_byte: mmap.mmap | None = None
_told_here = False


def share_flag() -> None:
    """Make the byte, in the parent and before its children are forked, and write it when Celery stops."""
    global _byte  # noqa: PLW0603  # one for each process tree: whatever is forked shares it
    _byte = mmap.mmap(-1, 1)
    signals.worker_shutting_down.connect(_tell_children, weak=False)


def is_stopping() -> bool:
    """Whether this worker stops: then nothing is begun any more."""
    return _told_here or (_byte is not None and _byte[0] != 0)


def sleep_unless_stopping(seconds: float) -> bool:
    """Sleep; return at once, and False, when a stop is told."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if is_stopping():
            return False
        time.sleep(min(left, LOOK_SECONDS))
    return True


@contextmanager
def defer_sigterm() -> Iterator[None]:
    """Keep SIGTERM from cutting a stretch in two: from begin until the ledger was told. Then it ends the process.

    The handler is put up here and not at the process's start, after which billiard puts up its own.
    """
    if _byte is None or threading.current_thread() is not threading.main_thread():  # not a child of a prefork worker
        yield
        return
    usual = signal.signal(signal.SIGTERM, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
        if _told_here:
            threading.Timer(REPORT_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()


def _tell_children(**_: Any) -> None:
    if _byte is not None:
        _byte[0] = 1


def _note(_number: int, _frame: FrameType | None) -> None:
    global _told_here  # noqa: PLW0603  # this process's own; a child works on one message at a time
    _told_here = True

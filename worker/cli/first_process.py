"""A container's first process gets no SIGTERM that it has no handler for, and then lives until SIGKILL."""

import os
import signal
from types import FrameType

FIRST = 1
"""The id of the first process in a container. The kernel gives it no signal whose action is the default."""


def end_on_sigterm() -> None:
    """Have SIGTERM end this process as it ends any other one, until Celery or a server has a handler of its own.

    A worker takes two seconds to get there. A container that was stopped in that time took the signal for nothing,
    began to send, and was killed in the middle of it at the end of its grace.
    """
    if os.getpid() == FIRST and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)

"""What the processes of one worker tell each other about its credentials, which Plivo may refuse.

They share two bytes, made before the fork. A child that sees a 401 writes the first one. The main process writes the
second one when it has left the queues of the lanes. What a child has to give back, it gives back then: before, its own
worker might take the message.
"""

import mmap
from typing import Final

from ringproof.clock import boot_clock
from ringproof.ledger.ledger import Ledger
from worker.celery import shutdown

POLL_SECONDS: Final = 0.2
"""How soon the main process sees that a child was refused. Until then it takes messages, which it gives back."""

LEAVE_SECONDS: Final = 5.0
"""How long a child waits until its worker has left the queues. After it Redis is away, or the worker is not to leave.
"""

_bytes: mmap.mmap | None = None
_NOTED, _LEFT = range(2)


def share_flags() -> None:
    """Make the bytes that all processes share. Called in the main one, before any fork."""
    global _bytes  # noqa: PLW0603  # one for each process tree, shared by all that is forked
    _bytes = mmap.mmap(-1, 2)


def note_refusal(ledger: Ledger) -> None:
    """Have the main process look at the ledger at once: Plivo has answered 401, and the ledger knows.

    The credentials of an account are looked at by its visits: the worker has work of others, and leaves no queue.
    """
    if _bytes is not None and ledger.keys.account is None:
        _bytes[_NOTED] = 1


def take_note() -> bool:
    """Return whether a process has noted a refusal since the last call. Called in the main process."""
    if _bytes is None or not _bytes[_NOTED]:
        return False
    _bytes[_NOTED] = 0
    return True


def set_left(has_left: bool) -> None:  # it is the value
    """Tell all processes whether this worker has left the queues of the lanes. Called in the main process."""
    if _bytes is not None:
        _bytes[_LEFT] = has_left


def wait_until_left(ledger: Ledger) -> None:
    """Wait until this worker takes no more messages of the lanes, so that what is given back goes to others.

    That takes a moment, LEAVE_SECONDS at most. For an account it is a short pause: this worker may take its message
    again, as long as no other one does.
    """
    if ledger.keys.account is not None:
        shutdown.sleep_unless_stopping(POLL_SECONDS)
        return
    note_refusal(ledger)
    until = boot_clock() + LEAVE_SECONDS
    while _bytes is not None and not _bytes[_LEFT] and boot_clock() < until:
        if not shutdown.sleep_unless_stopping(POLL_SECONDS / 4):
            return

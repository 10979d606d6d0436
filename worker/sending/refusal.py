"""What the processes of one worker tell each other about its credentials, which Plivo may refuse.

They share a pipe and a byte, made before the fork. A child that sees a 401 writes into the pipe, for which the main
process waits. The main process writes the byte when it has left the queues of the lanes. What a child has to give back,
it gives back then: before, its own worker might take the message.
"""

import mmap
import os
import select
from contextlib import suppress
from typing import Final

from ringproof.clock import boot_clock
from ringproof.ledger.ledger import Ledger
from worker.celery import shutdown

POLL_SECONDS: Final = 0.2
"""How often the main process looks at the ledger at most while children are refused. Until it has looked it takes
messages, which it gives back.
"""

LEAVE_SECONDS: Final = 5.0
"""How long a child waits until its worker has left the queues. After it Redis is away, or the worker is not to leave.
"""

_notes: tuple[int, int] | None = None  # the ends of the pipe: to read, and to write
_has_left: mmap.mmap | None = None


def share_flags() -> None:
    """Make what all processes share. Called in the main one, before any fork."""
    global _notes, _has_left  # one for each process tree, shared by all that is forked
    _notes, _has_left = os.pipe(), mmap.mmap(-1, 1)
    for end in _notes:
        os.set_blocking(end, False)


def note_refusal(ledger: Ledger) -> None:
    """Have the main process look at the ledger at once: Plivo has answered 401, and the ledger knows.

    The credentials of an account are looked at by its visits: the worker has work of others, and leaves no queue.
    """
    if ledger.keys.account is None:
        wake()


def wake() -> None:
    """Wake the thread of the main process that waits for a note."""
    if _notes is not None:
        with suppress(BlockingIOError):  # a full pipe wakes it, too
            os.write(_notes[1], b"1")


def wait_for_note(seconds: float) -> None:
    """Wait until a process has noted a refusal, so many seconds at most. Called in the main process."""
    if _notes is not None:
        select.select([_notes[0]], [], [], seconds)


def take_notes() -> None:
    """Take the notes of all processes: what they have seen is looked at now. Called in the main process."""
    if _notes is not None:
        with suppress(BlockingIOError):
            while os.read(_notes[0], 4096):
                pass


def set_left(has_left: bool) -> None:  # it is the value
    """Tell all processes whether this worker has left the queues of the lanes. Called in the main process."""
    if _has_left is not None:
        _has_left[0] = has_left


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
    while _has_left is not None and not _has_left[0] and boot_clock() < until:
        if not shutdown.sleep_unless_stopping(POLL_SECONDS / 4):
            return

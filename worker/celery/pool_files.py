"""The files that the children of a prefork pool share with their parent, where a container has few writable folders.

Billiard keeps a few bytes of shared memory in a temporary file, and makes semaphores, which are files in /dev/shm. A
container whose root is read-only has no /tmp unless it is given one, and Celery would end with a traceback.
"""

import os
import tempfile
from typing import Any, Final

import billiard

from ringproof.errors import Misconfigured

SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108  # each container has one of its own
PREFORK: Final = "celery.concurrency.prefork"

_REMEDY: Final = "mount a tmpfs there, or start with -P threads, which needs none"


def prepare_pool_files(pool: Any) -> None:
    """Find a folder for what the processes of a pool share: the usual one, or /dev/shm. Other pools need none.

    Raises `Misconfigured` if no folder can be written.
    """
    if getattr(pool, "__module__", "") != PREFORK:
        return
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        if not os.access(SHARED_MEMORY, os.W_OK):
            raise Misconfigured(f"the pool prefork cannot write into /tmp or {SHARED_MEMORY}; {_REMEDY}") from None
        tempfile.tempdir = SHARED_MEMORY
    try:
        billiard.Lock()
    except OSError as error:
        problem = f"the pool prefork cannot make a semaphore in {SHARED_MEMORY} ({error.strerror}); {_REMEDY}"
        raise Misconfigured(problem) from None

"""Which worker this process belongs to: the name that Celery gives it, as heartbeats, notes and claims have it."""

import os
import socket

from ringproof.ledger.activity import process_id

_worker = ""


def name_worker(name: str) -> None:
    """Note the worker's name, `bulk@vm`. Called in the main process before any fork, so that its children know it."""
    global _worker  # noqa: PLW0603  # one for each process tree
    _worker = name


def worker_name() -> str:
    """Return the name of this process's worker. A process that is none has its host's: `@vm`."""
    return _worker or f"@{socket.gethostname()}"


def process_name() -> str:
    """Return the name of this process alone: `bulk@vm/123`."""
    return f"{worker_name()}/{os.getpid()}"


def claim_prefix() -> str:
    """Return the 8 hex digits with which the fences of this process's claims begin."""
    return process_id(process_name())

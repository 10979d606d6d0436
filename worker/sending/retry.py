"""Asks the ledger again until it answers."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ringproof.errors import LedgerUnavailable
from worker.celery import shutdown

T = TypeVar("T")


PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between two tries to reach the ledger; the last one repeats until Redis is back."""


_log = logging.getLogger(__name__)


def until_ledger_answers(ask: Callable[[], T], *, seconds: float = float("inf"), ends_with_worker: bool = False) -> T:
    """Ask the ledger until it answers: whatever is asked here may be asked again, and counts once.

    Raises `LedgerUnavailable` if it has not answered within `seconds`, or when this worker stops, if it is to end then.
    """
    gives_up = time.monotonic() + seconds
    tries = 0
    while True:
        try:
            return ask()
        except LedgerUnavailable as error:
            if time.monotonic() > gives_up or (ends_with_worker and shutdown.is_stopping()):
                raise
            if not tries:
                _log.warning("asking again: %s", error)
            time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

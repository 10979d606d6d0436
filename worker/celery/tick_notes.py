"""Notes of what the sweep and the feeder did: an operator sees when each was last, for how long, and what it found."""

import time
from contextlib import suppress
from datetime import timedelta
from typing import Final

from ringproof.errors import LedgerUnavailable
from ringproof.ledger.activity import note_tick
from ringproof.ledger.ledger import Ledger
from worker.celery.identity import worker_name

IDLE_SECONDS: Final = 10.0
"""So often a tick is noted that found nothing to do: as often as beat sends the sweep when nothing is due."""


class TickNotes:
    """The notes that one process writes of one kind of tick.

    notes = TickNotes("sweep")
    began = time.monotonic()
    notes.write(ledger, began, "12 messages sent again")
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._written_at = -IDLE_SECONDS

    def write(self, ledger: Ledger, began: float, what: str) -> None:
        """Note a tick that has ended now and began at `began` (`time.monotonic()`); `what` is empty if it did nothing.

        One that did nothing is not noted again within `IDLE_SECONDS`. Redis may lose a note, and the tick counts.
        """
        now = time.monotonic()
        if not what and now - self._written_at < IDLE_SECONDS:
            return
        self._written_at = now
        took = timedelta(seconds=now - began)
        with suppress(LedgerUnavailable):
            note_tick(ledger, self._name, took=took, what=what or "nothing to do", worker=worker_name())

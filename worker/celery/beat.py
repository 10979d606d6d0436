"""Celery's beat without a schedule file. It sends no tick while some still wait for a worker."""

import logging
from typing import Any, Final

from celery.beat import Scheduler

from ringproof import runtime
from ringproof.ledger.queues import TICKS, queue_length

MOST_WAITING: Final = 3
"""Ticks that may wait for a worker. One tick does all that is due, so more of them would find nothing to do."""

SWEEP: Final = "ringproof.sweep"
FEED: Final = "ringproof.feed"

SCHEDULE: Final = {
    name: {"task": task, "schedule": 1.0, "options": {"queue": TICKS}}
    for name, task in (("sweep", SWEEP), ("feed", FEED))
}

_log = logging.getLogger(__name__)


class PatientScheduler(Scheduler):
    """Sends the ticks and stores nothing. Celery's own scheduler leaves three files in the current folder."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a tick, unless some wait already. A failure is logged, and beat tries again in the next second."""
        try:
            if queue_length(runtime.ledger(), TICKS) < MOST_WAITING:
                self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # noqa: BLE001  # beat goes on, whatever error a tick ends in
            _log.warning("no tick was sent: %s", error)

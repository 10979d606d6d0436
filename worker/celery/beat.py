"""Beat, without a schedule file, and patient: while ticks wait it sends none."""

import logging
from typing import Any, Final

from celery.beat import Scheduler

from ringproof import runtime
from ringproof.ledger.queues import TICKS, queue_length

MOST_WAITING: Final = 3
"""Ticks that may wait for a worker: each finds all that is due, so more of them would find nothing."""

SWEEP: Final = "ringproof.sweep"
FEED: Final = "ringproof.feed"

SCHEDULE: Final = {
    name: {"task": task, "schedule": 1.0, "options": {"queue": TICKS}}
    for name, task in (("sweep", SWEEP), ("feed", FEED))
}

_log = logging.getLogger(__name__)


class PatientScheduler(Scheduler):
    """The stock one leaves three files in the current directory; a tick needs no memory."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a tick, unless some wait already; whatever fails is logged, and the next second tries again."""
        try:
            if queue_length(runtime.ledger(), TICKS) < MOST_WAITING:
                self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # noqa: BLE001  # beat must outlive whatever befalls a tick
            _log.warning("no tick was sent: %s", error)

"""The end of a worker whose Redis is away: once its time to stop is over, it does not wait for Redis any more.

In a stop Celery's main process acknowledges one message after the other, and for each one it waits 5 s for a Redis that
stands still. With 32 threads that took over two minutes, and a supervisor gives a worker 30 s.
"""

import logging
import os
import threading
import time
from contextlib import suppress
from typing import Any, Final

from celery import bootsteps

from ringproof import runtime
from ringproof.errors import LedgerUnavailable
from worker.celery import shutdown

LAST_RESULTS_SECONDS: Final = 3.0
"""How long after the grace it asks Redis: the senders give up the last results by then, or while it waits for Redis."""

_log = logging.getLogger(__name__)


class EndWithoutRedis(bootsteps.StartStopStep):
    """Ends the worker soon after its grace if Redis does not answer then."""

    requires = ("worker.celery.readiness:Readiness",)

    def close(self, _parent: Any) -> None:
        """Begin to watch: Celery calls this when a stop begins. A restart by SIGHUP is noted nowhere else."""
        shutdown.note_stop()
        with suppress(RuntimeError):  # the system has no thread left; the stop takes longer then
            threading.Thread(target=end_without_redis, name="end", daemon=True).start()


def end_without_redis() -> None:
    """End this process after the grace, as soon as Redis does not answer."""
    while not shutdown.is_grace_over():
        time.sleep(shutdown.POLL_SECONDS)
    while True:
        time.sleep(LAST_RESULTS_SECONDS)
        try:
            runtime.ledger().ping()
        except LedgerUnavailable as error:
            _log.warning(
                "this worker ends without Redis; the messages that it has taken are delivered again: %s", error
            )
            os._exit(os.EX_OK)

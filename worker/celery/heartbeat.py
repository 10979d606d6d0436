"""The heartbeat of a worker: it says in Redis that it takes messages, for `ringproof health`, and wants its events."""

import os
import socket
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from celery import bootsteps
from celery.worker.consumer.consumer import STOP_CONDITIONS

from ringproof import runtime
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.heartbeats import BEAT_SECONDS, beat, end_beats
from worker.celery.consumers import want_events


class Heartbeat(bootsteps.StartStopStep):
    """Beats in the main process from when it takes messages. While it has lost Redis, or is stuck, it does not beat."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self._timer: Any = None

    def start(self, c: Any) -> None:
        """Beat now, and every `BEAT_SECONDS`."""
        facts = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": version("ringproof"),
            "queues": sorted(c.app.amqp.queues.consume_from),
        }

        current = runtime.settings()

        def beat_once() -> None:
            with suppress(LedgerUnavailable):  # the consumer says that Redis is away, and connects again
                beat(runtime.ledger(), c.hostname, facts)
                want_events(current)

        beat_once()
        self._timer = c.timer.call_repeatedly(BEAT_SECONDS, beat_once)

    def stop(self, c: Any) -> None:
        """End the beats: before Celery connects again, or for good, and then the worker is forgotten at once."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if c.blueprint.state in STOP_CONDITIONS:
            with suppress(LedgerUnavailable):
                end_beats(runtime.ledger(), c.hostname)

"""Celery's beat without a schedule file. It sends a tick only when there is something to do for it."""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final

from billiard.process import current_process
from celery.beat import Scheduler

from ringproof import runtime
from ringproof.batches.feeding import is_anything_to_feed
from ringproof.errors import LedgerUnavailable
from ringproof.events import outbox
from ringproof.ledger.activity import note_tick
from ringproof.ledger.agenda import is_anything_due
from ringproof.ledger.attention import is_anybody_due
from ringproof.ledger.heartbeats import BEAT, BEAT_SECONDS, beat, beat_name, end_beats
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import TICKS, queue_length

MOST_WAITING: Final = 3
"""Ticks that may wait for a worker. One tick does all that is due, so more of them would find nothing to do."""

LONGEST_REST_SECONDS: Final = 10.0
"""So often the sweep runs anyway: it repairs the agenda, and health tells by its last tick that there is a beat."""

SWEEP: Final = "ringproof.sweep"
FEED: Final = "ringproof.feed"
VISIT: Final = "ringproof.visit_accounts"

SCHEDULE: Final = {
    name: {"task": task, "schedule": 1.0, "options": {"queue": TICKS}}
    for name, task in (("sweep", SWEEP), ("feed", FEED), ("accounts", VISIT))
}


def is_sweep_needed(ledger: Ledger) -> bool:
    """Whether the agenda has something that is due, or a consumer of events may get some."""
    return is_anything_due(ledger) or (outbox.has_consumers(ledger) and bool(outbox.due_consumers(ledger)))


def is_visit_needed(ledger: Ledger) -> bool:
    """Whether an account beside the installation's own needs a visit. Without such accounts Redis is not asked."""
    return runtime.has_accounts() and is_anybody_due(ledger)


IS_NEEDED: Final[dict[str, Callable[[Ledger], bool]]] = {
    SWEEP: is_sweep_needed,
    FEED: is_anything_to_feed,
    VISIT: is_visit_needed,
}

_log = logging.getLogger(__name__)


def about_beat() -> dict[str, Any]:
    """Return what beat says of itself in its heartbeat."""
    return {"kind": BEAT, "host": socket.gethostname(), "pid": os.getpid(), "version": version("ringproof")}


class PatientScheduler(Scheduler):
    """Sends the ticks and stores nothing. Celery's own scheduler leaves three files in the current folder."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._swept_at = -LONGEST_REST_SECONDS
        self._beaten_at = self._noted_at = -BEAT_SECONDS
        self._worker = os.getppid() if current_process().name == "Beat" else None
        self._about = about_beat()
        super().__init__(*args, **options)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a tick if it is needed, unless some wait already. A failure is logged; beat tries again in a second."""
        if self._worker and os.getppid() != self._worker:
            raise SystemExit  # the worker whose option -B began this process was killed, and nobody else would end it
        try:
            self._beat()
            if self._is_needed(entry.task) and queue_length(runtime.ledger(), TICKS) < MOST_WAITING:
                began = time.monotonic()
                self.apply_async(entry, producer=producer, advance=False)
                if entry.task == SWEEP:
                    self._swept_at = time.monotonic()
                self._note_tick(entry.name, began)
        except Exception as error:  # noqa: BLE001  # beat goes on, whatever error a tick ends in
            _log.warning("no tick was sent: %s", error)

    def adjust(self, n: float | None, drift: float = 0.001) -> float | None:
        """Return for how long to sleep until an entry is due. Celery's own wakes 10 ms early, and loops for so long."""
        return n and n + drift

    def close(self) -> None:
        """End the heartbeats: this beat sends no more ticks. Celery calls this at its end."""
        with suppress(LedgerUnavailable):
            end_beats(runtime.ledger(), beat_name(socket.gethostname()))
        super().close()

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten_at >= BEAT_SECONDS:
            self._beaten_at = now
            with suppress(LedgerUnavailable):  # the ticks say so, if they fail too
                beat(runtime.ledger(), beat_name(socket.gethostname()), self._about)

    def _note_tick(self, name: str, began: float) -> None:
        """Note that a tick was sent, but not each one: with a batch, two are sent each second."""
        now = time.monotonic()
        if now - self._noted_at >= BEAT_SECONDS:
            self._noted_at = now
            took = timedelta(seconds=now - began)
            beat_here = beat_name(socket.gethostname())
            with suppress(LedgerUnavailable):
                note_tick(runtime.ledger(), BEAT, took=took, what=f"sent a tick to the {name}", worker=beat_here)

    def _is_needed(self, task: str) -> bool:
        has_rested = task == SWEEP and time.monotonic() - self._swept_at >= LONGEST_REST_SECONDS
        return has_rested or IS_NEEDED[task](runtime.ledger())

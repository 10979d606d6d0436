"""What this process does, as it says in Redis while it has work: in hand, under way, sent, and why it cannot send.

The numbers are counted here, and written by a thread of their own: no send waits for it.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.activity import ACTIVITY_SECONDS, end_activity, note_activity
from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Reason, State
from worker.celery.identity import process_name, worker_name
from worker.sending.attempt import Attempted

CLOSE_SECONDS: Final = 1.0
"""How long the end of a process waits for a report that is being written: Redis may be away."""


@dataclass(slots=True)
class _Unreachable:
    """Since when (`boot_clock()`) Plivo could not be asked, in how many attempts, and why the last one failed."""

    since: float
    count: int
    why: str


class ProcessActivity:
    """Counts what one process does, and writes it into Redis every `ACTIVITY_SECONDS` while there is work. Thread-safe.

    After the last work it writes once more, and then nothing: an idle process costs nothing. `work` returns how many
    numbers are in hand, and how many are under way.

        activity = ProcessActivity(ledger, lambda: (in_hand, under_way))
        activity.begin()
        activity.note(attempted)
        activity.close()
    """

    def __init__(self, ledger: Ledger, work: Callable[[], tuple[int, int]]) -> None:
        self._ledger, self._work = ledger, work
        self._process = process_name()
        self._sent = self._missed = 0
        self._last_sent: float | None = None
        self._unreachable: _Unreachable | None = None
        self._counts = threading.Lock()
        self._thread = ThreadPoolExecutor(1)
        self._changed = threading.Condition()
        self._is_reporting = self._has_news = self._is_closing = False
        self._is_known = False
        self._written: Mapping[str, Any] | None = None

    @property
    def is_reporting(self) -> bool:
        """Whether a thread writes reports at the moment: while there is work, and a few seconds longer."""
        return self._is_reporting

    def begin(self) -> None:
        """Report, from now on until no work is left. Call it after each work that came."""
        with self._changed:
            self._has_news = True
            if self._is_reporting or self._is_closing:
                return
            self._is_reporting = True
        try:
            self._thread.submit(self._report)
        except RuntimeError:  # the system has no thread left; with the next work there may be one
            self._is_reporting = False

    def note(self, attempted: Attempted, *, is_missed: bool) -> None:
        """Count an attempt, and whether it has missed its slot."""
        outcome = attempted.outcome
        with self._counts:
            self._missed += is_missed
            if outcome.state is State.CODE_SENT:
                self._sent += 1
                self._last_sent = attempted.ended_at
            if outcome.reason is Reason.UNREACHABLE:
                before = self._unreachable or _Unreachable(attempted.ended_at, 0, "")
                self._unreachable = _Unreachable(before.since, before.count + 1, outcome.detail or "")
            elif outcome.plivo_signal not in {PlivoSignal.NONE, PlivoSignal.DOUBTFUL}:  # Plivo has answered
                self._unreachable = None

    def close(self) -> None:
        """End the reports, and forget the process in Redis: it has nothing left."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_reporting, CLOSE_SECONDS)
        if self._is_known and not self._is_reporting:
            with suppress(LedgerUnavailable):
                end_activity(self._ledger, self._process)

    def _report(self) -> None:
        try:
            while self._report_once():
                pass
        finally:
            with self._changed:
                self._is_reporting = False
                self._changed.notify_all()

    def _report_once(self) -> bool:
        """Write a report if it says something new, and wait; return whether there may be more to say."""
        self._has_news = False
        in_hand, under_way = self._work()
        with self._counts:
            facts = {
                "worker": worker_name(),
                "in_hand": in_hand,
                "sending": under_way,
                "sent": self._sent,
                "missed_slots": self._missed,
            }
            moments = {"last_sent": self._last_sent}
            if self._unreachable:
                facts |= {"unreachable_count": self._unreachable.count, "unreachable_why": self._unreachable.why}
                moments["unreachable_since"] = self._unreachable.since
        is_idle = not (in_hand or under_way)
        if not (is_idle and facts == self._written):
            self._written = facts if self._write(facts, moments) else None
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing, ACTIVITY_SECONDS)
            return not self._is_closing and (self._has_news or not is_idle or self._written is None)

    def _write(self, facts: Mapping[str, Any], moments: Mapping[str, float | None]) -> bool:
        ago = {name: timedelta(seconds=boot_clock() - at) for name, at in moments.items() if at is not None}
        try:
            note_activity(self._ledger, self._process, facts, ago)
        except LedgerUnavailable:  # the sends say so, which need it more
            self._is_known = False
        else:
            self._is_known = True
        return self._is_known

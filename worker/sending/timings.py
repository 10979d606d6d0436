"""How long things take: this process counts its durations, and adds them to the counts in Redis every few seconds."""

import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from ringproof.errors import LedgerUnavailable
from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.metrics import HTTP, SLOT_WAIT, add_counts
from ringproof.ledger.record import Lane, Reason

if TYPE_CHECKING:
    from worker.sending.attempt import Attempted

WRITE_SECONDS: Final = 5.0
"""How long durations are kept here. A process that is killed loses those of this time, and no other count."""

LAST_SECONDS: Final = 1.0
"""How long the end of a process waits for the last durations to be written."""


_RESULTS: Final = {PlivoSignal.ANSWERED: "rejected", PlivoSignal.KNOWN: "answered"}
"""The results that are named otherwise than their signal."""


def result_of(signal: PlivoSignal, *, is_unreachable: bool) -> str | None:
    """Return the result of a request to Plivo as the metrics name it; None if no request was made."""
    if signal is PlivoSignal.NONE:
        return "unreachable" if is_unreachable else None
    return _RESULTS.get(signal, str(signal))


class Timings:
    """The durations of one process that are not in Redis yet. Thread-safe.

        timings = Timings(ledger)
        timings.note_answer("send", "taken", 0.21)
        timings.write()

    While there are any, a timer writes them: a process without work asks Redis for nothing.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._new: Counter[str] = Counter()
        self._unwritten: tuple[str, Counter[str]] | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._writes = threading.Lock()

    def note_attempt(self, attempted: "Attempted") -> None:
        """Note how long the request has waited for its slot, and how long Plivo took. Nothing, if nothing was asked."""
        begun, record = attempted.begun, attempted.record
        result = result_of(
            attempted.outcome.plivo_signal, is_unreachable=attempted.outcome.reason is Reason.UNREACHABLE
        )
        if result is None:
            return
        self.note_answer("send", result, attempted.ended_at - attempted.slot)
        if record.ends_at:
            # Pauses and quiet hours have moved the deadline, so they do not count as a wait.
            accepted_at = record.ends_at - self._ledger.durations.request(record.lane)
            slot = begun.at_us / 1e6 + attempted.slot - begun.at
            self.note_wait(record.lane, slot - accepted_at.timestamp())

    def note_answer(self, asked: str, result: str, seconds: float) -> None:
        """Note how long Plivo took to answer a `send` or a `question`. A name of the result is a label of a metric."""
        self._add(HTTP.fields((asked, result), max(seconds, 0.0)))

    def note_wait(self, lane: Lane, seconds: float) -> None:
        """Note how long a request has waited for its slot."""
        self._add(SLOT_WAIT.fields((lane,), max(seconds, 0.0)))

    def write(self) -> bool:
        """Add what is noted to the counts in Redis. Returns False if Redis does not take it: then it is kept.

        A call whose answer was lost is repeated with its token, and so counts once.
        """
        with self._writes:
            while True:
                with self._lock:
                    if self._unwritten is None and self._new:
                        self._unwritten, self._new = (secrets.token_hex(8), self._new), Counter()
                    if self._unwritten is None:
                        return True
                token, fields = self._unwritten
                try:
                    add_counts(self._ledger, fields, token)
                except LedgerUnavailable:
                    return False
                self._unwritten = None

    def _add(self, fields: Iterable[tuple[str, int]]) -> None:
        with self._lock:
            for field, by in fields:
                self._new[field] += by
            if self._timer is None:
                self._set_timer()

    def _set_timer(self) -> None:
        self._timer = threading.Timer(WRITE_SECONDS, self._write_later)
        self._timer.daemon = True
        with suppress(RuntimeError):  # the system has no thread left: the next duration tries again
            self._timer.start()
            return
        self._timer = None

    def _write_later(self) -> None:
        is_written = self.write()
        with self._lock:
            self._timer = None
            if self._new or not is_written:
                self._set_timer()


_lock = threading.Lock()
_of_process: WeakKeyDictionary[Ledger, tuple[int, Timings]] = WeakKeyDictionary()


def timings(ledger: Ledger) -> Timings:
    """Return the durations of this process, for its ledger. A child process has its own."""
    with _lock:
        pid, known = _of_process.get(ledger, (0, None))
        if known is None or pid != os.getpid():
            known = Timings(ledger)
            _of_process[ledger] = (os.getpid(), known)
        return known


def write_last() -> None:
    """Write what this process has noted, because it ends. A Redis that is away keeps it no longer than a second."""
    with _lock:
        ours = [one for pid, one in _of_process.values() if pid == os.getpid()]
    for one in ours:
        writing = threading.Thread(target=one.write, daemon=True)
        with suppress(RuntimeError):  # the system has no thread left
            writing.start()
            writing.join(LAST_SECONDS)

"""The results of attempts, on their way to the ledger: those that come together are written in one call."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain, repeat
from typing import Final

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.answers import PlivoSignal, Settled, Settlement, Written
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from worker.celery import shutdown
from worker.celery.outcome_log import Event, about, of_account
from worker.sending.attempt import Attempted
from worker.sending.refusal import note_refusal
from worker.sending.retry import PAUSES
from worker.sending.spans import add_attempt

MOST_AT_ONCE: Final = 25
"""Results in one call: Redis does nothing else while it writes them, for a few milliseconds."""

_log = logging.getLogger(__name__)


class Results:
    """Writes results to the ledger. Thread-safe; a process needs one.

    No result waits for others: the first thread that comes writes its own at once, and what comes meanwhile after it.
    """

    def __init__(self, ledger: Ledger, *, repeats_apart: bool = False) -> None:
        self._ledger = ledger
        self._waiting: deque[Attempted] = deque()
        self._writes = threading.Lock()
        self._failed: deque[Attempted] = deque()
        self._repeats = threading.Lock()
        self._repeats_apart = repeats_apart
        self._repeater: threading.Thread | None = None

    @property
    def unwritten(self) -> int:
        """How many results the ledger does not have yet."""
        return len(self._waiting) + len(self._failed)

    def write(self, attempted: Attempted) -> None:
        """Write a result, or leave it to the thread that writes at the moment.

        A result that the ledger does not take is written again until it does: Plivo's answer must survive an outage of
        Redis. One thread repeats all of these, so that the others go on sending: a sender, or with `repeats_apart` a
        thread of its own, so that the Redis of one account keeps no sender from the others. When this worker's time to
        stop is over, what is left is given up: these numbers are in doubt when their leases end.
        """
        is_away = self._repeats_apart and self._failed
        (self._failed if is_away else self._waiting).append(attempted)
        # Looked at again after each release: a result that came before it would otherwise stay.
        while self._waiting and self._writes.acquire(blocking=False):
            try:
                self._write_some(self._waiting)
            finally:
                self._writes.release()
        if self._repeats_apart and self._is_repeated_apart():
            return
        while self._failed and self._repeats.acquire(blocking=False):
            try:
                self._repeat()
            finally:
                self._repeats.release()

    def close(self) -> None:
        """Wait until what the ledger did not take is written, or given up."""
        with self._repeats:
            repeater = self._repeater
        if repeater:
            repeater.join()

    def _is_repeated_apart(self) -> bool:
        """Whether a thread of its own repeats what has failed. If the system has none left, a sender does it."""
        with self._repeats:
            if self._failed and self._repeater is None:
                repeater = threading.Thread(target=self._repeat_apart, name="results", daemon=True)
                try:
                    repeater.start()
                except RuntimeError:
                    return False
                self._repeater = repeater
        return True

    def _repeat_apart(self) -> None:
        with of_account(self._ledger.keys.account):
            while True:
                self._repeat()
                with self._repeats:
                    if not self._failed:
                        self._repeater = None
                        return

    def _repeat(self) -> None:
        """Write the results that the ledger did not take, again and again until it has them all."""
        pauses = chain(PAUSES, repeat(PAUSES[-1]))
        while self._failed:
            time.sleep(next(pauses))
            for _ in range(0, len(self._failed), MOST_AT_ONCE):
                if shutdown.is_grace_over():
                    self._give_up()
                    return
                self._write_some(self._failed)

    def _give_up(self) -> None:
        left = len(self._failed)
        self._failed.clear()
        _log.warning(
            "this worker stops, and Redis has not taken the results of %d numbers: they will be in doubt", left
        )

    def _write_some(self, results: deque[Attempted]) -> None:
        """Write the first of these results. Those that the ledger does not take are `_failed` then."""
        some = [results.popleft() for _ in range(min(len(results), MOST_AT_ONCE))]
        error = self._settle(some)
        if error is None:
            return
        left = some
        if error.is_refusal and len(some) > 1:
            # Perhaps of one record, which is damaged. It must not keep back the results of the others.
            left = [one for one in some if self._settle([one])]
        if left and results is self._waiting and not self._failed:
            _log.warning("results are written again until the ledger has them: %s", error)
        self._failed.extend(left)

    def _settle(self, some: Sequence[Attempted]) -> LedgerUnavailable | None:
        now = boot_clock()
        try:
            settlements = [_settlement(one, timedelta(seconds=now - one.ended_at)) for one in some]
            for one, written in zip(some, self._ledger.settle_many(settlements), strict=True):
                _log_outcome(one, written)
                add_attempt(one, written)
        except LedgerUnavailable as error:
            return error
        if any(one.outcome.plivo_signal is PlivoSignal.UNAUTHORIZED for one in some):
            note_refusal(self._ledger)
        return None


def _log_outcome(one: Attempted, written: Written) -> None:
    """Log what the ledger has written: it may be another state than the outcome's, as after a 402."""
    began = one.passed_at or one.slot
    took_ms = round(max(one.ended_at - began, 0.0) * 1000)
    why = ", ".join(filter(None, (written.reason, one.outcome.detail)))
    late = written.settled is Settled.STALE
    text = "too late for the ledger: %s %s %s %d ms%s" if late else "%s %s %s %d ms%s"
    facts = {
        "state": written.state,
        "reason": written.reason,
        "batch": written.batch,
        "row": written.row,
        "http_status": one.http_status,
        "api_id": one.outcome.api_id,
        "slot_late_ms": one.passed_at and round((one.passed_at - one.slot) * 1000),
        "ms": took_ms,
    }
    extra = about(Event.ATTEMPT, one.record.phone_number, one.record, **facts)
    _log.log(
        logging.WARNING if late else logging.INFO,
        text,
        one.outcome.state if late else written.state,
        extra["number"],
        one.record.channel,
        took_ms,
        f" ({why})" if why else "",
        extra=extra,
    )
    if one.outcome.plivo_signal is PlivoSignal.NO_CREDIT and written.state is State.WAITING:  # or it alone is too dear
        _log.error("Plivo answered %s: the account has no credit; numbers wait until it has some", one.outcome.detail)


def _settlement(one: Attempted, ago: timedelta) -> Settlement:
    return Settlement(one.record.phone_number, one.record.request, one.begun.fence, one.outcome, ago)

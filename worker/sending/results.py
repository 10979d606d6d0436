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
from ringproof.ledger.answers import Settlement
from ringproof.ledger.ledger import Ledger
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.sending.attempt import Attempted
from worker.sending.retry import PAUSES

MOST_AT_ONCE: Final = 25
"""Results in one call: Redis does nothing else while it writes them, for a few milliseconds."""

_log = logging.getLogger(__name__)


class Results:
    """Writes results to the ledger. Thread-safe; a process needs one.

    No result waits for others: the first thread that comes writes its own at once, and what comes meanwhile after it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[Attempted] = deque()
        self._writes = threading.Lock()
        self._failed: deque[Attempted] = deque()
        self._repeats = threading.Lock()

    def write(self, attempted: Attempted) -> None:
        """Write a result, or leave it to the thread that writes at the moment.

        A result that the ledger does not take is written again until it does: Plivo's answer must survive an outage of
        Redis. One thread repeats all of these, so that the others go on sending. When this worker's time to stop is
        over, what is left is given up: these numbers are in doubt when their leases end.
        """
        self._waiting.append(attempted)
        # Looked at again after each release: a result that came before it would otherwise stay.
        while self._waiting and self._writes.acquire(blocking=False):
            try:
                self._write_some(self._waiting)
            finally:
                self._writes.release()
        while self._failed and self._repeats.acquire(blocking=False):
            try:
                self._repeat()
            finally:
                self._repeats.release()

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
        _log.error("this worker stops, and Redis has not taken the results of %d numbers: they will be in doubt", left)

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
            self._ledger.settle_many([_settlement(one, timedelta(seconds=now - one.ended_at)) for one in some])
        except LedgerUnavailable as error:
            return error
        for one in some:
            outcome, took = one.outcome, (one.ended_at - one.slot) * 1000
            why = f" ({outcome.reason or outcome.detail})" if outcome.reason or outcome.detail else ""
            who, channel = mask(one.record.phone_number), one.record.channel
            _log.info("%s %s %s %.0f ms%s", outcome.state, who, channel, max(took, 0), why)
        return None


def _settlement(one: Attempted, ago: timedelta) -> Settlement:
    return Settlement(one.record.phone_number, one.record.request, one.begun.fence, one.outcome, ago)

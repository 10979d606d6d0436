"""The results of attempts, on their way to the ledger: those that come together are written in one call."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.answers import Settlement
from ringproof.ledger.ledger import Ledger
from ringproof.phone.masking import mask
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

    def write(self, attempted: Attempted) -> None:
        """Write a result, or leave it to the thread that writes at the moment.

        The writing thread goes on until the ledger has all: Plivo's answer must survive an outage of Redis.
        """
        self._waiting.append(attempted)
        failures = 0
        # Looked at again after each release: a result that came before it would otherwise stay.
        while self._waiting and self._writes.acquire(blocking=False):
            try:
                error = self._write_some()
            finally:
                self._writes.release()
            failures = failures + 1 if error else 0
            if failures == 1:
                _log.warning("results are written again until the ledger has them: %s", error)
            if failures:
                time.sleep(PAUSES[min(failures, len(PAUSES)) - 1])

    def _write_some(self) -> LedgerUnavailable | None:
        """Write the next results. Those that Redis does not take wait again; then returns why."""
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        error = self._settle(some)
        left = some if error else []
        if error and error.is_refusal and len(some) > 1:
            # Perhaps of one record, which is damaged. It must not keep back the results of the others.
            left = [one for one in some if self._settle([one])]
        self._waiting.extend(left)
        return error if left else None

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

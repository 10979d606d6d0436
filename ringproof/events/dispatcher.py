"""Delivers events: different numbers at once, the events of one number one after the other.

At least once: a dispatcher that is killed has saved nothing of its page, and the next one delivers all of it.
"""

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from ringproof.clock import boot_clock
from ringproof.events import outbox
from ringproof.events.event import Event, EventKind
from ringproof.events.outbox import Chain, ChainResult, EventPage, PageResult
from ringproof.events.receiver import Receipt, Receiver
from ringproof.ledger.ledger import Ledger

SCHEDULE: Final = (
    *(timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
"""The waits between the tries of one event: the specification's example. The last one is that of all later tries."""

GIVEN_UP_AFTER: Final = sum(SCHEDULE, timedelta())
"""Three days and three hours: an event that happened so long ago, and fails once more, is given up."""

LEFT_TO_NEWER: Final = timedelta(seconds=5)
"""How long an event waits that only a newer version can deliver: a dispatcher of that version may take it then."""

JITTER: Final = 0.1
"""How much longer a wait may be: what failed at one moment is not tried again at one moment."""

PAGE: Final = 100
PAGE_SECONDS: Final = 5.0
"""Events of a page, and after how long no further one is begun: one takes 15 s at most, and the lease lasts 25 s."""

SECONDS: Final = 20.0
"""How long one dispatcher takes pages. Then its thread is free for other work, and the next tick goes on."""

_log = logging.getLogger(__name__)


def dispatch(
    ledger: Ledger, receiver: Receiver, is_stopping: Callable[[], bool] = bool, seconds: float = SECONDS
) -> int:
    """Deliver events for some seconds, or until there are none; return how many were delivered.

    It begins no further event once `is_stopping`. Raises `LedgerUnavailable`: then a page may be delivered twice.
    """
    consumer, fence = receiver.consumer, outbox.new_fence()
    until, delivered = boot_clock() + seconds, 0
    try:
        while boot_clock() < until and not is_stopping():
            page = outbox.take_page(ledger, consumer, fence, PAGE)
            if page is None or not page.chains:
                break
            result = _PageDelivery(receiver, page, is_stopping).run()
            if not outbox.save_page(ledger, consumer, fence, result):
                break  # this process was frozen for longer than its lease
            delivered += result.delivered
    finally:
        outbox.release(ledger, consumer, fence)
    return delivered


class _PageDelivery:
    """The delivery of one page. Its threads share the count of failures in a row: all stop once it is too high."""

    def __init__(self, receiver: Receiver, page: EventPage, is_stopping: Callable[[], bool]) -> None:
        self._receiver, self._page, self._is_stopping = receiver, page, is_stopping
        self._until = boot_clock() + PAGE_SECONDS
        self._result = PageResult(page.cursor, [], page.failures)
        self._lock = threading.Lock()
        self._is_away = False

    def run(self) -> PageResult:
        """Deliver, and return what has become of the page."""
        chains = self._page.chains
        if self._receiver.threads == 1:
            results = list(map(self._deliver_chain, chains))
        else:
            with ThreadPoolExecutor(min(self._receiver.threads, len(chains))) as pool:
                results = list(pool.map(self._deliver_chain, chains))
        self._result.chains = [one for one in results if one.over or one.behind or one.wait is not None]
        return self._result

    def _deliver_chain(self, chain: Chain) -> ChainResult:
        """Deliver the events of one subject, until one fails."""
        events = chain.waited or chain.new
        over: list[str] = []
        tries, wait = chain.tries, None
        for entry_id, event in events:
            if self._is_over():
                break
            if event and event.kind is EventKind.NEWER_VERSION:
                wait = LEFT_TO_NEWER
                break
            if failure := self._failure_of(entry_id, event):
                tries += 1
                wait = max(_wait_after(tries), failure.retry_after)
                break
            over.append(entry_id)
            tries, wait = 0, timedelta()
        if chain.waited:
            return ChainResult(chain.subject, over, chain.behind, tries, wait)
        left = tuple(entry_id for entry_id, _ in events[len(over) :])
        return ChainResult(chain.subject, (), left + chain.behind, tries, wait if left else None)

    def _failure_of(self, entry_id: str, event: Event | None) -> Receipt | None:
        """Deliver an event, and return why it has to be tried again; None if it is over, in whatever way."""
        receipt = self._receiver.deliver(event) if event else Receipt()
        result = self._result
        with self._lock:
            if event is None:
                result.trimmed += 1
            elif not receipt.failure:
                result.delivered += 1
                result.failures = 0
            else:
                result.failures += 1
                result.rest = max(result.rest, receipt.retry_after)
                self._is_away = self._is_away or result.failures >= self._page.away_after
                if receipt.is_gone:
                    result.gone = self._receiver.address
                _log.warning("not delivered to %s: %s: %s", self._receiver.consumer, event, receipt.failure)
                if event.at + GIVEN_UP_AFTER <= self._page.now:
                    result.given_up.append((entry_id, receipt.failure))
                    return None
        return receipt if receipt.failure else None

    def _is_over(self) -> bool:
        """Whether no further event of this page is to be begun."""
        result = self._result
        return self._is_away or bool(result.gone) or boot_clock() > self._until or self._is_stopping()


def _wait_after(tries: int) -> timedelta:
    wait = SCHEDULE[min(tries, len(SCHEDULE)) - 1]
    return wait * (1 + random.uniform(0, JITTER))  # noqa: S311  # no cryptography

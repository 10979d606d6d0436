"""Many numbers at once in one child: one thread books slots, the others send."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

from ringproof.ledger.answers import Begun
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from worker.sending.attempt import attempt
from worker.sending.booking import asleep, book

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient


THREADS: Final = 25
"""Sends under way in one child: with an API of 100 ms one child alone uses four times Plivo's pace."""


class SenderPool:
    """Threads that send what was begun, for as long as this is entered."""

    def __init__(self, ledger: Ledger, client: "PlivoClient") -> None:
        self._ledger, self._client = ledger, client
        self._pool = ThreadPoolExecutor(THREADS)
        self._free = THREADS
        self._changed = threading.Condition()
        self._futures: list[Future[None]] = []
        self.back: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until all is sent; raise what no send may raise, and did."""
        self._pool.shutdown()
        for future in self._futures:
            future.result()

    def room(self) -> int:
        """Wait until a thread is free; return how many are."""
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            return self._free

    def send(self, begun: Begun, asked_at: float) -> bool:
        """Have it sent by a free thread; what goes back meanwhile is in `back` afterwards."""
        with self._changed:
            self._free -= 1
        self._futures.append(self._pool.submit(self._send, begun, asked_at))
        return True

    def _send(self, begun: Begun, asked_at: float) -> None:
        try:
            if not attempt(self._ledger, self._client, begun, asked_at) and begun.record:
                self.back.append((begun.record.phone_number, begun.record.request))
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify()


def work(
    ledger: Ledger, client: "PlivoClient", requests: Sequence[tuple[str, int]], lane: Lane
) -> Sequence[tuple[str, int]]:
    """Send to each (number, request) whose turn comes within BOOKING_SECONDS; return the others."""
    sleepers = asleep(ledger, requests, lane)
    with SenderPool(ledger, client) as senders:
        rest = book(ledger, requests, senders.send, room=senders.room, asleep=sleepers)
    return [*senders.back, *rest]

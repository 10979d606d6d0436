"""Many numbers at once in one child: one thread takes slots, the others send."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

from ringproof.ledger.answers import Begun
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from worker.sending.attempt import attempt
from worker.sending.begin import begin_and_send, in_quiet_hours

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient


THREADS: Final = 25
"""Sends under way in one child. If Plivo answers in 100 ms, one child could send at four times 300/5s."""


class SenderPool:
    """Threads that send to numbers that were begun. On exit the pool waits until all of them are done."""

    def __init__(self, ledger: Ledger, client: "PlivoClient") -> None:
        self._ledger, self._client = ledger, client
        self._pool = ThreadPoolExecutor(THREADS)
        self._free = THREADS
        self._changed = threading.Condition()
        self._futures: list[Future[None]] = []
        self.returned: list[tuple[str, int]] = []
        """Each (number, request) that was queued again because its slot was revoked. Complete after the exit."""

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until all sends are done. Raises an unexpected error of a send, if there was one."""
        self._pool.shutdown()
        for future in self._futures:
            future.result()

    def wait_for_free(self) -> int:
        """Wait until a thread is free; return how many are free."""
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            return self._free

    def send(self, begun: Begun, asked_at: float) -> bool:
        """Give the number to a free thread. Returns True at once; if its slot is revoked, it is in `returned` later."""
        with self._changed:
            self._free -= 1
        self._futures.append(self._pool.submit(self._send, begun, asked_at))
        return True

    def _send(self, begun: Begun, asked_at: float) -> None:
        try:
            if not attempt(self._ledger, self._client, begun, asked_at) and begun.record:
                self.returned.append((begun.record.phone_number, begun.record.request))
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify()


def send_to_many(
    ledger: Ledger, client: "PlivoClient", requests: Sequence[tuple[str, int]], lane: Lane
) -> Sequence[tuple[str, int]]:
    """Send to each (number, request) that gets its slot within BEGIN_SECONDS; return the others.

        rest = send_to_many(ledger, client, [("+14155550123", 1764374400)], Lane.BULK)

    All of them are of one lane, channel and subaccount.
    """
    quiet_until = in_quiet_hours(ledger, requests, lane)
    with SenderPool(ledger, client) as senders:
        rest = begin_and_send(
            ledger, requests, senders.send, wait_for_free=senders.wait_for_free, quiet_until=quiet_until
        )
    return [*senders.returned, *rest]

"""`work_chunk`: many numbers in one message, sent by many threads, each at its slot."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self

from tasks.attempt import attempt
from tasks.booking import asleep, book
from tasks.messages import WORK_CHUNK, MaskedTask, is_request, send_chunk
from worker import errors, runtime, stop
from worker.celery import app
from worker.ledger import Ledger
from worker.phone import shown
from worker.record import Lane
from worker.request import lane_of
from worker.verdict import Begun

if TYPE_CHECKING:
    from worker.plivo import PlivoClient

THREADS: Final = 25
"""Sends under way in one child: with an API of 100 ms one child alone uses four times Plivo's pace."""


class Senders:
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
    """Send to each (number, request) whose turn comes within `tasks.booking.BOOKING_SECONDS`; return the others."""
    sleepers = asleep(ledger, requests, lane)
    with Senders(ledger, client) as senders:
        rest = book(ledger, requests, senders.send, room=senders.room, asleep=sleepers)
    return [*senders.back, *rest]


@app.task(
    base=MaskedTask,
    name=WORK_CHUNK,
    shared=False,
    bind=True,
    ignore_result=True,
    throws=(errors.InvalidRequest,),
)
def work_chunk(self: MaskedTask, requests: Any) -> None:
    """Send to many accepted numbers of one lane, channel and subaccount: `[[number, request], …]`.

    One thread of the child books slots, the others send. What has none within seconds is handed on in a new message.
    """
    if not isinstance(requests, list) or not all(map(is_request, requests)):
        raise errors.InvalidRequest("requests", shown(requests), "they are Ringproof's own: [[number, request], …]")
    lane = lane_of(self.request.delivery_info["routing_key"])
    with stop.sending():
        rest = work(runtime.ledger(), runtime.plivo(), [(number, request) for number, request in requests], lane)
    if rest:
        send_chunk(rest, lane)

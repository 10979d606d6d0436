"""What sends in this process: its senders, and the numbers of bulk and schedule that it has in hand."""

import os
import threading
from typing import Any

from celery import signals

from ringproof import runtime
from ringproof.celery.messages import send_chunk
from ringproof.ledger.record import Lane
from worker.celery import shutdown
from worker.sending.bulk import InHand
from worker.sending.senders import Senders


class Sending:
    """The sending of one process, for as long as it lives. A child process makes its own."""

    def __init__(self) -> None:
        self.ledger = runtime.ledger()
        self.senders = Senders(self.ledger, runtime.plivo())
        self._in_hand: dict[tuple[Lane, str], InHand] = {}
        self._lock = threading.Lock()

    def take_in_hand(self, requests: list[tuple[str, int]], lane: Lane, channel: str) -> None:
        """Begin these numbers when their turns come. When this worker stops, they get a new message instead."""
        with self._lock:
            is_stopping = shutdown.is_stopping()
            if not is_stopping:
                if (lane, channel) not in self._in_hand:
                    self._in_hand[lane, channel] = InHand(self.ledger, self.senders, lane, channel)
                self._in_hand[lane, channel].add(requests)
        if is_stopping:
            send_chunk(requests, lane, channel)

    def close(self) -> None:
        """Wait until what was begun is sent and written. The numbers in hand get new messages."""
        shutdown.stop_here()
        with self._lock:
            in_hand = list(self._in_hand.values())
        for numbers in in_hand:
            numbers.close()
        self.senders.close()


_lock = threading.Lock()
_of_process: dict[int, Sending] = {}


def sending() -> Sending:
    """Return the sending of this process, which begins with the first call. Thread-safe."""
    with _lock:
        if os.getpid() not in _of_process:
            _of_process[os.getpid()] = Sending()
        return _of_process[os.getpid()]


def close(**_: Any) -> None:
    """End the sending of this process, if it has begun. Python's own end would not do: Celery's children skip it."""
    if ours := _of_process.get(os.getpid()):
        ours.close()


for at_the_end in (signals.worker_process_shutdown, signals.worker_shutdown):
    at_the_end.connect(close)

"""The senders: the threads of one process that send to numbers that were begun, in all lanes."""

import heapq
import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from ringproof.celery.messages import send_chunk, send_message
from ringproof.clock import boot_clock
from ringproof.ledger.answers import Begun
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, Record
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.sending.attempt import SlotRevoked, attempt
from worker.sending.final_check import CONNECT_SECONDS
from worker.sending.results import Results

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient

SENDERS: Final = 64
"""Sends under way in one process. If Plivo answers within a second, one process uses the pace of 300/5s in full."""

FOR_PEOPLE: Final = 14
"""Senders that the other lanes leave to people, whom a slow answer to a batch must not keep waiting."""

COMPANY_SECONDS: Final = 0.01
"""How long a portion waits for more free senders than one: so one call begins many where all senders are busy."""

_log = logging.getLogger(__name__)


class Senders:
    """Sends to numbers that were begun, each at its slot, and writes the results. Thread-safe; a process needs one.

    senders = Senders(ledger, client)
    asked_at = boot_clock()
    for begun in ledger.begin(portion[: senders.wait_for_free(Lane.BULK, len(portion))]):
        if begun.verdict is Verdict.BEGUN:
            senders.send(begun, asked_at)
    senders.close()
    """

    def __init__(self, ledger: Ledger, client: "PlivoClient") -> None:
        self._ledger, self._client = ledger, client
        self._results = Results(ledger)
        self._pool = ThreadPoolExecutor(SENDERS)
        self._timer = ThreadPoolExecutor(1)
        self._changed = threading.Condition()
        self._free = SENDERS
        self._far: list[tuple[float, int, Begun, float]] = []  # a heap of numbers whose slot is not near yet
        self._order = itertools.count()

    def wait_for_free(self, lane: Lane, most: int = 1) -> int:
        """Wait until a sender is free for this lane; return how many are, at most `most`."""
        kept = 0 if lane is Lane.INTERACTIVE else FOR_PEOPLE
        with self._changed:
            self._changed.wait_for(lambda: self._free - kept >= most, COMPANY_SECONDS)
            self._changed.wait_for(lambda: self._free > kept)
            return min(self._free - kept, most)

    def send(self, begun: Begun, asked_at: float) -> None:
        """Have a sender send to a number that was begun. `asked_at` is the `boot_clock()` time before begin was called.

        If its slot is revoked before anything was sent, the number gets a new message.
        """
        if begun.at <= boot_clock() + CONNECT_SECONDS or shutdown.is_stopping():
            self._submit(begun, asked_at)
            return
        with self._changed:
            heapq.heappush(self._far, (begun.at, next(self._order), begun, asked_at))
            if len(self._far) == 1:
                self._timer.submit(self._pass_on)

    def close(self) -> None:
        """Wait until all sends are done, and their results are written."""
        self._timer.shutdown()
        self._pool.shutdown()

    def _submit(self, begun: Begun, asked_at: float) -> None:
        with self._changed:
            self._free -= 1
        try:
            self._pool.submit(self._send, begun, asked_at)
        except RuntimeError:  # the senders have ended, in a stop that did not wait for the caller
            self._send(begun, asked_at)

    def _pass_on(self) -> None:
        """Pass each number on shortly before its slot; when this worker stops all at once, and nothing is sent."""
        while self._far:
            until_near = self._far[0][0] - CONNECT_SECONDS - boot_clock()
            shutdown.sleep_unless_stopping(min(until_near, CONNECT_SECONDS / 2))  # one with an earlier slot may come
            with self._changed:
                near = boot_clock() + CONNECT_SECONDS
                due = []
                while self._far and (self._far[0][0] <= near or shutdown.is_stopping()):
                    due.append(heapq.heappop(self._far))
            for _, _, begun, asked_at in due:
                self._submit(begun, asked_at)

    def _send(self, begun: Begun, asked_at: float) -> None:
        record = begun.record
        assert record is not None  # noqa: S101  # begin has read what it claimed
        try:
            self._results.write(attempt(self._ledger, self._client, begun, asked_at))
        except SlotRevoked:
            _send_on(record)
        except Exception:  # noqa: BLE001  # a thread would end with it, and nobody would learn of it
            _log.exception("an error of Ringproof's own; whether %s was sent to is in doubt", mask(record.phone_number))
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()


def _send_on(record: Record) -> None:
    """Send a new message for a number whose slot was revoked."""
    if record.lane is Lane.INTERACTIVE:
        send_message(record.phone_number, record.request, record.lane)
    else:
        send_chunk([(record.phone_number, record.request)], record.lane, record.channel)

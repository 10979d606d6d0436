"""The senders: the threads of one process that send to numbers that were begun, in all lanes."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

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

LONGEST_LEAD_SECONDS: Final = 0.015
"""Bulk asks for a slot 20 ms before it. So this costs no slot, also if it asks a few milliseconds late."""

_log = logging.getLogger(__name__)


class Lead:
    """How long a process needs from the answer of begin until its senders can send: a thread each, and the interpreter.

    A slot that a sender misses costs another call of Redis. So the lead grows with each that is missed; it shrinks with
    each that is not: hardly more than one in ten is missed.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def note(self, *, is_missed: bool) -> None:
        """Note whether a sender has missed its slot. Two notes at once may count as one."""
        changed = self.seconds + (LONGEST_LEAD_SECONDS / 20 if is_missed else -LONGEST_LEAD_SECONDS / 200)
        self.seconds = min(max(changed, 0.0), LONGEST_LEAD_SECONDS)


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
        self.lead = Lead()
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
        is_due = begun.at <= boot_clock() + CONNECT_SECONDS or shutdown.is_stopping()
        if is_due or not self._keep_until_near(begun, asked_at):
            self._submit(begun, asked_at)

    def close(self) -> None:
        """Wait until all sends are done, and their results are written."""
        self._timer.shutdown()
        self._pool.shutdown()

    def _keep_until_near(self, begun: Begun, asked_at: float) -> bool:
        """Keep a number until its slot is near. Returns False if no thread can pass it on then."""
        with self._changed:
            if not self._far:
                try:
                    self._timer.submit(self._pass_on)
                except RuntimeError:  # as in `_submit`
                    return False
            heapq.heappush(self._far, (begun.at, next(self._order), begun, asked_at))
            return True

    def _submit(self, begun: Begun, asked_at: float) -> None:
        with self._changed:
            self._free -= 1
        send = _Once(self._send, begun, asked_at)
        try:
            self._pool.submit(send)
        except RuntimeError:
            # The senders have ended, in a stop that did not wait for the caller; or the system has no thread left.
            # In the second case the pool has queued the call nevertheless, and another thread may come to it.
            send()

    def _pass_on(self) -> None:
        """Pass each number on shortly before its slot.

        When this worker stops, pass all on at once. Their senders send nothing.
        """
        while (until_near := self._until_near()) is not None:
            shutdown.sleep_unless_stopping(min(until_near, CONNECT_SECONDS / 2))  # one with an earlier slot may come
            with self._changed:
                near = boot_clock() + CONNECT_SECONDS
                due = []
                while self._far and (self._far[0][0] <= near or shutdown.is_stopping()):
                    due.append(heapq.heappop(self._far))
            for _, _, begun, asked_at in due:
                self._submit(begun, asked_at)

    def _until_near(self) -> float | None:
        """Return in how many seconds the first slot is near; None if no number waits for its slot."""
        with self._changed:
            return self._far[0][0] - CONNECT_SECONDS - boot_clock() if self._far else None

    def _send(self, begun: Begun, asked_at: float) -> None:
        record = begun.record
        assert record is not None  # noqa: S101  # begin has read what it claimed
        try:
            attempted = attempt(self._ledger, self._client, begun, asked_at, self.lead.seconds)
            self.lead.note(is_missed=attempted.slot != begun.at)
            self._results.write(attempted)
        except SlotRevoked:
            _send_on(record)
        except Exception:  # noqa: BLE001  # a thread would end with it, and nobody would learn of it
            _log.exception("an error of Ringproof's own; whether %s was sent to is in doubt", mask(record.phone_number))
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()


class _Once:
    """A call that is made once, although two threads may make it."""

    def __init__(self, call: Callable[..., None], *args: Any) -> None:
        self._call, self._args = call, args
        self._is_made = threading.Lock()

    def __call__(self) -> None:
        """Make the call, unless another thread makes it or has made it."""
        if self._is_made.acquire(blocking=False):
            self._call(*self._args)


def _send_on(record: Record) -> None:
    """Send a new message for a number whose slot was revoked."""
    if record.lane is Lane.INTERACTIVE:
        send_message(record.phone_number, record.request, record.lane)
    else:
        send_chunk([(record.phone_number, record.request)], record.lane, record.channel)

"""The senders: the threads of one process that send to numbers that were begun, in all lanes."""

import heapq
import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ringproof.celery.messages import message_of, send_chunk, send_message
from ringproof.celery.people import send_people
from ringproof.clock import boot_clock
from ringproof.ledger.answers import Begun
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, Record
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.celery.identity import claim_prefix
from worker.celery.outcome_log import Event, about, of_account
from worker.sending.activity import ProcessActivity
from worker.sending.attempt import SlotRevoked, attempt
from worker.sending.final_check import CONNECT_SECONDS
from worker.sending.late_sends import LateSends
from worker.sending.results import Results
from worker.sending.timings import timings

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient

SENDERS: Final = 64
"""Sends under way in one process. If Plivo answers within a second, one process uses the pace of 300/5s in full."""

SHARED_SENDERS: Final = 2 * SENDERS
"""The same where an installation serves several accounts: each of them leaves half of what is free to the others."""

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


class SenderThreads:
    """The threads that send, and what waits for its slot. Thread-safe; a process needs one.

    The accounts of an installation share them. Then an account leaves as many free to the others as it uses: so one
    that Plivo answers slowly keeps no other one waiting.
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        self.are_shared = is_shared
        self.most = SHARED_SENDERS if is_shared else SENDERS
        self._pool = ThreadPoolExecutor(self.most)
        self._timer = ThreadPoolExecutor(1)
        self._changed = threading.Condition()
        self._free = self.most
        self._used: Counter[Senders] = Counter()
        self._far: list[tuple[float, int, Callable[[], None]]] = []  # a heap of sends whose slot is not near yet
        self._order = itertools.count()

    @property
    def free(self) -> int:
        """How many are free."""
        return self._free

    @property
    def under_way(self) -> int:
        """How many sends were begun here, and have not ended."""
        with self._changed:
            return self.most - self._free + len(self._far)

    def wait_for_free(self, senders: "Senders", lane: Lane, most: int) -> int:
        """Wait until one is free for this lane; return how many are, at most `most`."""
        kept = 0 if lane is Lane.INTERACTIVE else FOR_PEOPLE

        def free() -> int:
            left = self._free - kept
            return (left - self._used[senders] + 1) // 2 if self.are_shared else left

        with self._changed:
            self._changed.wait_for(lambda: free() >= most, COMPANY_SECONDS)
            self._changed.wait_for(lambda: free() > 0)
            return min(free(), most)

    def submit(self, senders: "Senders", send: Callable[[], None]) -> None:
        """Have a thread make a send now."""
        with self._changed:
            self._free -= 1
            self._used[senders] += 1

        def make() -> None:
            try:
                send()
            finally:
                with self._changed:
                    self._free += 1
                    self._used[senders] -= 1
                    if not self._used[senders]:
                        del self._used[senders]
                    self._changed.notify_all()

        once = _Once(make)
        try:
            self._pool.submit(once)
        except RuntimeError:
            # The senders have ended, in a stop that did not wait for the caller; or the system has no thread left.
            # In the second case the pool has queued the call nevertheless, and another thread may come to it.
            once()

    def keep_until_near(self, slot: float, submit: Callable[[], None]) -> bool:
        """Call `submit` when a slot is near. Returns False if no thread can do that then."""
        with self._changed:
            if not self._far:
                try:
                    self._timer.submit(self._pass_on)
                except RuntimeError:  # as in `submit`
                    return False
            heapq.heappush(self._far, (slot, next(self._order), submit))
            return True

    def close(self) -> None:
        """Wait until all sends are done."""
        self._timer.shutdown()
        self._pool.shutdown()

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
            for _, _, submit in due:
                submit()

    def _until_near(self) -> float | None:
        """Return in how many seconds the first slot is near; None if no number waits for its slot."""
        with self._changed:
            return self._far[0][0] - CONNECT_SECONDS - boot_clock() if self._far else None


class Senders:
    """Sends to numbers of one account that were begun, each at its slot, and writes the results. Thread-safe.

    Without `threads` it has threads of its own.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: "PlivoClient",
        activity: ProcessActivity,
        threads: SenderThreads | None = None,
    ) -> None:
        self.ledger, self._client, self._activity = ledger, client, activity
        self.account = ledger.keys.account
        self.threads = threads or SenderThreads()
        ledger.generation.begin_watching(claim_prefix())
        self._results = Results(ledger, repeats_apart=self.threads.are_shared)
        self._timings = timings(ledger)
        self._late_sends = LateSends(ledger)
        self.lead = Lead()

    @property
    def unwritten(self) -> int:
        """How many results are not in the ledger yet."""
        return self._results.unwritten

    def uses(self, ledger: Ledger, client: "PlivoClient") -> bool:
        """Whether it sends by this ledger and this client. An account has others once its token is another one."""
        return self.ledger is ledger and self._client is client

    def wait_for_free(self, lane: Lane, most: int = 1) -> int:
        """Wait until a sender is free for this lane; return how many are, at most `most`."""
        return self.threads.wait_for_free(self, lane, most)

    @property
    def under_way(self) -> int:
        """How many numbers were begun by this process, and have no result in this ledger yet."""
        return self.threads.under_way + self.unwritten

    def send(self, begun: Begun, asked_at: float) -> None:
        """Have a sender send to a number that was begun. `asked_at` is the `boot_clock()` time before begin was called.

        If its slot is revoked before anything was sent, the number gets a new message.
        """
        submit = partial(self.threads.submit, self, partial(self._send, begun, asked_at))
        is_due = begun.at <= boot_clock() + CONNECT_SECONDS or shutdown.is_stopping()
        if is_due or not self.threads.keep_until_near(begun.at, submit):
            submit()
        self._activity.begin()

    def close(self) -> None:
        """Wait until all sends are done, and their results are written."""
        self.threads.close()
        self._results.close()
        self.ledger.generation.close()

    def _send(self, begun: Begun, asked_at: float) -> None:
        record = begun.record
        assert record is not None  # noqa: S101  # begin has read what it claimed
        with of_account(self.account):
            try:
                attempted = attempt(self.ledger, self._client, begun, asked_at, self.lead.seconds, self._late_sends)
                is_missed = attempted.slot != begun.at
                self.lead.note(is_missed=is_missed)
                self._activity.note(attempted, is_missed=is_missed)
                self._timings.note_attempt(attempted)
                self._results.write(attempted)
            except SlotRevoked:
                self._send_on(record)
            except Exception:  # noqa: BLE001  # a thread would end with it, and nobody would learn of it
                who = mask(record.phone_number)
                facts = about(Event.ATTEMPT, record.phone_number, record)
                _log.exception("an error of Ringproof's own; whether %s was sent to is in doubt", who, extra=facts)

    def _send_on(self, record: Record) -> None:
        """Send a new message for a number whose slot was revoked."""
        if record.lane is not Lane.INTERACTIVE:
            send_chunk([(record.phone_number, record.request)], record.lane, record.channel, self.account)
        elif self.account is None:
            send_message(message_of(record.phone_number, record.request, record.lane))
        else:
            send_people(self.ledger, [(record.phone_number, record.request)])


class _Once:
    """A call that is made once, although two threads may make it."""

    def __init__(self, call: Callable[..., None], *args: Any) -> None:
        self._call, self._args = call, args
        self._is_made = threading.Lock()

    def __call__(self) -> None:
        """Make the call, unless another thread makes it or has made it."""
        if self._is_made.acquire(blocking=False):
            self._call(*self._args)

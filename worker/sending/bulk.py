"""The numbers that this process has in hand, of one account, lane and channel: begun by the portion, as turns come."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import Final

from ringproof.celery.messages import send_chunk
from ringproof.celery.people import send_people
from ringproof.clock import boot_clock
from ringproof.errors import LedgerDamaged, LedgerUnavailable, UnknownAccount
from ringproof.ledger.record import Lane
from ringproof.ledger.row_outcomes import LISTS
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.celery.outcome_log import Event, about, of_account
from worker.sending.begin import BEGIN_SECONDS, Portion, begin_portion
from worker.sending.quiet import QuietNumbers
from worker.sending.refusal import wait_until_left
from worker.sending.retry import PAUSES
from worker.sending.senders import Senders

MOST_AT_ONCE: Final = 32
"""Numbers in one call of begin: as many as have slots within the horizon, also where Redis is far away."""

MOST_IN_HAND: Final = 10_000
"""Three minutes of 300/5s, in 3 MB. A morning may end the quiet hours of a million numbers: the others stay queued in
the ledger, and the sweep sends their messages again.
"""

MOST_IN_MESSAGE: Final = 100
"""Numbers that one message gives back: several workers may take them, at their share of the pace each."""

ENOUGH: Final = 100
"""With more numbers in hand than that, a busy process waits before it takes the next message: others may take it."""

LONGEST_WAIT_SECONDS: Final = 0.3
"""How long it waits at most: the next message may be another account's."""

_log = logging.getLogger(__name__)


class InHand:
    """The numbers of one lane and channel that this process begins, in the order in which they came. Thread-safe.

    Nothing is lost with the process: in Redis they are queued, and the sweep sends their messages again.

        in_hand = InHand(lambda: senders, Lane.BULK, "sms")
        in_hand.add([("+14155550123", 1764374400)])
        in_hand.close()

    `senders_now` returns the account's senders: others, once its token is another one. Its thread lives as long as
    there are numbers: an account without work has none.
    """

    def __init__(self, senders_now: Callable[[], Senders], lane: Lane, channel: str) -> None:
        self._senders_now = senders_now
        self._lane, self._channel = lane, channel
        self._use(senders_now())
        self._requests: dict[tuple[str, int], None] = {}  # a set in the order in which they came
        self._thread: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._is_begun = self._waits_for_turn = False

    def _use(self, senders: Senders) -> None:
        self._senders, self._ledger = senders, senders.ledger
        self._quiet = QuietNumbers(senders.ledger, self._lane)

    def __len__(self) -> int:
        """Return how many numbers are in hand."""
        return len(self._requests)

    def add(self, requests: Sequence[tuple[str, int]]) -> None:
        """Begin each (number, request) when its turn comes. One that is in hand already keeps its place.

        What would be more than MOST_IN_HAND is not taken: it stays queued in the ledger.
        """
        with self._lock:
            room = max(MOST_IN_HAND - len(self._requests), 0)
            self._requests.update(dict.fromkeys(requests[:room]))
            if not self._is_begun:
                self._thread = self._thread or ThreadPoolExecutor(1)
                self._thread.submit(self._begin_all)  # if the system has no thread left, the next call tries again
                self._is_begun = True

    def leave_next_to_others(self) -> None:
        """Wait while it is this process that keeps the numbers, and not the pace: others may begin the next ones."""
        ends = boot_clock() + LONGEST_WAIT_SECONDS
        while len(self) > ENOUGH and not self._waits_for_turn and boot_clock() < ends:
            if not shutdown.sleep_unless_stopping(LONGEST_WAIT_SECONDS / 30):
                return

    def close(self) -> None:
        """Send new messages for the numbers that have not begun. Called when this worker stops."""
        with self._lock:
            thread = self._thread
        if thread:
            thread.shutdown()

    def _begin_all(self) -> None:
        """Begin numbers until none are left."""
        with of_account(self._senders.account):
            self._begin_in_order()

    def _begin_in_order(self) -> None:
        try:
            most, next_turn = MOST_AT_ONCE, 0.0
            while shutdown.sleep_unless_stopping(min(next_turn - boot_clock(), BEGIN_SECONDS)):
                portion = self._next(most)
                if not portion:
                    return
                if shutdown.is_stopping():  # while no sender was free, or although the turn had come
                    break
                answer = self._begin(portion)
                later = set(answer.later)
                with self._lock:
                    for request in portion:
                        if request not in later:
                            del self._requests[request]
                if answer.is_refused:
                    wait_until_left(self._ledger)
                    break
                self._waits_for_turn = bool(later)
                # Where turns are given, a call reads hardly more numbers than get a slot.
                most = min(answer.begun + 1 if later else 2 * most, MOST_AT_ONCE)
                next_turn = answer.next_turn
            self._give_back()
        except LedgerUnavailable:  # this worker stops
            self._give_back()
        except UnknownAccount as error:
            self._leave(error)
        except Exception:  # noqa: BLE001  # a thread would end with it, and nobody would learn of it
            _log.exception("an error of Ringproof's own; the numbers in hand get new messages")
            self._give_back()

    def _begin(self, portion: Sequence[tuple[str, int]]) -> Portion:
        senders = self._senders_now()
        if senders is not self._senders:
            self._use(senders)
        # Not known from when they came: here they may wait until their quiet hours begin.
        quiet_until = self._quiet.among(portion)
        try:
            return begin_portion(self._ledger, self._senders, portion, quiet_until)
        except LedgerDamaged:
            return self._begin_each(portion, quiet_until)

    def _begin_each(self, portion: Sequence[tuple[str, int]], quiet_until: Mapping[str, datetime]) -> Portion:
        """Begin numbers one by one, because the record of one is damaged, or what Redis has of them all.

        One that is damaged is not in hand any more, and the others go on. If all of them are they wait.
        """
        begun, later, next_turn, is_refused = 0, [], 0.0, False
        refused: dict[tuple[str, int], LedgerDamaged] = {}
        for place, request in enumerate(portion):
            try:
                one = begin_portion(self._ledger, self._senders, [request], quiet_until)
            except LedgerDamaged as error:
                refused[request] = error
                continue
            begun += one.begun
            if one.later:
                later, next_turn, is_refused = list(portion[place:]), one.next_turn, one.is_refused
                break
        if len(refused) == len(portion):
            _log.warning("nothing is begun until the ledger takes it: %s", refused[portion[0]])
            return self._wait_behind_others(portion)
        for (number, request_number), why in refused.items():
            extra = about(Event.BEGIN, number, request=request_number, lane=self._lane, channel=self._channel)
            _log.warning("%s is not begun; the sweep sends its message again: %s", mask(number), why, extra=extra)
        return Portion(begun, later, next_turn, is_refused)

    def _wait_behind_others(self, portion: Sequence[tuple[str, int]]) -> Portion:
        """Try others first after a pause: if Redis takes one of them, not all are damaged."""
        with self._lock:
            for request in portion:
                self._requests[request] = self._requests.pop(request)
        return Portion(0, portion, boot_clock() + PAUSES[-1])

    def _next(self, most: int) -> Sequence[tuple[str, int]]:
        """Return the numbers to begin next: as many as there are free senders, at most `most`. Empty: none are left."""
        with self._lock:
            if not self._requests:
                self._end()
                return []
            most = min(most, len(self._requests))
        free = self._senders.wait_for_free(self._lane, most)
        with self._lock:
            return list(islice(self._requests, free))

    def _give_back(self) -> None:
        left, account = self._take_all(), self._senders.account
        if self._channel not in LISTS:
            if left:
                send_people(self._ledger, left)
            return
        for first in range(0, len(left), MOST_IN_MESSAGE):
            if not send_chunk(left[first : first + MOST_IN_MESSAGE], self._lane, self._channel, account):
                return  # Redis is away, and the sweep sends the others again, too

    def _leave(self, why: UnknownAccount) -> None:
        """Leave the numbers of an account that is no more: they stay queued, and are sent to if it comes back."""
        _log.warning("%d numbers wait: %s", len(self._take_all()), why.message)

    def _take_all(self) -> list[tuple[str, int]]:
        with self._lock:
            left = list(self._requests)
            self._requests.clear()
            self._end()
        return left

    def _end(self) -> None:
        """Note that nothing is begun any more. The thread of an account ends with its work."""
        self._is_begun = False
        if self._thread and self._senders.account is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

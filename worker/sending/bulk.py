"""The numbers of bulk and schedule that this process has in hand: they are begun by the portion, as turns come."""

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import Final

from ringproof.celery.messages import send_chunk
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.sending.begin import BEGIN_SECONDS, Portion, begin_portion
from worker.sending.quiet import QuietNumbers
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

_log = logging.getLogger(__name__)


class InHand:
    """The numbers of one lane and channel that this process begins, in the order in which they came. Thread-safe.

    Nothing is lost with the process: in Redis they are queued, and the sweep sends their messages again.

        in_hand = InHand(ledger, senders, Lane.BULK, "sms")
        in_hand.add([("+14155550123", 1764374400)])
        in_hand.close()
    """

    def __init__(self, ledger: Ledger, senders: Senders, lane: Lane, channel: str) -> None:
        self._ledger, self._senders = ledger, senders
        self._lane, self._channel = lane, channel
        self._quiet = QuietNumbers(ledger, lane)
        self._requests: dict[tuple[str, int], None] = {}  # a set in the order in which they came
        self._thread = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._is_begun = False

    def add(self, requests: Sequence[tuple[str, int]]) -> None:
        """Begin each (number, request) when its turn comes. One that is in hand already keeps its place.

        What would be more than MOST_IN_HAND is not taken: it stays queued in the ledger.
        """
        with self._lock:
            room = max(MOST_IN_HAND - len(self._requests), 0)
            self._requests.update(dict.fromkeys(requests[:room]))
            if not self._is_begun:
                self._thread.submit(self._begin_all)  # if the system has no thread left, the next call tries again
                self._is_begun = True

    def close(self) -> None:
        """Send new messages for the numbers that have not begun. Called when this worker stops."""
        self._thread.shutdown()

    def _begin_all(self) -> None:
        """Begin numbers until none are left."""
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
                # Where turns are given, a call reads hardly more numbers than get a slot.
                most = min(answer.begun + 1 if later else 2 * most, MOST_AT_ONCE)
                next_turn = answer.next_turn
            self._give_back()
        except LedgerUnavailable:  # this worker stops
            self._give_back()
        except Exception:  # noqa: BLE001  # a thread would end with it, and nobody would learn of it
            _log.exception("an error of Ringproof's own; the numbers in hand get new messages")
            self._give_back()

    def _begin(self, portion: Sequence[tuple[str, int]]) -> Portion:
        # Not known from when they came: here they may wait until their quiet hours begin.
        quiet_until = self._quiet.among(portion)
        try:
            return begin_portion(self._ledger, self._senders, portion, quiet_until, raises_refusals=True)
        except LedgerUnavailable as error:
            if not error.is_refusal:
                raise
            return self._begin_each(portion, quiet_until)

    def _begin_each(self, portion: Sequence[tuple[str, int]], quiet_until: Mapping[str, datetime]) -> Portion:
        """Begin numbers one by one, because Redis has refused them together: perhaps the record of one is damaged.

        Then this one is not in hand any more, and the others go on. If Redis refuses all of them they wait.
        """
        begun, later, next_turn = 0, [], 0.0
        refused: dict[tuple[str, int], LedgerUnavailable] = {}
        for place, request in enumerate(portion):
            try:
                one = begin_portion(self._ledger, self._senders, [request], quiet_until, raises_refusals=True)
            except LedgerUnavailable as error:
                if not error.is_refusal:
                    raise
                refused[request] = error
                continue
            begun += one.begun
            if one.later:
                later, next_turn = list(portion[place:]), one.next_turn
                break
        if len(refused) == len(portion):
            _log.warning("nothing is begun until the ledger takes it: %s", refused[portion[0]])
            return self._wait_behind_others(portion)
        for (number, _), why in refused.items():
            _log.warning("%s is not begun; the sweep sends its message again: %s", mask(number), why)
        return Portion(begun, later, next_turn)

    def _wait_behind_others(self, portion: Sequence[tuple[str, int]]) -> Portion:
        """Try others first after a pause: if Redis takes one of them, it was not Redis that refused all."""
        with self._lock:
            for request in portion:
                self._requests[request] = self._requests.pop(request)
        return Portion(0, portion, boot_clock() + PAUSES[-1])

    def _next(self, most: int) -> Sequence[tuple[str, int]]:
        """Return the numbers to begin next: as many as there are free senders, at most `most`. Empty: none are left."""
        with self._lock:
            self._is_begun = bool(self._requests)
            if not self._is_begun:
                return []
            most = min(most, len(self._requests))
        free = self._senders.wait_for_free(self._lane, most)
        with self._lock:
            return list(islice(self._requests, free))

    def _give_back(self) -> None:
        with self._lock:
            left, self._is_begun = list(self._requests), False
            self._requests.clear()
        for first in range(0, len(left), MOST_IN_MESSAGE):
            if not send_chunk(left[first : first + MOST_IN_MESSAGE], self._lane, self._channel):
                return  # Redis is away, and the sweep sends the others again, too

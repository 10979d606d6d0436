"""What sends in this process: its senders, and the numbers of bulk and schedule that it has in hand."""

import os
import threading
from functools import partial
from typing import Any, Final

from celery import signals

from ringproof import runtime
from ringproof.celery.messages import send_chunk
from ringproof.celery.people import send_people
from ringproof.ledger.record import Lane
from ringproof.ledger.row_outcomes import LISTS
from worker.celery import shutdown
from worker.sending.activity import ProcessActivity
from worker.sending.bulk import InHand
from worker.sending.events import want_events
from worker.sending.senders import Senders, SenderThreads
from worker.sending.timings import write_last

MOST_IDLE: Final = 500
"""Accounts without work that a process remembers. Each takes some kilobytes, and no thread."""


class Sending:
    """The sending of one process, for as long as it lives. A child process makes its own.

    All accounts of the installation share its senders.
    """

    def __init__(self) -> None:
        self.ledger = runtime.ledger()
        self.activity = ProcessActivity(self.ledger, self.work)
        self.threads = SenderThreads(is_shared=runtime.has_accounts())
        self.senders = Senders(self.ledger, runtime.plivo(), self.activity, self.threads)
        self._of_accounts: dict[str, list[Senders]] = {}
        self._in_hand: dict[tuple[str | None, Lane, str], InHand] = {}
        self._lock = threading.RLock()

    def of(self, account: str | None) -> Senders:
        """Return the senders of an account, or of the installation's own (None). Raises `UnknownAccount`.

        After a change of its token there are new ones. The old ones end what they have begun.
        """
        if account is None:
            return self.senders
        ledger, client = runtime.ledger(account), runtime.plivo(account)
        with self._lock:
            known = [one for one in self._of_accounts.get(account, ()) if one.unwritten or one.uses(ledger, client)]
            if not known or not known[-1].uses(ledger, client):
                known.append(Senders(ledger, client, self.activity, self.threads))
            self._of_accounts[account] = known
            return known[-1]

    def take_in_hand(
        self, requests: list[tuple[str, int]], lane: Lane, channel: str, account: str | None = None
    ) -> None:
        """Begin these numbers when their turns come. When this worker stops, they get a new message instead.

        Where more are in hand than this process can begin, it returns after a while, so that another process may take
        the next message. Raises `UnknownAccount`: then they stay queued in the ledger.
        """
        want_events(self.of(account).ledger)
        with self._lock:
            is_stopping = shutdown.is_stopping()
            if not is_stopping:
                key = account, lane, channel
                if key not in self._in_hand:
                    self._forget_idle()
                    self._in_hand[key] = InHand(partial(self.of, account), lane, channel)
                in_hand = self._in_hand[key]
                in_hand.add(requests)
        if is_stopping:
            _send_again(requests, lane, channel, account)
        else:
            self.activity.begin()
            in_hand.leave_next_to_others()

    def close(self) -> None:
        """Wait until what was begun is sent and written. The numbers in hand get new messages."""
        shutdown.stop_here()
        with self._lock:
            in_hand = list(self._in_hand.values())
        for numbers in in_hand:
            numbers.close()
        self.senders.close()
        for senders in self._all_of_accounts():
            senders.close()
        self.activity.close()

    def work(self) -> tuple[int, int]:
        """Return how many numbers are in hand, and how many are under way."""
        with self._lock:
            in_hand = list(self._in_hand.values())
        unwritten = sum(senders.unwritten for senders in self._all_of_accounts())
        return sum(map(len, in_hand)), self.senders.under_way + unwritten

    def _all_of_accounts(self) -> list[Senders]:
        with self._lock:
            return [senders for known in self._of_accounts.values() for senders in known]

    def _forget_idle(self) -> None:
        """Forget accounts that have no work here. They are made again when they have some."""
        if len(self._in_hand) > MOST_IDLE:
            self._in_hand = {key: one for key, one in self._in_hand.items() if key[0] is None or one}


def _send_again(requests: list[tuple[str, int]], lane: Lane, channel: str, account: str | None) -> None:
    if channel in LISTS:
        send_chunk(requests, lane, channel, account)
    else:
        send_people(runtime.ledger(account), requests)


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
    write_last()


def close_child(**_: Any) -> None:
    """End the sending of a child. A signal that comes meanwhile does not cut off what it has begun."""
    shutdown.ignore_signals()
    close()


signals.worker_process_shutdown.connect(close_child)
signals.worker_shutdown.connect(close)

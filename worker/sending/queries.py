"""Asks Plivo anything other than to send: each question takes a slot, and its answer may pause all sending."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from ringproof.clock import boot_clock
from ringproof.errors import RingproofError, Throttled
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import report_answer, reserve_in_lane, reserve_slot
from ringproof.ledger.record import Lane
from worker.celery import shutdown
from worker.sending.outcomes import signal_of

T = TypeVar("T")


def ask_at_slot(ledger: Ledger, ask: Callable[[], T], *, within: timedelta | None = None) -> T:
    """Ask Plivo at the account's next slot, and return the answer.

    Raises what `ask` raises. Raises `Throttled`, with no slot taken, if the next slot is not `within` that time.

        caller_id = ask_at_slot(ledger, partial(client.get, number), within=timedelta(seconds=6))
    """
    time.sleep(max(0.0, reserve_slot(ledger, within=within) - boot_clock()))
    return ask_and_report(ledger, ask)


def ask_in_lane(ledger: Ledger, lane: Lane, ask: Callable[[], T], *, within: timedelta) -> T:
    """Ask Plivo at a slot of the lane's share, and return the answer.

    Raises what `ask` raises. Raises `Throttled` if the lane gets no slot `within` that time, or when this worker stops.
    """
    ends = boot_clock() + within.total_seconds()
    while True:
        at, is_slot = reserve_in_lane(ledger, lane, timedelta(seconds=max(0.0, ends - boot_clock())))
        if not is_slot and at > ends:
            raise Throttled("the pace is taken by others for the next seconds")
        if not shutdown.sleep_unless_stopping(at - boot_clock()) and not is_slot:
            raise Throttled("this worker stops")
        if is_slot:
            return ask_and_report(ledger, ask)


def ask_and_report(ledger: Ledger, ask: Callable[[], T]) -> T:
    """Ask Plivo at a slot that the caller has already, and report an error to the pace. Raises what `ask` raises."""
    try:
        return ask()
    except RingproofError as error:
        report_answer(ledger, signal_of(error), getattr(error, "retry_after", None))
        raise

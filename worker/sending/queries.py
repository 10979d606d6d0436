"""Plivo is asked something that is no send: at a slot of its own, and all are told what it says to everybody."""

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
    """Ask, at the account's next slot. Raises what `ask` does.

    Raises `Throttled`, and has booked nothing, if no slot comes `within` so long: for whoever is waited for.
    """
    time.sleep(max(0.0, reserve_slot(ledger, within=within) - boot_clock()))
    return ask_and_report(ledger, ask)


def ask_in_lane(ledger: Ledger, lane: Lane, ask: Callable[[], T], *, within: timedelta) -> T:
    """Ask, at a slot of the lane's share. Raises what `ask` does; `Throttled` if there is none `within` so long."""
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
    """Ask, for whoever has a slot already. Raises what `ask` does."""
    try:
        return ask()
    except RingproofError as error:
        report_answer(ledger, signal_of(error), getattr(error, "retry_after", None))
        raise

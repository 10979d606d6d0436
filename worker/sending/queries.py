"""Asks Plivo anything other than to send: each question takes a slot, and its answer may pause all sending."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from ringproof.clock import boot_clock
from ringproof.errors import LeaseOver, LedgerUnavailable, RingproofError, Unreachable
from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import report_answer, reserve_in_lane, reserve_slot
from ringproof.ledger.record import Lane
from worker.celery import shutdown
from worker.sending.final_check import CONNECT_SECONDS, FinalCheck, SlotMissed
from worker.sending.outcomes import signal_of
from worker.sending.refusal import note_refusal
from worker.sending.timings import result_of, timings

T = TypeVar("T")

LONGEST_WAIT: Final = timedelta(seconds=30)
"""How long a question waits for its slot. A 429 may close the pace for a quarter of an hour, and a thread that waits
for its end is missing elsewhere. The question is asked again later.
"""


def ask_at_slot(ledger: Ledger, ask: Callable[..., T], *, within: timedelta = LONGEST_WAIT) -> T:
    """Ask Plivo at the account's next slot, and return the answer.

    `ask` is an operation of Plivo's client, which gets the final check as its `before_first_byte`. Raises what `ask`
    raises. Raises `LeaseOver`, and asks nothing, if no slot comes `within` that time, or when this worker stops.

        caller_id = ask_at_slot(ledger, partial(client.get, number), within=timedelta(seconds=6))
    """
    ends = boot_clock() + within.total_seconds()
    return ask_from_slot(ledger, reserve_slot(ledger, within=within), ask, ends=ends)


def ask_in_lane(ledger: Ledger, lane: Lane, ask: Callable[..., T], *, within: timedelta) -> T:
    """Ask Plivo at a slot of the lane's share, and return the answer. Raises as `ask_at_slot` does."""
    ends = boot_clock() + within.total_seconds()
    while True:
        at, is_slot = reserve_in_lane(ledger, lane, timedelta(seconds=max(0.0, ends - boot_clock())))
        if is_slot:
            return ask_from_slot(ledger, at, ask, ends=ends)
        if at > ends:
            raise LeaseOver("the pace is taken by others for the next seconds")
        if not shutdown.sleep_unless_stopping(at - boot_clock()):
            raise LeaseOver("this worker stops")


def ask_from_slot(ledger: Ledger, slot: float, ask: Callable[..., T], *, ends: float) -> T:
    """Ask Plivo at a slot that the caller has reserved, or at a later one if that was missed, and return the answer.

    `slot` and `ends` are moments of `boot_clock()`. After `ends` no other slot is reserved. Raises as `ask_at_slot`.
    """

    def replace() -> float:
        return reserve_slot(ledger, within=timedelta(seconds=max(0.0, ends - boot_clock())))

    check = FinalCheck(slot, ends + CONNECT_SECONDS, replace)
    report = partial(_report, ledger, check)
    try:
        answer = _ask(check, ask)
    except RingproofError as error:
        report(signal_of(error), getattr(error, "retry_after", None), is_unreachable=isinstance(error, Unreachable))
        raise
    report(PlivoSignal.KNOWN)
    return answer


def _ask(check: FinalCheck, ask: Callable[..., T]) -> T:
    while True:
        check.wait_to_connect()
        try:
            return ask(before_first_byte=check)
        except SlotMissed:
            continue


def _report(
    ledger: Ledger,
    check: FinalCheck,
    signal: PlivoSignal,
    retry_after: float | None = None,
    *,
    is_unreachable: bool = False,
) -> None:
    """Report the answer to the pace. A Redis that is away loses the report, but not the answer."""
    if result := result_of(signal, is_unreachable=is_unreachable):
        timings(ledger).note_answer("question", result, boot_clock() - check.slot)
    if signal is not PlivoSignal.NONE:
        with suppress(LedgerUnavailable):
            report_answer(ledger, signal, retry_after, ago=timedelta(seconds=max(0.0, boot_clock() - check.slot)))
    if signal is PlivoSignal.UNAUTHORIZED:
        note_refusal(ledger)

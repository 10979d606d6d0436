"""One attempt on one number: begin, wait for the slot, ask Plivo once, and tell the ledger what came of it."""

import logging
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from tasks.outcomes import outcome_of
from worker import stop
from worker.errors import LeaseOver, LedgerUnavailable, RingproofError
from worker.ledger import Begun, Ledger, Outcome, Verdict
from worker.pace import boot_clock
from worker.phone import mask
from worker.record import State

if TYPE_CHECKING:
    from worker.plivo import PlivoClient

T = TypeVar("T")

PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between two tries to reach the ledger; the last one repeats until Redis is back."""

BEGIN_SECONDS: Final = 10.0
"""How long begin is asked again, with the same fence: the send that it allows must still fit into its lease."""

_log = logging.getLogger(__name__)


def insist(ask: Callable[[], T], *, seconds: float = float("inf")) -> T:
    """Ask the ledger until it answers: whatever is asked here may be asked again, and counts once.

    Raises `LedgerUnavailable` if it has not answered within `seconds`.
    """
    gives_up = time.monotonic() + seconds
    tries = 0
    while True:
        try:
            return ask()
        except LedgerUnavailable as error:
            if time.monotonic() > gives_up:
                raise
            if not tries:
                _log.warning("asking again: %s", error)
            time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1


def attempt(ledger: Ledger, client: "PlivoClient", number: str, request: int) -> bool:
    """Send a code to a number if it is this request's turn, and not otherwise.

    Returns False if nothing was begun because this worker stops: somebody else is to try.
    """
    with stop.sending():
        if stop.told():
            return False
        _attempt(ledger, client, number, request)
    return True


def _attempt(ledger: Ledger, client: "PlivoClient", number: str, request: int) -> None:
    fence, asked_at = secrets.token_hex(8), boot_clock()
    begun = insist(lambda: ledger.begin([(number, request)], fence=fence)[0], seconds=BEGIN_SECONDS)
    if begun.verdict is Verdict.BEGUN:
        _send(ledger, client, number, begun, asked_at)
    else:
        _log.info("nothing to send: %s", begun.record or f"{mask(number)} is unknown")


def _send(ledger: Ledger, client: "PlivoClient", number: str, begun: Begun, asked_at: float) -> None:
    record = begun.record
    assert record is not None  # noqa: S101  # what begin claimed, it read
    # Counted from before begin was asked, so that the lease is never thought longer than it is.
    first_byte_until = asked_at + (begun.wait + ledger.durations.first_byte).total_seconds()

    def last_look() -> None:
        if boot_clock() > first_byte_until:
            raise LeaseOver("frozen or too slow; nothing was sent")

    waited = stop.sleep(begun.wait.total_seconds())
    started = time.monotonic()
    try:
        if not waited:
            raise LeaseOver("this worker stops")
        sent = client.initiate(
            number,
            alias=record.alias,
            channel=record.channel,
            subaccount=record.subaccount,
            last_look=last_look,
        )
        outcome = Outcome(State.CODE_SENT, verification_uuid=sent.verification_uuid, api_id=sent.api_id)
    except RingproofError as error:
        outcome = outcome_of(error, record.attempts)
    answered = time.monotonic()

    def settle() -> None:
        ago = timedelta(seconds=time.monotonic() - answered)
        ledger.settle(number, record.request, begun.fence, outcome, ago=ago)

    insist(settle)  # Plivo's word is not lost because Redis is away
    why = f" ({outcome.reason or outcome.detail})" if outcome.reason or outcome.detail else ""
    took = (answered - started) * 1000
    _log.info("%s %s %s %.0f ms%s", outcome.state, mask(number), record.channel, took, why)

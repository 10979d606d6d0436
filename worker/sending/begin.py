"""Begins numbers when their turn comes, and passes each on to the senders."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from ringproof.clock import boot_clock
from ringproof.errors import LedgerDamaged
from ringproof.ledger.answers import Begun, Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.celery.identity import claim_prefix
from worker.celery.outcome_log import Event, about
from worker.sending.quiet import QuietNumbers
from worker.sending.refusal import wait_until_left
from worker.sending.retry import until_ledger_answers
from worker.sending.senders import Lead, Senders

BEGIN_SECONDS: Final = 5.0
"""How long a number waits here for its turn. Another turn is not reserved, and the number asks again later."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Portion:
    """What became of a portion: how many were begun, which wait for their turn, and when it comes (`boot_clock()`).

    With `is_refused`, Plivo does not know the credentials of this worker, and others do its work: what was not begun
    needs a new message, as soon as this worker takes none any more.
    """

    begun: int
    later: Sequence[tuple[str, int]]
    next_turn: float
    is_refused: bool = False


class TakesBegun(Protocol):
    """Where numbers go that were begun: the senders of a worker, or who sends in their place."""

    lead: Lead

    def send(self, begun: Begun, asked_at: float) -> None:
        """Send to a number that was begun, or have it sent to."""


def begin_portion(
    ledger: Ledger,
    senders: TakesBegun,
    portion: Sequence[tuple[str, int]],
    quiet_until: Mapping[str, datetime],
    patience: float = BEGIN_SECONDS,
) -> Portion:
    """Begin each (number, request) whose turn has come, and pass it on to the senders.

    Its caller waits `patience` seconds for a turn. Raises `LedgerUnavailable` if this worker stops while the ledger
    does not answer, and `LedgerDamaged` if a record is damaged: then none is begun.

        begin_portion(ledger, senders, [("+14155550123", 1764374400)], {})  # Portion(begun=1, later=[], next_turn=0.0)
    """
    asked_at = boot_clock()
    begin = partial(
        ledger.begin,
        portion,
        fence=f"{claim_prefix()}{secrets.token_hex(6)}",
        patience=timedelta(seconds=max(patience, 0.0)),
        asleep=quiet_until,
        lead=senders.lead.seconds if len(portion) > 1 else 0.0,
    )
    # A Redis that was frozen still performs the calls of that time when it goes on. Only a call with the same fence
    # shows what they claimed. So begin is repeated until it answers: otherwise the numbers would be in doubt
    # although no worker has sent to them. If the answer comes too late for a lease, the sender sends nothing.
    answers = until_ledger_answers(begin, ends_with_worker=True)
    begun_here, later, next_turn, is_refused = 0, [], 0.0, False
    for request, begun in zip(portion, answers, strict=True):
        if begun.verdict is Verdict.BEGUN:
            begun_here += 1
            senders.send(begun, asked_at)
        elif begun.verdict is Verdict.LATER:
            next_turn = begun.at
            later.append(request)
        elif begun.verdict is Verdict.ELSEWHERE:
            is_refused = True
            later.append(request)
        else:
            what = begun.record or f"{mask(request[0])} is unknown, or its record is damaged"
            _log.info("nothing to send: %s", what, extra=about(Event.BEGIN, request[0], begun.record))
    return Portion(begun_here, later, next_turn, is_refused)


def begin_one(ledger: Ledger, senders: Senders, number: str, request: int, lane: Lane) -> bool:
    """Begin one number, and pass it on to the senders. Returns False if BEGIN_SECONDS are over, this worker stops,
    or Plivo refuses its credentials.

    Then the number needs a new message. One whose record is damaged needs none: the sweep sends it once it can read the
    record. Raises `LedgerUnavailable` if this worker stops while the ledger does not answer.
    """
    requests = [(number, request)]
    quiet_until = QuietNumbers(ledger, lane).among(requests)
    ends, next_turn = boot_clock() + BEGIN_SECONDS, 0.0
    while shutdown.sleep_unless_stopping(min(next_turn, ends) - boot_clock()):
        senders.wait_for_free(lane)
        left = ends - boot_clock()
        if shutdown.is_stopping() or left <= 0:
            return False
        try:
            portion = begin_portion(ledger, senders, requests, quiet_until, left)
        except LedgerDamaged as error:
            _log.warning("%s is not begun: %s", mask(number), error, extra=about(Event.BEGIN, number, request=request))
            return True
        if portion.is_refused:
            wait_until_left(ledger)
            return False
        if not portion.later:
            return True
        next_turn = portion.next_turn
    return False

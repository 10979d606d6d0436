"""Begins numbers when their turn comes, and passes each on to the senders."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ringproof.clock import boot_clock
from ringproof.errors import LedgerDamaged
from ringproof.ledger.answers import Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.sending.quiet import QuietNumbers
from worker.sending.retry import until_ledger_answers
from worker.sending.senders import Senders

BEGIN_SECONDS: Final = 5.0
"""How long a number waits here for its turn. Another turn is not reserved, and the number asks again later."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Portion:
    """What became of a portion: how many were begun, which wait for their turn, and when it comes (`boot_clock()`)."""

    begun: int
    later: Sequence[tuple[str, int]]
    next_turn: float


def begin_portion(
    ledger: Ledger,
    senders: Senders,
    portion: Sequence[tuple[str, int]],
    quiet_until: Mapping[str, datetime],
    patience: float = BEGIN_SECONDS,
    *,
    raises_refusals: bool = False,
) -> Portion:
    """Begin each (number, request) whose turn has come, and pass it on to the senders.

    Its caller waits `patience` seconds for a turn. Raises `LedgerUnavailable` if this worker stops while the ledger
    does not answer; with `raises_refusals` also if Redis refuses the call, and then none is begun.

        begin_portion(ledger, senders, [("+14155550123", 1764374400)], {})  # Portion(begun=1, later=[], next_turn=0.0)
    """
    asked_at = boot_clock()
    begin = partial(
        ledger.begin,
        portion,
        fence=secrets.token_hex(8),
        patience=timedelta(seconds=max(patience, 0.0)),
        asleep=quiet_until,
        lead=senders.lead.seconds if len(portion) > 1 else 0.0,
    )
    # A Redis that was frozen still performs the calls of that time when it goes on. Only a call with the same fence
    # shows what they claimed. So begin is repeated until it answers: otherwise the numbers would be in doubt
    # although no worker has sent to them. If the answer comes too late for a lease, the sender sends nothing.
    answers = until_ledger_answers(begin, ends_with_worker=True, raises_refusals=raises_refusals)
    begun_here, later, next_turn = 0, [], 0.0
    for request, begun in zip(portion, answers, strict=True):
        if begun.verdict is Verdict.BEGUN:
            begun_here += 1
            senders.send(begun, asked_at)
        elif begun.verdict is Verdict.LATER:
            next_turn = begun.at
            later.append(request)
        else:
            _log.info("nothing to send: %s", begun.record or f"{mask(request[0])} is unknown, or its record is damaged")
    return Portion(begun_here, later, next_turn)


def begin_one(ledger: Ledger, senders: Senders, number: str, request: int, lane: Lane) -> bool:
    """Begin one number, and pass it on to the senders. Returns False if BEGIN_SECONDS are over, or this worker stops.

    Then the number needs a new message. One whose record is damaged needs none: the sweep sends it once it can read the
    record.
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
            _log.warning("%s is not begun: %s", mask(number), error)
            return True
        if not portion.later:
            return True
        next_turn = portion.next_turn
    return False

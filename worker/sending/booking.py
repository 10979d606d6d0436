"""Begins numbers one after another, each in its turn, and has them sent."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ringproof import runtime
from ringproof.clock import boot_clock
from ringproof.ledger.answers import Begun, Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.sending.retry import until_ledger_answers

BOOKING_SECONDS: Final = 5.0
"""How long one message books; then its child is free for whatever is more urgent, and the rest is handed on."""

PORTION: Final = 10
"""Numbers that one begin is asked about: as many slots as may lie within the horizon of the fastest pace, or so."""

_log = logging.getLogger(__name__)


def asleep(ledger: Ledger, requests: Sequence[tuple[str, int]], lane: Lane) -> Mapping[str, datetime]:
    """Return the numbers whose people sleep now, and until when, where quiet hours are kept: for bulk and schedule."""
    quiet = runtime.settings().quiet_hours
    if quiet is None or lane is Lane.INTERACTIVE:
        return {}
    now = until_ledger_answers(ledger.now, ends_with_worker=True)
    found = ((number, quiet.until(number, now)) for number, _ in requests)
    return {number: until for number, until in found if until}


def book(
    ledger: Ledger,
    requests: Sequence[tuple[str, int]],
    send: Callable[[Begun, float], bool],
    *,
    room: Callable[[], int] = lambda: 1,
    asleep: Mapping[str, datetime] | None = None,
) -> Sequence[tuple[str, int]]:
    """Begin each (number, request) that has a slot, and call `send` with it and with when begin was asked.

    `send` returns False if the number went back and is to be begun anew. `room` waits until something can be sent and
    returns how many. Returns what is left after BOOKING_SECONDS, or when this worker stops.
    """
    left = list(requests)
    ends = boot_clock() + BOOKING_SECONDS
    asks = 0.0
    while left:
        if not shutdown.sleep_unless_stopping(min(asks, ends) - boot_clock()):
            return left
        portion, fence = left[: min(room(), PORTION)], secrets.token_hex(8)
        asked_at = boot_clock()
        if shutdown.is_stopping() or asked_at >= ends:
            return left
        patience = timedelta(seconds=ends - asked_at)
        begin = partial(ledger.begin, portion, fence=fence, patience=patience, asleep=asleep)
        # A Redis that stood still takes what was asked meanwhile once it goes on. Only this fence tells of its claims:
        # they are asked for until they are known, or they would be in doubt and nothing sent. What comes too late for
        # its lease goes back.
        answers = until_ledger_answers(begin, ends_with_worker=True)
        left = left[len(portion) :]
        later = []
        for asked, begun in zip(portion, answers, strict=True):
            if begun.verdict is Verdict.BEGUN:
                if not send(begun, asked_at):
                    later.append(asked)
            elif begun.verdict is Verdict.LATER:
                asks = begun.at
                later.append(asked)
            else:
                _log.info("nothing to send: %s", begun.record or f"{mask(asked[0])} is unknown")
        left = later + left
    return left

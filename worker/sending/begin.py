"""Begins numbers one after another, each when its turn comes, and passes each on to be sent."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ringproof.clock import boot_clock
from ringproof.ledger.answers import Begun, Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.policy import quiet_hours
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.sending.retry import until_ledger_answers

BEGIN_SECONDS: Final = 5.0
"""How long one message may begin numbers. Then its child is free for more urgent work, and the rest gets a new message.
"""

PORTION: Final = 10
"""Numbers in one call of begin: about as many slots as the horizon has at the fastest pace."""

_log = logging.getLogger(__name__)


def in_quiet_hours(ledger: Ledger, requests: Sequence[tuple[str, int]], lane: Lane) -> Mapping[str, datetime]:
    """Return the numbers that are in their quiet hours now, each with the end of them.

    The result is empty for the interactive lane, and where no quiet hours are set.

        {"+14155550123": datetime(2026, 5, 4, 15, 0, tzinfo=UTC)}
    """
    if lane is Lane.INTERACTIVE:
        return {}
    quiet = until_ledger_answers(lambda: quiet_hours(ledger), ends_with_worker=True)
    if quiet is None:
        return {}
    now = until_ledger_answers(ledger.now, ends_with_worker=True)
    ends = ((number, quiet.until(number, now)) for number, _ in requests)
    return {number: end for number, end in ends if end}


def begin_and_send(
    ledger: Ledger,
    requests: Sequence[tuple[str, int]],
    send: Callable[[Begun, float], bool],
    *,
    wait_for_free: Callable[[], int] = lambda: 1,
    quiet_until: Mapping[str, datetime] | None = None,
) -> Sequence[tuple[str, int]]:
    """Begin each (number, request) when its turn comes, and call `send` for it; return the requests that are left.

    Some are left when BEGIN_SECONDS are over, or when this worker stops. `send` gets what begin returned, and the
    `boot_clock()` time before that call. If `send` returns False the number's slot was revoked, and the number is
    begun again. `wait_for_free` waits until something can be sent, and returns how many numbers.

        rest = begin_and_send(ledger, [("+14155550123", 1764374400)], partial(attempt, ledger, client))
    """
    left = list(requests)
    ends = boot_clock() + BEGIN_SECONDS
    next_turn = 0.0
    while left:
        if not shutdown.sleep_unless_stopping(min(next_turn, ends) - boot_clock()):
            return left
        portion, fence = left[: min(wait_for_free(), PORTION)], secrets.token_hex(8)
        asked_at = boot_clock()
        if shutdown.is_stopping() or asked_at >= ends:
            return left
        patience = timedelta(seconds=ends - asked_at)
        begin = partial(ledger.begin, portion, fence=fence, patience=patience, asleep=quiet_until)
        # A Redis that was frozen still performs the calls of that time when it goes on. Only a call with the same fence
        # shows what they claimed. So begin is repeated until it answers: otherwise the numbers would be in doubt
        # although no worker has sent to them. If the answer comes too late for a lease, `send` sends nothing.
        answers = until_ledger_answers(begin, ends_with_worker=True)
        left = left[len(portion) :]
        later = []
        for request, begun in zip(portion, answers, strict=True):
            if begun.verdict is Verdict.BEGUN:
                if not send(begun, asked_at):
                    later.append(request)
            elif begun.verdict is Verdict.LATER:
                next_turn = begun.at
                later.append(request)
            else:
                _log.info("nothing to send: %s", begun.record or f"{mask(request[0])} is unknown")
        left = later + left
    return left

"""`ringproof.reverify`: verified numbers are asked about again: Plivo, whether it has them still, or the people."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ringproof import errors, runtime
from ringproof.celery.app import app
from ringproof.celery.messages import MaskedTask, send_chunk, send_numbers
from ringproof.ledger import reverification
from ringproof.ledger.acceptance import Disposition, Requester
from ringproof.ledger.confirmation import Marked, Source, mark_verified
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Record, State
from ringproof.phone.masking import mask, mask_value
from worker.celery import shutdown
from worker.sending.queries import ask_in_lane
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient

NUMBERS: Final = 20
"""Numbers in one message: asked about by THREADS at once they take a child a second or two."""

THREADS: Final = 10
MOST: Final = 500
"""Numbers that one tick enqueues."""

PATIENCE: Final = timedelta(seconds=5)
"""How long a number waits for its slot in a child; beyond it, it is due again in some minutes."""

_log = logging.getLogger(__name__)


class Renewed(StrEnum):
    """What became of a number that was due."""

    THERE = "still verified"
    SENT_TO = "asked by a code"
    LATER = "later"
    NOT_DUE = "not due"


def enqueue_renewals(ledger: Ledger) -> int:
    """Enqueue the numbers that are due, and return how many; what is not asked about in time is due again."""
    numbers = reverification.due(ledger, MOST, NUMBERS, queue(Lane.SCHEDULED))
    for start in range(0, len(numbers), NUMBERS):
        send_numbers(reverify.name, numbers[start : start + NUMBERS], Lane.SCHEDULED)
    return len(numbers)


@app.task(base=MaskedTask, name="ringproof.reverify", shared=False, ignore_result=True, throws=(errors.InvalidRequest,))
def reverify(numbers: Any) -> None:
    """Ask about each number that is due: whoever dies leaves it due again."""
    if not isinstance(numbers, list) or not all(isinstance(number, str) for number in numbers):
        raise errors.InvalidRequest("numbers", mask_value(numbers), "they are Ringproof's own: ['+14155550123', …]")
    with shutdown.defer_sigterm():
        done = renew(runtime.ledger(), runtime.plivo(), numbers, mode=runtime.settings().reverify_mode)
    _log.info("re-verified: %s", ", ".join(f"{count} {what}" for what, count in done.items()))


def renew(ledger: Ledger, client: "PlivoClient", numbers: Sequence[str], *, mode: str) -> Counter[Renewed]:
    """Ask about each number that is due; return what became of how many."""
    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(partial(_renew, ledger, client, mode), numbers))


def _renew(ledger: Ledger, client: "PlivoClient", mode: str, number: str) -> Renewed:
    if shutdown.is_stopping():
        return Renewed.LATER
    record = until_ledger_answers(lambda: reverification.claim(ledger, number))
    if record is None:
        return Renewed.NOT_DUE
    try:
        # The silent may have entered their code elsewhere; in the list a number that was there keeps its place, unseen.
        if (mode == "check" or record.state is State.EXPIRED) and _is_there(ledger, client, number):
            return Renewed.THERE
    except (errors.Rejected, errors.InvalidNumber) as error:
        _log.warning("not asked about %s until its next turn: %s", mask(number), error)
        until_ledger_answers(lambda: reverification.postpone(ledger, number))
        return Renewed.LATER
    except errors.RingproofError as error:
        _log.info("not asked about %s: %s", mask(number), error)
        return Renewed.LATER
    return Renewed.SENT_TO if _send(ledger, record) else Renewed.LATER


def _is_there(ledger: Ledger, client: "PlivoClient", number: str) -> bool:
    """Whether Plivo has the number still; if it has, the ledger knows, and the number's next turn is set."""
    known = ask_in_lane(ledger, Lane.SCHEDULED, partial(client.get, number), within=PATIENCE)
    if known is None:
        return False
    (told,) = until_ledger_answers(lambda: mark_verified(ledger, [known], source=Source.NUMBER))
    return told is not Marked.STALE


def _send(ledger: Ledger, record: Record) -> bool:
    """Have a code sent, in the scheduled lane; once: the token is made of the request that was verified."""
    number = record.phone_number
    token = f"reverify:{number}:{record.request}"
    accepted = until_ledger_answers(
        lambda: ledger.follow(record, token=token, requester=Requester.REVERIFICATION, lane=Lane.SCHEDULED)
    )
    if accepted.disposition is Disposition.COUNTRY:
        until_ledger_answers(lambda: reverification.postpone(ledger, number))
    if accepted.disposition is not Disposition.ACCEPTED:
        return False
    send_chunk([(number, accepted.request)], Lane.SCHEDULED)
    return True

"""`ringproof.reverify`: checks that verified numbers still are verified: it asks Plivo, or sends the user a code."""

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
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.confirmation import Marked, Source, mark_verified
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.policy import reverify_mode
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Record, State
from ringproof.phone.masking import mask, mask_value
from worker.celery import shutdown
from worker.sending import fixed_code
from worker.sending.accounts import work_of
from worker.sending.queries import ask_in_lane
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient, VerifiedNumber

NUMBERS: Final = 20
"""Numbers in one message. With THREADS questions at once they keep a worker's thread busy for a second or two."""

THREADS: Final = 10
MOST: Final = 500
"""Numbers that one tick enqueues."""

PATIENCE: Final = timedelta(seconds=5)
"""How long a number waits here for its slot. If none comes, the number is due again in some minutes."""

_log = logging.getLogger(__name__)


class Reverified(StrEnum):
    """What became of a number whose re-verification was due."""

    STILL_VERIFIED = "still verified"
    SENT_CODE = "asked by a code"
    LATER = "later"
    NOT_DUE = "not due"


def enqueue_reverifications(ledger: Ledger) -> int:
    """Send messages for the numbers that are due, and return how many. A number whose message is lost is due again."""
    numbers = reverification.due(ledger, MOST, NUMBERS, queue(Lane.SCHEDULED))
    for start in range(0, len(numbers), NUMBERS):
        send_numbers(reverify.name, numbers[start : start + NUMBERS], Lane.SCHEDULED, ledger.keys.account)
    return len(numbers)


@app.task(base=MaskedTask, name="ringproof.reverify", shared=False, ignore_result=True, throws=(errors.InvalidRequest,))
def reverify(numbers: Any, account: Any = None) -> None:
    """Re-verify each number that is due. If the worker dies, those that it did not reach are due again."""
    if not isinstance(numbers, list) or not all(isinstance(number, str) for number in numbers):
        raise errors.InvalidRequest("numbers", mask_value(numbers), "only Ringproof sends them: ['+14155550123', …]")
    with shutdown.defer_sigterm(), work_of(account):
        ledger, client = runtime.ledger(account), runtime.plivo(account)
        ledger.ping()  # the Redis of an account may be away: its numbers are due again, and others need this thread
        counts = reverify_numbers(ledger, client, numbers)
        _log.info("re-verified: %s", ", ".join(f"{count} {what}" for what, count in counts.items()))


def reverify_numbers(ledger: Ledger, client: "PlivoClient", numbers: Sequence[str]) -> Counter[Reverified]:
    """Re-verify each number that is due; count how each one ended.

    For one message: `Counter({Reverified.STILL_VERIFIED: 18, Reverified.SENT_CODE: 2})`.
    """
    mode = until_ledger_answers(lambda: reverify_mode(ledger))
    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(partial(_reverify_number, ledger, client, mode), numbers))


def _reverify_number(ledger: Ledger, client: "PlivoClient", mode: str, number: str) -> Reverified:
    if shutdown.is_stopping():
        return Reverified.LATER
    record = until_ledger_answers(lambda: reverification.claim(ledger, number))
    if record is None:
        return Reverified.NOT_DUE
    try:
        # A user who did not answer here may have entered the code elsewhere. The scan of Plivo's list does not show
        # that for a number that was in the list before: it keeps its place there.
        if (mode == "check" or record.state is State.EXPIRED) and _is_still_verified(ledger, client, record):
            return Reverified.STILL_VERIFIED
    except (errors.Rejected, errors.InvalidNumber) as error:
        _log.warning("Plivo refused the question about %s, which waits for its next date: %s", mask(number), error)
        until_ledger_answers(lambda: reverification.postpone(ledger, number))
        return Reverified.LATER
    except errors.RingproofError as error:
        _log.warning("Plivo gave no answer about %s, which is due again: %s", mask(number), error)
        return Reverified.LATER
    return Reverified.SENT_CODE if _send_code(ledger, record) else Reverified.LATER


def _is_still_verified(ledger: Ledger, client: "PlivoClient", record: Record) -> bool:
    """Whether Plivo still has the number as verified, which the ledger records: with its next date, or as removed."""
    if record.is_test:
        caller_id: VerifiedNumber | None = fixed_code.as_verified(ledger, record)
    else:
        caller_id = ask_in_lane(ledger, Lane.SCHEDULED, partial(client.get, record.phone_number), within=PATIENCE)
    if caller_id is None:
        _check_that_plivo_has_the_list(ledger, client)
        until_ledger_answers(lambda: reverification.note_removed(ledger, record))
        return False
    (marked,) = until_ledger_answers(lambda: mark_verified(ledger, [caller_id], source=Source.NUMBER))
    return marked is not Marked.STALE


def _check_that_plivo_has_the_list(ledger: Ledger, client: "PlivoClient") -> None:
    """Raise `Unreachable` if Plivo has no list either: with a wrong path each number is a 404, and none was removed."""
    try:
        ask_in_lane(ledger, Lane.SCHEDULED, client.probe, within=PATIENCE)
    except errors.Rejected as error:
        raise errors.Unreachable(f"{error.detail} to its list, too; check PLIVO_BASE_URL") from None


def _send_code(ledger: Ledger, record: Record) -> bool:
    """Request one code in the scheduled lane; return whether the ledger accepted that.

    The token is made of the request that was verified, so one re-verification makes one request.
    """
    number = record.phone_number
    token = f"reverify:{number}:{record.request}"
    accepted = until_ledger_answers(
        lambda: ledger.follow(record, token=token, kind=RequestKind.REVERIFICATION, lane=Lane.SCHEDULED)
    )
    if accepted.disposition is Disposition.COUNTRY:
        until_ledger_answers(lambda: reverification.postpone(ledger, number))
    if accepted.disposition is not Disposition.ACCEPTED:
        return False
    send_chunk([(number, accepted.request)], Lane.SCHEDULED, record.channel, ledger.keys.account)
    return True

"""The body of `confirm_verification`: from a code that a person entered to a verified number."""

import logging
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ringproof import errors, runtime
from ringproof.celery.confirmation import ConfirmationTask
from ringproof.celery.messages import CONFIRM, performs
from ringproof.clock import iso
from ringproof.ledger.confirmation import HANDLE, Marked, NextStep, TakenCode, code_rejected, mark_verified, take_code
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record, State
from ringproof.phone.masking import mask
from ringproof.phone.number import parse
from worker.celery import shutdown
from worker.sending.queries import ask_at_slot
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.plivo.client import CallerId, PlivoClient

SLOT: Final = timedelta(seconds=6)
"""How long somebody who waits for an answer is kept for a slot: the first window of a new Redis, and one to spare."""

LEDGER_SECONDS: Final = 5.0
"""How long Redis is asked to hand out a code: then whoever entered it enters it again."""

_log = logging.getLogger(__name__)


@performs(CONFIRM)
def verify_code(_task: ConfirmationTask, *args: Any, **kwargs: Any) -> dict[str, str | None]:
    """Have Plivo check the code that waits under the message's handle."""
    handle = kwargs.get("handle")
    if len(args) != 1 or kwargs.keys() != {"handle"} or not isinstance(handle, str) or not HANDLE.fullmatch(handle):
        raise errors.InvalidRequest("message", "not Ringproof's own", "it holds a number, and the handle of a code")
    number = parse(args[0], runtime.settings().region).e164
    with shutdown.defer_sigterm():
        try:
            return confirm(runtime.ledger(), runtime.plivo(), number, handle)
        except errors.LedgerUnavailable as error:
            _log.warning("not confirmed %s: %s", mask(number), error)
            raise errors.Unconfirmed("Redis did not answer") from None


def confirm(ledger: Ledger, client: "PlivoClient", number: str, handle: str) -> dict[str, str | None]:
    """Enter the code of that handle at Plivo, once, and tell the ledger. Raises `NotConfirmed`.

    Where an answer was lost, of this code or of one before it, Plivo is asked by GET whether it has taken it.
    """
    entered = until_ledger_answers(lambda: take_code(ledger, number, handle), seconds=LEDGER_SECONDS)
    if entered.step not in {NextStep.ASK, NextStep.LOOK, NextStep.DONE}:
        _explain(entered)
    record = entered.record
    assert record is not None  # noqa: S101  # or the answer is NOTHING
    if entered.step is NextStep.LOOK:
        _look(ledger, client, record, handle)
    elif entered.step is NextStep.ASK:
        if entered.unanswered_handle and _taken_before(ledger, client, record, entered.unanswered_handle):
            raise errors.NothingPending(str(State.VERIFIED))
        _complete(ledger, client, record, entered, handle)
    newest = until_ledger_answers(lambda: ledger.read(number)) or record
    _log.info("verified %s", mask(number))
    return {
        "state": str(State.VERIFIED),
        "verification_uuid": record.verification_uuid,
        "country": newest.country,
        "verified_at": iso(newest.verified_at) if newest.verified_at else None,
    }


def _explain(entered: TakenCode) -> NoReturn:
    record = entered.record
    match entered.step:
        case NextStep.EXPIRED if record and record.expires_at:
            raise errors.CodeExpired(record.expires_at)
        case NextStep.TOO_MANY:
            raise errors.TooManyTries
        case NextStep.LOST:
            raise errors.Unconfirmed("no worker took it within a minute")
        case NextStep.PAUSED:
            raise errors.Unconfirmed("Plivo does not know the credentials at present")
        case _:
            raise errors.NothingPending(str(record.state) if record else "")


def _complete(ledger: Ledger, client: "PlivoClient", record: Record, entered: TakenCode, handle: str) -> None:
    number, uuid = record.phone_number, record.verification_uuid
    assert uuid is not None  # noqa: S101  # or the answer is NOTHING
    try:
        known = ask_at_slot(ledger, partial(client.complete, uuid, entered.code), within=SLOT)
    except errors.WrongCode as error:
        left = until_ledger_answers(lambda: code_rejected(ledger, number, handle))
        _log.info("wrong code %s, tries left: %d", mask(number), left)
        raise errors.WrongCode(error.detail, left) from None
    except errors.Unknown:
        _look(ledger, client, record, handle)
    except (errors.Unsent, errors.Forbidden) as error:
        until_ledger_answers(lambda: code_rejected(ledger, number, handle, counted=False))
        raise errors.Unconfirmed(str(error)) from None
    else:
        # Plivo has checked the uuid; whatever number it names with it, this is the one that the code was sent to.
        ours = replace(known, phone_number=number)
        until_ledger_answers(lambda: mark_verified(ledger, [ours], handle))


def _look(ledger: Ledger, client: "PlivoClient", record: Record, handle: str) -> None:
    """Find out by GET whether Plivo has taken the code of that handle. Raises `NotConfirmed` if not."""
    known = _get(ledger, client, record)
    if known is None:
        raise errors.Unconfirmed("Plivo's answer was lost, and it has not taken it so far")
    (told,) = until_ledger_answers(lambda: mark_verified(ledger, [known], handle))
    if told is Marked.ALREADY:  # by another's code, for which Plivo has said yes
        raise errors.NothingPending(str(State.VERIFIED))


def _taken_before(ledger: Ledger, client: "PlivoClient", record: Record, handle: str) -> bool:
    """Whether Plivo has taken the code of an earlier handle, whose answer was lost."""
    known = _get(ledger, client, record)
    if known:
        until_ledger_answers(lambda: mark_verified(ledger, [known], handle))
    return known is not None


def _get(ledger: Ledger, client: "PlivoClient", record: Record) -> "CallerId | None":
    """Look the number up; None if Plivo does not have it by the record's last code. Raises `Unconfirmed`."""
    if shutdown.is_stopping():
        raise errors.Unconfirmed("Plivo's answer was lost, and this worker stops")
    try:
        known = ask_at_slot(ledger, partial(client.get, record.phone_number), within=SLOT)
    except errors.RingproofError as error:
        raise errors.Unconfirmed(str(error)) from None
    return known if known and known.verification_uuid == record.verification_uuid else None

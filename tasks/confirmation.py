"""The body of `confirm_verification`: from a code that a user entered to a verified number."""

import logging
import re
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ringproof import errors, runtime
from ringproof.celery.confirmation import ConfirmationTask
from ringproof.celery.messages import CONFIRM, performs
from ringproof.clock import boot_clock, iso
from ringproof.ledger.confirmation import (
    HANDLE,
    Marked,
    NextStep,
    TakenCode,
    check_code,
    end_try,
    give_try_back,
    mark_verified,
    store_code,
    take_code,
)
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.plivo_credentials import leaves_work
from ringproof.ledger.record import Record, State
from ringproof.phone.masking import mask
from ringproof.phone.number import parse
from ringproof.results import Confirmation, confirmation_of
from worker.celery import shutdown
from worker.celery.outcome_log import Event, about, of_account
from worker.sending import fixed_code
from worker.sending.accounts import check_account
from worker.sending.credentials import send_to_newer, send_to_others
from worker.sending.events import want_events
from worker.sending.outcomes import http_status_of
from worker.sending.queries import ask_at_slot
from worker.sending.retry import until_ledger_answers
from worker.sending.spans import add_confirmation, confirm_span

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient, VerifiedNumber

SLOT: Final = timedelta(seconds=6)
"""How long a user waits for a slot at most: one window of 5 s, which an empty Redis counts as used, and 1 s more."""

LEDGER_SECONDS: Final = 5.0
"""How long the worker tries to get the code from Redis. After that the user has to enter it again."""

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")

_log = logging.getLogger(__name__)


class LeftToNewerError(Exception):
    """Only a newer version can read the number's record: a newer worker takes the code that waits."""


class LeftToOthersError(Exception):
    """Plivo does not know the credentials of this worker: another one takes the code that waits under `handle`."""

    def __init__(self, handle: str) -> None:
        super().__init__("another worker confirms it")
        self.handle = handle


@performs(CONFIRM)
def verify_code(task: ConfirmationTask, *args: Any, **kwargs: Any) -> Confirmation:
    """Have Plivo check the code that waits under the handle in the message. Raises `NotConfirmed`."""
    handle, request, account = kwargs.get("handle"), kwargs.get("request"), check_account(kwargs.get("account"))
    is_ours = len(args) == 1 and kwargs.keys() <= {"handle", "request", "account"} and type(request) in {int, NoneType}
    if not is_ours or not isinstance(handle, str) or not HANDLE.fullmatch(handle):
        raise errors.InvalidRequest(
            "message", "not a number and the handle of a code", "call confirm_verification.delay(phone_number, code)"
        )
    number = parse(args[0], runtime.region()).e164
    ledger, client = runtime.ledger(account), runtime.plivo(account)
    with shutdown.defer_sigterm(), of_account(account):
        try:
            want_events(ledger)
            try:
                with confirm_span(task.request):
                    return confirm(ledger, client, number, handle, request)
            except LeftToNewerError:
                send_to_newer(task)
            except LeftToOthersError as left:
                send_to_others(task, ledger, kwargs | {"handle": left.handle})
        except errors.LedgerUnavailable as error:
            _log.warning("not confirmed %s: %s", mask(number), error, extra=about(Event.CONFIRM, number))
            raise errors.Unconfirmed("Redis did not answer") from None
        except errors.NotConfirmed as error:
            if not isinstance(error, errors.WrongCode):  # that has a line with the tries that are left
                why = _WORD.sub("_", type(error).__name__).lower()
                extra = about(Event.CONFIRM, number, request=request, reason=why)
                _log.info("not confirmed %s (%s)", mask(number), why, extra=extra)
            raise


def confirm(
    ledger: Ledger, client: "PlivoClient", number: str, handle: str, request: int | None = None
) -> Confirmation:
    """Enter the code at Plivo, once, and mark the number as verified. Raises `NotConfirmed`.

    Raises `LeftToOthersError` if another worker is to do it, and `LeftToNewerError` if only a newer version can.

    With `request`, only the code that was sent for this request is entered. If Plivo's answer to this code or to an
    earlier one was lost, a question (GET) shows whether Plivo has taken it.

        {"state": "verified", "verification_uuid": "24856289-…", "country": "US",
         "verified_at": "2026-05-04T15:00:00.000+00:00"}
    """
    asked_at = boot_clock()
    taken = until_ledger_answers(lambda: take_code(ledger, number, handle, request), seconds=LEDGER_SECONDS)
    if taken.step is NextStep.NEWER:
        raise LeftToNewerError
    if taken.step is NextStep.ELSEWHERE:
        raise LeftToOthersError(handle)
    if taken.step not in {NextStep.ASK, NextStep.LOOK, NextStep.DONE}:
        _raise_why_not(taken)
    record = taken.record
    assert record is not None  # noqa: S101  # or the step is NOTHING
    try:
        if taken.step is NextStep.LOOK:
            _look_up(ledger, client, record, handle)
        elif taken.step is NextStep.ASK:
            _complete(ledger, client, record, taken, handle)
    except errors.Unauthorized as error:  # to a look-up: another worker can make it
        if _leaves_work(ledger):
            raise LeftToOthersError(handle) from None
        raise errors.Unconfirmed(error.message) from None
    newest = until_ledger_answers(lambda: ledger.read(number)) or record
    add_confirmation(record, asked_at)
    extra = about(Event.CONFIRM, number, record, state=State.VERIFIED, reason=None, ms=_since(asked_at))
    _log.info("verified %s", mask(number), extra=extra)
    return confirmation_of(newest, record.verification_uuid)


def _since(asked_at: float) -> int:
    return round((boot_clock() - asked_at) * 1000)


def _leaves_work(ledger: Ledger) -> bool:
    return until_ledger_answers(lambda: leaves_work(ledger))


def _raise_why_not(taken: TakenCode) -> NoReturn:
    record = taken.record
    match taken.step:
        case NextStep.EXPIRED if record and record.expires_at:
            raise errors.CodeExpired(record.expires_at)
        case NextStep.LOCKED if record and record.locked_until:
            raise errors.Locked(record.locked_until)
        case NextStep.TOO_MANY:
            raise errors.TooManyTries
        case NextStep.ANOTHER:
            raise errors.AnotherRequest
        case NextStep.LOST:
            raise errors.Unconfirmed("no worker took it within a minute")
        case NextStep.PAUSED:
            raise errors.Unconfirmed("Plivo does not know the credentials at present")
        case _:
            raise errors.NothingPending(str(record.state) if record else "")


def _complete(ledger: Ledger, client: "PlivoClient", record: Record, taken: TakenCode, handle: str) -> None:
    number, uuid = record.phone_number, record.verification_uuid
    assert uuid is not None  # noqa: S101  # or the step is NOTHING
    try:
        if taken.unanswered_handle and _taken_before(ledger, client, record, taken.unanswered_handle):
            raise errors.NothingPending(str(State.VERIFIED))
        code = check_code(taken.code)  # a program without Ringproof stores it as its user typed it
        if record.is_test:
            caller_id = fixed_code.check(ledger, record, code)
        else:
            caller_id = ask_at_slot(ledger, partial(client.complete, uuid, code), within=SLOT)
    except errors.WrongCode as error:
        left = until_ledger_answers(lambda: end_try(ledger, number, handle))
        locked = f", locked until {iso(left.locked_until)}" if left.locked_until else ""
        facts = about(Event.CONFIRM, number, record, reason="wrong_code", http_status=http_status_of(error))
        _log.info("wrong code %s, tries left: %d%s", mask(number), left.tries, locked, extra=facts)
        raise errors.WrongCode(error.detail, left.tries, left.locked_until) from None
    except errors.Unknown:
        _look_up(ledger, client, record, handle)
    except errors.RingproofError as error:  # in every other case Plivo has not checked the code
        until_ledger_answers(lambda: give_try_back(ledger, number, handle, uuid, taken.unanswered_handle))
        if isinstance(error, errors.Unauthorized) and _leaves_work(ledger):
            # A handle is entered once: under another one its try counts, if Plivo says that the code is wrong.
            raise LeftToOthersError(until_ledger_answers(lambda: store_code(ledger, taken.code))) from None
        if isinstance(error, errors.Unsent | errors.Forbidden):
            cause = error.detail if isinstance(error, errors.Forbidden) else error.message
            raise errors.Unconfirmed(cause) from None
        raise
    else:
        # Plivo has checked the uuid. Its answer may name the number in another form; the record's number got the code.
        ours = replace(caller_id, phone_number=number)
        until_ledger_answers(lambda: mark_verified(ledger, [ours], handle))


def _look_up(ledger: Ledger, client: "PlivoClient", record: Record, handle: str) -> None:
    """Ask Plivo whether it has taken the code of that handle. Raises `NotConfirmed` if it has not."""
    caller_id = _get(ledger, client, record)
    if caller_id is None:
        raise errors.Unconfirmed("Plivo's answer was lost, and it has not taken it so far")
    (marked,) = until_ledger_answers(lambda: mark_verified(ledger, [caller_id], handle))
    if marked is Marked.ALREADY:  # by another code, which Plivo has accepted
        raise errors.NothingPending(str(State.VERIFIED))


def _taken_before(ledger: Ledger, client: "PlivoClient", record: Record, handle: str) -> bool:
    """Whether Plivo has taken the code of an earlier handle, to which its answer was lost."""
    caller_id = _get(ledger, client, record)
    if caller_id:
        until_ledger_answers(lambda: mark_verified(ledger, [caller_id], handle))
    return caller_id is not None


def _get(ledger: Ledger, client: "PlivoClient", record: Record) -> "VerifiedNumber | None":
    """Ask Plivo for the number; None if it was not verified by the record's last code.

    Raises `Unconfirmed`, or `Unauthorized` if Plivo does not know the credentials of this worker.
    """
    if record.is_test:
        return None  # its worker died before it had judged the code: the person enters it again
    if shutdown.is_stopping():
        raise errors.Unconfirmed("Plivo's answer was lost, and this worker stops")
    try:
        caller_id = ask_at_slot(ledger, partial(client.get, record.phone_number), within=SLOT)
    except errors.Unauthorized:
        raise
    except errors.RingproofError as error:
        raise errors.Unconfirmed(error.message) from None
    return caller_id if caller_id and caller_id.verification_uuid == record.verification_uuid else None

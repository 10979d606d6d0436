"""`confirm_verification`: from a code that a person entered to a verified number."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from tasks.asking import paid
from tasks.attempt import insist
from tasks.messages import EnqueuedTask, refuse
from worker import errors, runtime, stop
from worker.celery import app
from worker.confirmation import HANDLE, Answer, Entered, Verified, check_code, leave, refused, take, verified
from worker.ledger import Ledger
from worker.phone import mask, parse, shown
from worker.record import Lane, Record, State
from worker.request import queue

if TYPE_CHECKING:
    from worker.plivo import CallerId, PlivoClient

SLOT: Final = timedelta(seconds=6)
"""How long somebody who waits for an answer is kept for a slot: the first window of a new Redis, and one to spare."""

LEDGER_SECONDS: Final = 5.0
"""How long Redis is asked to hand out a code: then whoever entered it enters it again."""

QUEUE: Final = queue(Lane.INTERACTIVE)
ARGUMENTS: Final = "the arguments are (phone_number, code, region=None)"
_WAITS: Final = "leave it out: a code waits for a minute to be taken, and its result for a day to be read"
_REFUSED: Final = dict.fromkeys(
    ("link", "link_error", "chain", "chord", "group_id", "eta", "countdown", "expires", "serializer"), _WAITS
)

_log = logging.getLogger(__name__)


class ConfirmationTask(EnqueuedTask):
    """A task whose message holds no code: it waits in Redis under a handle, to be taken once."""

    abstract = True
    Request = "worker.message:VeiledRequest"

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Leave the code for a worker and send its message; return an ordinary result, of the message's id.

        Raises `InvalidNumber`, or `InvalidRequest` for what is no code and never shows it; or `LedgerUnavailable`:
        then nobody will ask Plivo, and it can be entered again.
        """
        refuse(options, _REFUSED)
        if options.pop("queue", None) not in {None, QUEUE}:
            raise errors.InvalidRequest("queue", "given", f"leave it out: a confirmation is a person's, {QUEUE}")
        number, code, region = _arguments(*(args or ()), **(kwargs or {}))
        known = parse(number, region or runtime.settings().region).e164
        ledger = runtime.ledger()
        handle = leave(ledger, check_code(code))
        veiled = {"queue": QUEUE, "argsrepr": f"('{mask(known)}',)", "kwargsrepr": "{…}"}
        try:
            return super().apply_async((known,), {"handle": handle}, **{**options, **veiled})
        except OperationalError as error:
            raise errors.LedgerUnavailable(ledger.shown_url, type(error).__name__) from None


def _arguments(*args: Any, **kwargs: Any) -> tuple[Any, Any, str | None]:
    """Name the arguments; what is wrong with them is told without any of them."""
    named = dict(zip(("phone_number", "code", "region"), args, strict=False))
    told = named | kwargs
    whole = {"phone_number", "code"} <= told.keys() <= {"phone_number", "code", "region"}
    if len(args) > 3 or named.keys() & kwargs.keys() or not whole:
        raise errors.InvalidRequest("arguments", "they are others", ARGUMENTS)
    region = told.get("region")
    if region is not None and not isinstance(region, str):
        raise errors.InvalidRequest("region", shown(region), "a country's two letters, such as 'US'")
    return told["phone_number"], told["code"], region


@app.task(
    base=ConfirmationTask,
    name="confirm_verification",
    shared=False,
    typing=False,
    throws=(errors.InvalidRequest, errors.NotConfirmed),
)
def confirm_verification(*args: Any, **kwargs: Any) -> dict[str, str | None]:
    """Have Plivo verify a number by the code that its person entered.

    Called as `confirm_verification.delay(phone_number, code, region=None)`. Its result is an ordinary one, without the
    number or the code: `{"state": "verified", "verification_uuid", "country", "verified_at"}`, or `NotConfirmed`.
    """
    handle = kwargs.get("handle")
    if len(args) != 1 or kwargs.keys() != {"handle"} or not isinstance(handle, str) or not HANDLE.fullmatch(handle):
        raise errors.InvalidRequest("message", "not Ringproof's own", "it holds a number, and the handle of a code")
    number = parse(args[0], runtime.settings().region).e164
    with stop.sending():
        try:
            return confirm(runtime.ledger(), runtime.plivo(), number, handle)
        except errors.LedgerUnavailable as error:
            _log.warning("not confirmed %s: %s", mask(number), error)
            raise errors.Unconfirmed("Redis did not answer") from None


def confirm(ledger: Ledger, client: "PlivoClient", number: str, handle: str) -> dict[str, str | None]:
    """Enter the code of that handle at Plivo, once, and tell the ledger. Raises `NotConfirmed`.

    Where an answer was lost, of this code or of one before it, Plivo is asked by GET whether it has taken it.
    """
    entered = insist(lambda: take(ledger, number, handle), seconds=LEDGER_SECONDS)
    if entered.answer not in {Answer.ASK, Answer.LOOK, Answer.DONE}:
        _explain(entered)
    record = entered.record
    assert record is not None  # noqa: S101  # or the answer is NOTHING
    if entered.answer is Answer.LOOK:
        _look(ledger, client, record, handle)
    elif entered.answer is Answer.ASK:
        if entered.asked and _taken_before(ledger, client, record, entered.asked):
            raise errors.NothingPending(str(State.VERIFIED))
        _complete(ledger, client, record, entered, handle)
    newest = insist(lambda: ledger.read(number)) or record
    _log.info("verified %s", mask(number))
    return {
        "state": str(State.VERIFIED),
        "verification_uuid": record.verification_uuid,
        "country": newest.country,
        "verified_at": newest.verified_at.isoformat(timespec="milliseconds") if newest.verified_at else None,
    }


def _explain(entered: Entered) -> NoReturn:
    record = entered.record
    match entered.answer:
        case Answer.EXPIRED if record and record.expires_at:
            raise errors.CodeExpired(record.expires_at)
        case Answer.TOO_MANY:
            raise errors.TooManyTries
        case Answer.LOST:
            raise errors.Unconfirmed("no worker took it within a minute")
        case Answer.PAUSED:
            raise errors.Unconfirmed("Plivo does not know the credentials at present")
        case _:
            raise errors.NothingPending(str(record.state) if record else "")


def _complete(ledger: Ledger, client: "PlivoClient", record: Record, entered: Entered, handle: str) -> None:
    number, uuid = record.phone_number, record.verification_uuid
    assert uuid is not None  # noqa: S101  # or the answer is NOTHING
    try:
        known = paid(ledger, partial(client.complete, uuid, entered.code), within=SLOT)
    except errors.WrongCode as error:
        left = insist(lambda: refused(ledger, number, handle))
        _log.info("wrong code %s, tries left: %d", mask(number), left)
        raise errors.WrongCode(error.detail, left) from None
    except errors.Unknown:
        _look(ledger, client, record, handle)
    except (errors.Unsent, errors.Forbidden) as error:
        insist(lambda: refused(ledger, number, handle, counted=False))
        raise errors.Unconfirmed(str(error)) from None
    else:
        # Plivo has checked the uuid; whatever number it names with it, this is the one that the code was sent to.
        ours = replace(known, phone_number=number)
        insist(lambda: verified(ledger, [ours], handle))


def _look(ledger: Ledger, client: "PlivoClient", record: Record, handle: str) -> None:
    """Find out by GET whether Plivo has taken the code of that handle. Raises `NotConfirmed` if not."""
    known = _get(ledger, client, record)
    if known is None:
        raise errors.Unconfirmed("Plivo's answer was lost, and it has not taken it so far")
    (told,) = insist(lambda: verified(ledger, [known], handle))
    if told is Verified.ALREADY:  # by another's code, for which Plivo has said yes
        raise errors.NothingPending(str(State.VERIFIED))


def _taken_before(ledger: Ledger, client: "PlivoClient", record: Record, handle: str) -> bool:
    """Whether Plivo has taken the code of an earlier handle, whose answer was lost."""
    known = _get(ledger, client, record)
    if known:
        insist(lambda: verified(ledger, [known], handle))
    return known is not None


def _get(ledger: Ledger, client: "PlivoClient", record: Record) -> "CallerId | None":
    """Look the number up; None if Plivo does not have it by the record's last code. Raises `Unconfirmed`."""
    if stop.told():
        raise errors.Unconfirmed("Plivo's answer was lost, and this worker stops")
    try:
        known = paid(ledger, partial(client.get, record.phone_number), within=SLOT)
    except errors.RingproofError as error:
        raise errors.Unconfirmed(str(error)) from None
    return known if known and known.verification_uuid == record.verification_uuid else None

"""Initiate: a code for a number, once, however often a client repeats the request."""

import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import JSONResponse, Response

from ringproof.celery.messages import message_of, send_message
from ringproof.celery.verification import Accepting, accept
from ringproof.errors import Capped, CoolingDown, InDoubt
from ringproof.ledger.acceptance import Acceptance, Disposition
from ringproof.ledger.credentials import Credential, Scope
from ringproof.ledger.failures import failure_of
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import UNBEGUN, Lane, Record, State
from ringproof.ledger.request import VerificationRequest
from ringproof.ledger.request_ids import IdentifiedRequest, identified, identify
from worker.plivo_http.answers import RefusalError, api_id
from worker.plivo_http.request import optional_text, plus_number, subaccount_in
from worker.web.door.call import Call
from worker.web.door.refusals import not_now, refusal_of, rfc3339
from worker.web.site import Site

KEPT: Final = timedelta(minutes=45)
"""How long a uuid is known after its last use: 15 min in which the code is sent, 15 of its life, and 15 more."""

REPETITION: Final = timedelta(seconds=5)
"""A request so soon after a code is no resend, whatever the cooldown: a client repeats it after a lost answer."""

_WITHOUT_CODE: Final = {Disposition.RETURNED, Disposition.IN_DOUBT}

_CAPS_OF_A_NUMBER: Final = {"codes_per_day", "calls_per_week"}
"""Caps that tell how many codes a number got. The others are about its range, its country, or all people."""

ASKER: Final = "plivo"
"""Tells the uuids of Plivo's clients apart from the API's ids of the same requests."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the ledger has answered: the uuid, the request that it stands for, and a record that need not be waited for.

    `record` is there if no code is sent for this request, because another one lives, may live, or was entered.
    `may_know`: the caller may know about that, because its own request sent that code, or because it may read.
    """

    uuid: str
    number: str
    request: int
    record: Record | None
    may_know: bool


async def initiate(site: Site, call: Call) -> Response:
    """Accept a request, wait for its outcome, and answer. Raises `RefusalError` or a `RingproofError`."""
    wanted = _wanted(call)
    resends = site.settings.door_resend == "cooldown"
    try:
        asked = await site.threads(_ask, site.ledger, wanted, call.caller, resends=resends)
    except (CoolingDown, Capped) as error:
        if _may_read(call.caller) or not _tells_of_number(error):
            raise
        raise _no_code() from None
    if asked.record:
        return _answer_without_code(asked, asked.record)
    watch, ledger = await site.records()
    record = await watch.record(ledger, asked.number, asked.request, _has_outcome, call.seconds_left)
    return _answer(asked, record, call.caller)


def _tells_of_number(error: CoolingDown | Capped) -> bool:
    return isinstance(error, CoolingDown) or error.limit in _CAPS_OF_A_NUMBER


def _wanted(call: Call) -> VerificationRequest:
    fields = call.request.fields
    number = fields.get("phone_number")
    named = {
        "channel": optional_text(fields, "channel") or "sms",
        "alias": optional_text(fields, "alias"),
        "subaccount": subaccount_in(fields),
        "account": call.caller.account,
    }
    # Digits alone are E.164, as at Plivo.
    return VerificationRequest.read([plus_number(number) or number if isinstance(number, str) else number], named)


def _ask(ledger: Ledger, wanted: VerificationRequest, caller: Credential, *, resends: bool) -> _Asked:
    """Have the ledger accept the request, send its message, and keep what its uuid stands for."""
    number = wanted.number.e164
    accepted, record = _accept(ledger, wanted), None
    if accepted.disposition in _WITHOUT_CODE:
        record = ledger.read(number)
        if record and _may_have_another(ledger, record, accepted, resends=resends):
            with suppress(*() if another_is_ordered(ledger, record) else (CoolingDown,)):
                accepted, record = _accept(ledger, replace(wanted, resend=True)), None
    request = (record and record.code_request) or accepted.request  # the request whose code lives
    is_own = accepted.disposition is Disposition.ACCEPTED
    name = identify(ledger, IdentifiedRequest(number, request, caller.auth_id, is_own), asker=ASKER, keep=KEPT)
    may_know = record is None or _may_read(caller) or _was_own(ledger, name)
    return _Asked(name, number, request, record, may_know)


def _was_own(ledger: Ledger, name: str) -> bool:
    known = identified(ledger, name, keep=KEPT)
    return known is not None and known.is_own


def _accept(ledger: Ledger, wanted: VerificationRequest) -> Acceptance:
    accepted = accept(Accepting(ledger, wanted, Lane.INTERACTIVE, uuid.uuid4().hex))
    if accepted.disposition is Disposition.ACCEPTED or accepted.promoted:
        message = message_of(wanted.number.e164, accepted.request, Lane.INTERACTIVE, account=wanted.account)
        send_message(message)
    return accepted


def _may_have_another(ledger: Ledger, record: Record, accepted: Acceptance, *, resends: bool) -> bool:
    """Whether a person may be asking for another code of a number whose code lives. The ledger's cooldown decides."""
    if record.state is State.VERIFIED:
        return False
    if another_is_ordered(ledger, record):
        return True
    if accepted.disposition is Disposition.IN_DOUBT or not resends:
        return False
    return record.code_sent_at is None or ledger.now() - record.code_sent_at > REPETITION


def order_another(ledger: Ledger, record: Record) -> None:
    """Have the next initiate of a number ask for another code: its client has deleted the number."""
    key = ledger.keys.token(f"another:{record.phone_number}")
    ledger.run("set", key, record.request, ex=ledger.durations.code + ledger.durations.code_margin)


def another_is_ordered(ledger: Ledger, record: Record) -> bool:
    """Whether another code than that of the record's request was ordered."""
    ordered: str | None = ledger.run("get", ledger.keys.token(f"another:{record.phone_number}"))
    return ordered == str(record.request)


def _has_outcome(record: Record) -> bool:
    return record.state not in UNBEGUN and record.state is not State.SENDING


def _answer(asked: _Asked, record: Record | None, caller: Credential) -> Response:
    """Answer a request for which a code is sent, or was sent by the same request of a moment ago."""
    if record is None:
        raise not_now("erased", "the number was erased meanwhile; ask again")
    if failure := failure_of(record):
        raise refusal_of(failure)
    if not _has_outcome(record):
        return _waiting(asked, record)
    if record.state is not State.CODE_SENT:
        raise _verified() if _may_read(caller) else _no_code()
    return _sent(asked)


def _answer_without_code(asked: _Asked, record: Record) -> Response:
    """Answer a request for which no code is sent.

    A caller that may not know what others ask for gets the answer to a new request, as the phone has a code that works.
    """
    may_live = record.verification_uuid is None or record.state is State.IN_DOUBT
    if not asked.may_know:
        if may_live or record.state is State.VERIFIED:
            raise _no_code()
        return _sent(asked)
    if record.state is State.VERIFIED:
        raise _verified()
    if may_live:
        raise refusal_of(InDoubt(record.live_until or datetime.now(UTC)))
    return _body(200, f"The code of {asked.number} is still valid; no other one was sent", asked)


def _body(status: int, message: str, asked: _Asked, **facts: str) -> Response:
    return JSONResponse({"api_id": api_id(), "message": message, "verification_uuid": asked.uuid, **facts}, status)


def _waiting(asked: _Asked, record: Record) -> Response:
    facts = {"state": str(record.state)}
    if record.reason:
        facts["reason"] = str(record.reason)
    if record.due_at:
        facts["due_at"] = rfc3339(record.due_at)
    return _body(202, f"The request for {asked.number} is accepted; its code is sent later", asked, **facts)


def _sent(asked: _Asked) -> Response:
    return _body(201, f"Verification code is sent to number {asked.number} which is valid for 15 minutes", asked)


def _verified() -> RefusalError:
    return not_now("verified", "the number is verified already; delete it first to have it verified again")


def _no_code() -> RefusalError:
    return not_now("no_code", "no code is sent to this number now")


def _may_read(caller: Credential) -> bool:
    return Scope.READ in caller.scopes

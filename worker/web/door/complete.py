"""Complete: a code that a person entered, checked once, however often a client repeats the request."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from starlette.responses import JSONResponse, Response

from ringproof.aio.event_loop import open_here
from ringproof.celery.confirmation import confirm_verification
from ringproof.errors import AnotherRequest, InvalidRequest, NothingPending, RingproofError, Unconfirmed
from ringproof.ledger.confirmation import CODE_WAITS, check_code
from ringproof.ledger.credentials import Scope
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.request_ids import IdentifiedRequest, identified, keyed_digest
from ringproof.ledger.result_id import ResultId
from ringproof.secret_str import SecretStr
from worker.plivo_http.answers import RefusalError
from worker.web.door.call import Call
from worker.web.door.initiate import KEPT
from worker.web.door.refusals import rfc3339, soon, wrong
from worker.web.site import Site

ENTERING: Final = timedelta(seconds=10)
"""How long an entry counts as under way before its message is sent. A door that is killed then keeps nobody out."""

REMEMBERED: Final = timedelta(minutes=10)
"""How long the same code for the same uuid gets the same answer."""

_UNKNOWN: Final = "no such verification; ask for a code first"
_UNANSWERED: Final = "the code is still being checked; send it again in a moment to learn what became of it"


class _Entry(NamedTuple):
    """One entry of a code: the key under which a repetition finds it, and the task that checks it."""

    key: str
    task_id: str


async def complete(site: Site, call: Call) -> Response:
    """Have the code checked, wait for the outcome, and answer. Raises `RefusalError` or a `RingproofError`."""
    code = _code(call.request.fields)
    verification = await site.threads(_find, site.ledger, call.request.name)
    if verification is None or verification.owner != call.caller.auth_id:
        raise RefusalError(404, _UNKNOWN, reason="unknown")
    entry = await site.threads(_enter, site, verification, call.request.name, code)
    result = confirm_verification.AsyncResult(entry.task_id)
    key = result.backend.get_key_for_task(entry.task_id).decode()
    results = (await open_here()).watch()
    if await results.until("get", key, lambda stored: stored is not None, call.seconds_left) is None:
        raise soon("unconfirmed", _UNANSWERED)
    try:
        return await site.threads(_answer, site.ledger, verification, call.request.name, entry, result)
    except (NothingPending, AnotherRequest):
        if verification.is_own or Scope.READ in call.caller.scopes:
            raise
        raise NothingPending("pending") from None  # where the number stands is not for everybody who types it


def _code(fields: Mapping[str, Any]) -> SecretStr:
    try:
        return check_code(fields.get("otp"))
    except InvalidRequest as error:
        raise wrong("invalid_otp", f"otp: {error.remedy}") from None


def _find(ledger: Ledger, name: str) -> IdentifiedRequest | None:
    try:
        return identified(ledger, str(uuid.UUID(name)), keep=KEPT)
    except ValueError:
        return None


def _enter(site: Site, verification: IdentifiedRequest, name: str, code: SecretStr) -> _Entry:
    """Have a worker check the code, or find the task of an earlier request that has had the same code checked."""
    ledger = site.ledger
    digest = keyed_digest(ledger, f"{name.lower()}/{code.get_secret_value()}")
    entry = _Entry(ledger.keys.token(f"code:{digest}"), str(uuid.uuid4()))
    ledger.run("set", entry.key, entry.task_id, nx=True, ex=ENTERING)
    holder: str = ledger.run("get", entry.key) or entry.task_id
    if holder != entry.task_id:
        return entry._replace(task_id=holder)
    request = ResultId(verification.number, verification.request, site.account)
    try:
        confirm_verification.apply_async((verification.number, code), {"request": str(request)}, task_id=entry.task_id)
    except RingproofError:
        ledger.run("delete", entry.key)
        raise
    ledger.run("expire", entry.key, CODE_WAITS)
    return entry


def _answer(ledger: Ledger, verification: IdentifiedRequest, name: str, entry: _Entry, result: Any) -> Response:
    outcome = result.result
    if isinstance(outcome, Exception):
        # Nobody knows whether the code is right: a repetition has it checked again.
        is_known = isinstance(outcome, RingproofError) and not isinstance(outcome, Unconfirmed)
        ledger.run("expire", entry.key, REMEMBERED if is_known else 0)
        raise outcome if isinstance(outcome, RingproofError) else Unconfirmed(type(outcome).__name__)
    ledger.run("expire", entry.key, REMEMBERED)
    record = ledger.read(verification.number, verification.request) if verification.is_own else None
    return JSONResponse(
        {
            "alias": (record and record.alias) or "",
            "api_id": entry.task_id,
            "channel": record.channel if record else "sms",
            "country": outcome["country"] or "",
            "created_at": rfc3339(datetime.fromisoformat(outcome["verified_at"])),
            "phone_number": verification.number,
            "subaccount": (record and record.subaccount) or "",
            "verification_uuid": name,
        }
    )

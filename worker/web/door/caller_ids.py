"""Get, list, update and delete: questions about verified numbers, which Plivo answers at a slot of the pace."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from starlette.responses import JSONResponse, Response

from ringproof import errors, runtime
from ringproof.ledger.credentials import Scope
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from ringproof.ledger.removal import forget_verified
from ringproof.phone.caller_id import check_alias, check_subaccount
from ringproof.plivo.client import PlivoClient, VerifiedNumber
from worker.plivo_http.answers import FILTERS, LARGEST_OFFSET, LARGEST_PAGE, RefusalError, api_id, deleted, page
from worker.plivo_http.request import optional_text, plus_number, subaccount_in, whole_in
from worker.sending import fixed_code
from worker.sending.queries import ask_at_slot
from worker.web.door.call import Call
from worker.web.door.initiate import order_another
from worker.web.door.refusals import rfc3339
from worker.web.site import Site
from worker.web.threads import Threads

T = TypeVar("T")

QUESTIONS: Final = 16
"""Questions to Plivo at once. Each has a thread, so that they are apart from the ledger's."""

PLIVO_SECONDS: Final = 1.0
"""How long Plivo's answer usually takes at most: the slot must come so long before the end of the call."""

_threads = Threads(QUESTIONS, "plivo")


async def get(site: Site, call: Call) -> Response:
    """Return one verified number."""
    number = _number(call)
    return _one(await _threads(_get, site.ledger, call, number))


def _get(ledger: Ledger, call: Call, number: str) -> VerifiedNumber | None:
    record = ledger.read(number)
    if record and record.is_test:
        return fixed_code.as_verified(ledger, record) if record.is_verified else None
    return _ask(ledger, call, lambda client: partial(client.get, number))


async def update(site: Site, call: Call) -> Response:
    """Give a verified number another alias or subaccount."""
    number, fields = _number(call), call.request.fields
    changes = {
        "alias": check_alias(optional_text(fields, "alias")),
        "subaccount": check_subaccount(subaccount_in(fields)),
    }
    found = await _threads(_ask, site.ledger, call, lambda client: partial(client.update, number, **changes))
    return _one(found)


async def list_(site: Site, call: Call) -> Response:
    """Return a page of the verified numbers, newest first."""
    query = call.request.query
    wanted = {name: query[name] for name in FILTERS if name in query}
    limit = whole_in(query, "limit", LARGEST_PAGE) or LARGEST_PAGE
    offset = whole_in(query, "offset", LARGEST_OFFSET)
    found = await _threads(
        _ask, site.ledger, call, lambda client: partial(client.list, limit=limit, offset=offset, filters=wanted)
    )
    total = offset + len(found.objects) if found.total is None else found.total
    objects = list(map(_fields, found.objects))
    return page(call.request.auth_id, wanted, limit, offset, total, objects, has_more=found.next is not None)


async def delete(site: Site, call: Call) -> Response:
    """Have Plivo forget a number, and forget it here. If its code lives, the next initiate asks for another code."""
    await _threads(_delete, site.ledger, call, _number(call))
    return deleted()


def _delete(ledger: Ledger, call: Call, number: str) -> None:
    record = ledger.read(number)
    lives = record is not None and record.state is not State.VERIFIED and _is_live(ledger, record.live_until)
    try:
        is_test = record is not None and record.is_test
        was_at_plivo = not is_test and _ask(ledger, call, lambda client: partial(client.delete, number))
    except errors.Misconfigured:
        if not lives or (record and record.is_verified):
            raise
        was_at_plivo = False
    was_here = forget_verified(ledger, number)
    if record and lives:
        order_another(ledger, record)
    may_know = Scope.READ in call.caller.scopes
    if may_know and not (was_at_plivo or was_here or lives):
        raise _not_found()


def _is_live(ledger: Ledger, live_until: datetime | None) -> bool:
    return live_until is not None and live_until > ledger.now()


def _ask(ledger: Ledger, call: Call, question: Callable[[PlivoClient], Callable[..., T]]) -> T:
    """Ask Plivo, unless no slot comes in time. Raises `Misconfigured` without Plivo's credentials."""
    within = timedelta(seconds=max(0.0, call.seconds_left - PLIVO_SECONDS))
    return ask_at_slot(ledger, question(runtime.plivo(call.caller.account)), within=within)


def _number(call: Call) -> str:
    """Return the number in the path. Raises `RefusalError` for anything else."""
    number = plus_number(call.request.name)
    if number is None:
        raise _not_found()
    return number


def _not_found() -> RefusalError:
    return RefusalError(404, "Plivo has no verified caller ID with this number", reason="unknown")


def _one(found: VerifiedNumber | None) -> Response:
    if found is None:
        raise _not_found()
    return JSONResponse({"api_id": api_id(), **_fields(found)})


def _fields(number: VerifiedNumber) -> Mapping[str, Any]:
    """Return a verified number as Plivo writes it, with "" in place of null."""
    return {
        "alias": number.alias,
        "country": number.country,
        "created_at": rfc3339(number.created_at) if number.created_at else "",
        "modified_at": rfc3339(number.modified_at) if number.modified_at else "",
        "phone_number": number.phone_number,
        "subaccount": number.subaccount,
        "verification_uuid": number.verification_uuid,
    }

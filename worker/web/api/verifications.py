"""Verifications: have a code sent, see where that stands, enter the code, or take the request back."""

import uuid
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Final

from celery.exceptions import TimeoutError as TimedOut
from fastapi import APIRouter, Depends, Header, Path, Query, Response
from starlette.requests import Request

from ringproof import errors, results
from ringproof.celery.confirmation import confirm_verification
from ringproof.celery.verification import initiate_verification
from ringproof.ledger.answers import Settled
from ringproof.ledger.credentials import Credential, Scope
from ringproof.ledger.record import UNBEGUN, Lane, Record, State
from ringproof.ledger.request import VerificationRequest
from ringproof.ledger.request_ids import IdentifiedRequest, identified, identify
from ringproof.ledger.result_id import ResultId
from worker.web.api.access import Here, Verifier, VerifierOrReader, expect_json
from worker.web.api.idempotency import KEPT, forget, token_of
from worker.web.api.models import Accepted, Code, Confirmation, NewVerification, Verification
from worker.web.api.problems import Refused, problems
from worker.web.api.stopping import StoppingError, unless_stopping
from worker.web.site import Site

LONGEST_WAIT: Final = 30
"""Seconds: shorter than the time limits of clients and proxies, which are a minute as a rule."""

CONFIRM_SECONDS: Final = 10.0
"""How long a confirmation is waited for. A worker that has a slot at once takes well under one."""

router = APIRouter(tags=["verifications"])

Id = Annotated[str, Path(description="The opaque id that `POST /verifications` returned.")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="A text of your choice for this request. Sent again within 24 hours, it has no second code sent.",
    ),
]
Wait = Annotated[
    int, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait at most, until a code is sent or none will be.")
]


@router.post(
    "/verifications",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=[Depends(expect_json)],
    responses={
        202: {"headers": {"Location": {"description": "Where it stands.", "schema": {"type": "string"}}}},
        **problems(400, 415, 422),
    },
)
async def create_verification(
    body: NewVerification, request: Request, response: Response, site: Here, caller: Verifier, key: Key = None
) -> Accepted:
    """Have a code sent to a number, once.

    If an earlier request of the number is unfinished, or its code may still work, no other code is sent, and that
    request stands for this one. The answer is the same in any case, so that it tells nothing about the number.
    """
    request_id = await site.threads(_create, site, caller, body, key)
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/verifications/{request_id}"
    return Accepted(id=request_id)


def _create(site: Site, caller: Credential, body: NewVerification, key: str | None) -> str:
    ledger = site.ledger
    wanted = VerificationRequest.read((), {**body.model_dump(), "account": site.account}, site.settings.region)
    token = token_of(ledger, caller.auth_id, key, body.model_dump_json()) if key else uuid.uuid4().hex
    try:
        accepted = initiate_verification.enqueue(wanted, Lane.INTERACTIVE, token=token, remember=KEPT if key else None)
    except (errors.CoolingDown, errors.Capped, errors.InvalidNumber):
        if key:
            forget(ledger, token)
        raise
    request = int(accepted.id.rpartition("/")[2])
    made = IdentifiedRequest(wanted.number.e164, request, caller.auth_id, is_own=not accepted.is_anothers)
    return identify(ledger, made, asker=wanted.requester or "", keep=_kept(site))


@router.get("/verifications/{verification_id}", responses=problems(404, 422))
async def read_verification(verification_id: Id, site: Here, caller: VerifierOrReader, wait: Wait = 0) -> Verification:
    """Say where a request stands. With `wait`, answer when a code is sent, or when it is known that none will be."""
    found = await _found(site, verification_id)
    may_read = Scope.READ in caller.scopes
    if found.owner != caller.auth_id and not may_read:
        raise _unknown()
    if not (found.is_own or may_read):
        return Verification(id=verification_id, state="pending")
    record = await _record(site, found, wait)
    if record is None:
        newest = await site.threads(site.ledger.read, found.number)
        if newest and newest.request > found.request:
            return Verification.superseded(verification_id)
        raise _unknown()
    return Verification.of(verification_id, record, is_own=found.is_own)


async def _record(site: Site, found: IdentifiedRequest, wait: int) -> Record | None:
    if wait:
        watch, ledger = await site.records()
        waited = watch.record(
            ledger, found.number, found.request, lambda record: record.state not in UNBEGUN | {State.SENDING}, wait
        )
        with suppress(StoppingError):
            return await unless_stopping(site.stopping, waited)
    return await site.threads(site.ledger.read, found.number, found.request)


@router.post(
    "/verifications/{verification_id}/confirm",
    dependencies=[Depends(expect_json)],
    responses=problems(400, 404, 415, 422),
)
async def confirm(verification_id: Id, body: Code, site: Here, caller: Verifier) -> Confirmation:
    """Have Plivo check the code that a person has entered. Only the code that was sent for this request is right."""
    found = await _own(site, verification_id, caller)
    try:
        result = await confirmed(site, found, body)
    except (errors.NothingPending, errors.AnotherRequest):
        if found.is_own or Scope.READ in caller.scopes:
            raise
        raise errors.NothingPending("pending") from None  # where the number stands is not for everybody who types it
    return Confirmation.model_validate(result)


async def confirmed(site: Site, found: IdentifiedRequest, body: Code) -> results.Confirmation:
    """Return the result of a confirmation. Raises `NotConfirmed`: also if no worker answers in time."""
    request = ResultId(found.number, found.request, site.account)
    try:
        return await confirm_verification.aconfirm(
            found.number, body.code, request=str(request), timeout=CONFIRM_SECONDS
        )
    except TimedOut:
        raise errors.Unconfirmed("no worker answered in time") from None
    except errors.RingproofError:
        raise
    except Exception as error:  # noqa: BLE001  # what a worker of another version has stored
        raise errors.Unconfirmed(type(error).__name__) from None


@router.delete("/verifications/{verification_id}", status_code=HTTPStatus.NO_CONTENT, responses=problems(404, 409))
async def cancel(verification_id: Id, site: Here, caller: Verifier) -> None:
    """Take a request back that has not begun. A code that is being sent cannot be taken back."""
    found = await _own(site, verification_id, caller)
    if not found.is_own or await site.threads(site.ledger.cancel, found.number, found.request) is Settled.STALE:
        detail = "this request has begun, has ended, or is not this caller's own; it cannot be taken back"
        raise Refused(HTTPStatus.CONFLICT, "not_cancellable", detail)


async def _own(site: Site, verification_id: str, caller: Credential) -> IdentifiedRequest:
    """Return the request of an id that this caller has got. Raises `Refused` for any other id."""
    found = await _found(site, verification_id)
    if found.owner != caller.auth_id:
        raise _unknown()
    return found


async def _found(site: Site, verification_id: str) -> IdentifiedRequest:
    found = await site.threads(identified, site.ledger, verification_id, keep=_kept(site))
    if found is None:
        raise _unknown()
    return found


def _unknown() -> Refused:
    detail = "no verification has this id, or its number was erased; POST /verifications returns an id"
    return Refused(HTTPStatus.NOT_FOUND, "unknown_verification", detail)


def _kept(site: Site) -> timedelta:
    return timedelta(days=site.settings.record_days)

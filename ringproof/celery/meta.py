"""Celery's fields of a result whose id is one of Ringproof's: they are made of the number's record."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Literal

from celery import states

from ringproof import errors
from ringproof.ledger.failures import failure_of
from ringproof.ledger.record import Record, State
from ringproof.ledger.result_id import ResultId, parse_result_id
from ringproof.results import verification_record

CeleryState = Literal["PENDING", "QUEUED", "WAITING", "STARTED", "SUCCESS", "FAILURE", "REVOKED"]

CELERY_STATES: Final[dict[State, CeleryState]] = {
    State.QUEUED: "QUEUED",
    State.WAITING: "WAITING",
    State.SENDING: states.STARTED,
    State.CODE_SENT: states.SUCCESS,
    State.IN_DOUBT: states.FAILURE,
    State.VERIFIED: states.SUCCESS,
    State.EXPIRED: states.SUCCESS,
    State.FAILED: states.FAILURE,
    State.CANCELLED: states.REVOKED,
}


def named_by(task_id: str) -> ResultId:
    """Return what the id of a result names."""
    return parse_result_id(task_id) or ResultId("")


async def read_meta(
    read: Callable[[str, int | None], Awaitable[Record | None]], task_id: str, *, is_anothers: bool = False
) -> dict[str, Any]:
    """Return Celery's fields of a result: of the request that its id names, or of the number if that is another's."""
    number, request, _ = named_by(task_id)
    record = await read(number, request)
    if record is None:
        newest = await read(number, None) if request else None
        if newest and request and newest.request > request:
            return {"task_id": task_id, "status": states.FAILURE, "result": errors.Superseded(), "final": True}
        return {"task_id": task_id, "status": states.PENDING, "result": None}
    return meta_of(task_id, record, is_anothers=is_anothers)


def meta_of(task_id: str, record: Record, *, is_anothers: bool = False) -> dict[str, Any]:
    """Return Celery's fields of a result whose record this is."""
    if named_by(task_id).request and not is_anothers:
        record = replace(record, state=record.state_of_request)
    meta: dict[str, Any] = {
        "task_id": task_id,
        "status": CELERY_STATES[record.state],
        "result": failure_of(record) or verification_record(record, is_anothers=is_anothers),
        "children": [],
        "traceback": None,
        "final": record.state.is_final,
    }
    if is_ready(meta):
        meta["date_done"] = record.updated_at
    return meta


def is_ready(meta: dict[str, Any]) -> bool:
    """Whether these are the fields of a result that `.get()` returns or raises."""
    return meta["status"] in states.READY_STATES

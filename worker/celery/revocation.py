"""Celery's control commands that revoke, as this worker answers them: `celery control revoke`, Flower, `broadcast`.

The answer says what happened. An id of a result cancels its request in the ledger. So does the id of a message, at once
if this worker has the message, and otherwise when it arrives (`MaskedRequest.revoked`).
"""

from collections.abc import Iterator
from typing import Any, Final

from celery import bootsteps
from celery.worker import control, state

from ringproof.celery.control import NO_STAMPS, NOT_TERMINATED, refused_by_ledger
from ringproof.celery.messages import requests_of
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.result_id import mask_id, parse_result_id

_celerys_revoke = control.revoke
_WHEN_IT_ARRIVES: Final = (
    "this worker drops a message of this id when it arrives, and cancels its request; "
    "ringproof cancel NUMBER cancels a request at once"
)


class Revocation(bootsteps.Step):
    """Replaces Celery's commands in this worker."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        control.Panel.data.update(
            revoke=revoke, terminate=terminate, revoke_by_stamped_headers=revoke_by_stamped_headers
        )


def revoke(worker: Any, task_id: Any, terminate: bool = False, **_: Any) -> dict[str, str]:
    """Cancel the requests of these ids, and answer what became of each: `{"ok": "+1•••••••23/1764: cancelled"}`."""
    if terminate:
        return {"error": NOT_TERMINATED}
    ids = [task_id] if isinstance(task_id, str) else list(task_id or ())
    try:
        answers = [answer for one in ids for answer in _revoke(worker, str(one))]
    except LedgerUnavailable as error:
        return {"error": error.message}
    is_done = all(is_cancelled for is_cancelled, _ in answers)
    return {"ok" if is_done else "error": "; ".join(text for _, text in answers)}


def terminate(_worker: Any, _signal: Any = None, _task_id: Any = None, **_: Any) -> dict[str, str]:
    """Refuse: a process of a worker sends to many numbers."""
    return {"error": NOT_TERMINATED}


def revoke_by_stamped_headers(_worker: Any, _headers: Any = None, **_: Any) -> dict[str, str]:
    """Refuse: a message that the sweep sends again has no stamps."""
    return {"error": NO_STAMPS}


def _revoke(worker: Any, one: str) -> Iterator[tuple[bool, str]]:
    """Yield whether each request of an id is cancelled, with the sentence that says it."""
    message = state.requests.get(one)
    ids = [one] if parse_result_id(one) else requests_of(message.type, message.args, message.kwargs) if message else []
    if not ids:
        _celerys_revoke(worker, [one])
        yield True, f"{one}: {_WHEN_IT_ARRIVES}"
        return
    refused = refused_by_ledger(ids)
    for request in ids:
        is_cancelled = request not in refused
        yield is_cancelled, f"{mask_id(request)}: {'cancelled' if is_cancelled else 'not cancelled: it has begun'}"

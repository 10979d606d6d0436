"""The record as a Celery result: ids are `+E164/request`, or the bare number for its newest request.

Other ids (a foreign app's messages) are Celery's own results in the same Redis.
"""

import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import redis
from celery import states
from celery.backends.redis import RedisBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult
from kombu.utils.imports import symbol_by_name

from ringproof import errors, runtime
from ringproof.clock import iso
from ringproof.ledger.answers import Settled
from ringproof.ledger.failures import failure_of
from ringproof.ledger.record import Record, State
from ringproof.phone.masking import mask

CELERY_STATES: Final = {
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


_log = logging.getLogger(__name__)

_OURS = re.compile(r"(\+[1-9]\d{1,14})(?:/(\d{1,12}))?", re.ASCII)
_REREAD_SECONDS = 1.0  # what a lost notification costs at most


def result_of(record: Record) -> dict[str, Any]:
    """Return what `.get()` gives and `.info` shows: plain values, times as ISO 8601."""
    return {
        "phone_number": record.phone_number,
        "state": str(record.state),
        "verification_uuid": record.verification_uuid,
        "api_id": record.api_id,
        "message": record.message,
        "channel": record.channel,
        "alias": record.alias,
        "subaccount": record.subaccount,
        "country": record.country,
        "code_sent_at": _iso(record.code_sent_at),
        "expires_at": _iso(record.expires_at),
        "attempts": record.attempts,
    } | (
        {"reason": record.reason and str(record.reason), "due_at": _iso(record.due_at)}
        if record.state is State.WAITING
        else {}
    )


def split(task_id: str) -> tuple[str, int | None] | None:
    """Read one of our ids as (number, request); None if it is another's."""
    match = _OURS.fullmatch(task_id)
    return (match[1], int(match[2]) if match[2] else None) if match else None


class LedgerBackend(RedisBackend):
    """Celery's result backend over the ledger. It stores nothing for our ids: the record is the result."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing: the stock one subscribes before it publishes, and hangs for 19 s without a Redis."""

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        """Leave our results to their own waiting."""
        if split(result.id):
            return result
        return super().add_pending_result(result, weak=weak, start_drainer=start_drainer)

    def remove_pending_result(self, result: Any) -> Any:
        """Leave our results to their own waiting, and others alone while Python ends: the stock one would connect."""
        return result if split(result.id) or sys.is_finalizing() else super().remove_pending_result(result)

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **options: Any) -> Any:
        """Store nothing for an id of ours, whoever has put it on a message.

        Another's result that Redis refuses is told to the log: raised, it would keep a place in the worker for ever.
        """
        if split(task_id):
            return result
        try:
            return super().store_result(task_id, result, state, *args, **options)
        except redis.RedisError as error:
            _log.warning("the result of message %s was not stored: %s", task_id, type(error).__name__)
            return result

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        ours = split(task_id)
        meta: dict[str, Any] = _meta(task_id, *ours) if ours else super()._get_task_meta_for(task_id)
        return meta

    def wait_for_pending(
        self,
        result: Any,
        callback: Callable[..., Any] | None = None,
        propagate: bool = True,
        timeout: float | None = None,
        on_interval: Callable[[], Any] | None = None,
        **options: Any,
    ) -> Any:
        """Wait until the record of `result` is ready: read, listen, and read again each second.

        It survives a restart of Redis; a wait without a `timeout` waits as long as it takes. Raises Celery's
        TimeoutError after `timeout` seconds, and with `propagate` the request's typed error.
        """
        ours = split(result.id)
        if ours is None:
            return super().wait_for_pending(
                result,
                callback=callback,
                propagate=propagate,
                timeout=timeout,
                on_interval=on_interval,
                **options,
            )
        self._ensure_not_eager()
        deadline = None if timeout is None else time.monotonic() + timeout
        meta = _await_ready(result, ours[0], deadline, on_interval)
        if not result.on_ready.ready:
            result.on_ready(result)  # .then() is called when there is a result, final or not
        if propagate and meta["status"] in states.PROPAGATE_STATES:
            raise meta["result"]
        if callback is not None:
            callback(result.id, meta["result"])
        return meta["result"]


class Verification(AsyncResult):
    """One request's result, kept in the number's record. It prints masked; `id` is `+E164/request`."""

    supports_native_join = False  # a ResultSet asks each for itself

    def _get_task_meta(self) -> Any:
        """Read the record, every time until it is final; for the bare number, every time."""
        if self._cache is not None:
            return self._cache
        meta = self.backend.get_task_meta(self.id)
        if meta.get("final") and "/" in self.id:
            self._set_cache(meta)
            self.on_ready(self)
        return meta

    def revoke(self, *_: Any, **options: Any) -> Settled:
        """Take the request back if nothing was begun; the answer says whether it was.

        A worker in mid-send is never terminated: the code may be out.
        """
        if options.get("terminate"):
            raise errors.InvalidRequest("terminate", "True", "a send that has begun cannot be taken back; leave it out")
        number, request = split(self.id) or ("", None)
        ledger = runtime.ledger()
        if request is None:
            newest = ledger.read(number)
            if newest is None:
                return Settled.STALE
            request = newest.request
        return ledger.cancel(number, request)

    def forget(self) -> None:
        """Forget what was read; the record stays, for it is the number's and not this result's."""
        self._cache = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the id alone: the stock one takes Redis' URL along, password included."""
        return _restored, (self.id,)

    def __str__(self) -> str:
        number, slash, request = self.id.partition("/")
        return f"{mask(number)}{slash}{request}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def _restored(task_id: str) -> Verification:
    app = symbol_by_name("ringproof.celery.app:app")
    return Verification(task_id, backend=app.backend, app=app)


def _meta(task_id: str, number: str, request: int | None) -> dict[str, Any]:
    ledger = runtime.ledger()
    record = ledger.read(number, request)
    if record is None:
        newest = ledger.read(number) if request else None
        if newest and request and newest.request > request:
            gone = errors.Superseded()
            return {"task_id": task_id, "status": states.FAILURE, "result": gone, "final": True}
        return {"task_id": task_id, "status": states.PENDING, "result": None}
    meta: dict[str, Any] = {
        "task_id": task_id,
        "status": CELERY_STATES[record.state],
        "result": failure_of(record) or result_of(record),
        "children": [],
        "traceback": None,
        "final": record.state.is_final,
    }
    if meta["status"] in states.READY_STATES:
        meta["date_done"] = record.updated_at
    return meta


def _await_ready(
    result: Any, number: str, deadline: float | None, on_interval: Callable[[], Any] | None
) -> dict[str, Any]:
    """Return what the result says when it is ready, in step with the notifications on the record's channel."""
    ledger = runtime.ledger()
    while True:
        pubsub = ledger.client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # redis-py's
        try:
            pubsub.subscribe(ledger.keys.events_channel(number))
            while True:
                meta: dict[str, Any] = result._get_task_meta()  # noqa: SLF001  # Celery's own way to read it
                if meta["status"] in states.READY_STATES:
                    return meta
                remaining = _REREAD_SECONDS if deadline is None else min(_REREAD_SECONDS, deadline - time.monotonic())
                if remaining <= 0:
                    raise CeleryTimeoutError("The operation timed out.")
                if on_interval:
                    on_interval()
                pubsub.get_message(timeout=remaining)
        except (redis.ConnectionError, redis.TimeoutError, errors.LedgerUnavailable) as error:
            pause = 0.2  # Redis is away: it is asked again until the deadline
            if deadline is not None and time.monotonic() + pause > deadline:
                raise CeleryTimeoutError("The operation timed out.") from error
            time.sleep(pause)
        finally:
            pubsub.close()


def _iso(when: datetime | None) -> str | None:
    return iso(when) if when else None

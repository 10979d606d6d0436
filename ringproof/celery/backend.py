"""The record of a number as a Celery result.

The id of a result is `+E164/REQUEST`, or the bare number for its newest request. A result with another id, such as that
of a foreign application's message, is Celery's own in the same Redis.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Self

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

_RESULT_ID = re.compile(r"(\+[1-9]\d{1,14})(?:/(\d{1,12}))?", re.ASCII)
_REREAD_SECONDS = 1.0  # how late a result is at most if its notification is lost
_RECONNECT_SECONDS = 0.2

AWAY_SECONDS: Final = 20.0
"""How long the result of a confirmation waits for Redis. The code has been waiting there, and lives a minute."""


OF_A_REQUEST: Final = ("verification_uuid", "api_id", "alias", "subaccount")
"""The fields of a result that only the caller gets whose request was accepted."""


def result_of(record: Record) -> dict[str, Any]:
    """Return what `.get()` returns and `.info` shows: plain values, with times as ISO 8601.

        {"phone_number": "+14155550123", "state": "code_sent", "verification_uuid": "24856289-…", "channel": "sms",
         "alias": "Front desk", "country": "US", "code_sent_at": "2026-05-04T15:00:00.000+00:00", "attempts": 1, …}

    While the number waits there are also the `reason` and `due_at`.
    """
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


def parse_result_id(task_id: str) -> tuple[str, int | None] | None:
    """Return the number and the request that a result's id names; None if the id is not one of Ringproof's.

    >>> parse_result_id("+14155550123/1764374400")
    ('+14155550123', 1764374400)
    >>> parse_result_id("+14155550123")
    ('+14155550123', None)
    >>> parse_result_id("7d5c1f2e-8e0b-4a5b-9d0e-3c1a2b4c5d6e")
    """
    match = _RESULT_ID.fullmatch(task_id)
    return (match[1], int(match[2]) if match[2] else None) if match else None


class LedgerBackend(RedisBackend):
    """Celery's result backend over the ledger. It stores nothing for ids of Ringproof's: the record is the result."""

    supports_native_join = False  # a ResultSet waits for each by itself

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing. Celery's own method subscribes before it publishes, and blocks for 19 s if Redis is away."""

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:  # noqa: ARG002
        """Return the result. Celery's own method connects here, and every result waits in `wait_for_pending`."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Return the result: there is nothing to forget."""
        return result

    def get(self, key: Any) -> Any:
        """Read the stored result of another's message. Raises `LedgerUnavailable` if Redis does not answer."""
        return runtime.ledger().run("get", key)

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **options: Any) -> Any:
        """Store another's result. Nothing is stored under an id of Ringproof's, even if a foreign message has it.

        If Redis refuses, the failure is logged. An error here would block one of the worker's places for ever.
        """
        if parse_result_id(task_id):
            return result
        try:
            return super().store_result(task_id, result, state, *args, **options)
        except redis.RedisError as error:
            _log.warning("the result of message %s was not stored: %s", task_id, type(error).__name__)
            return result

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        parsed = parse_result_id(task_id)
        if parsed:
            return _meta_of_record(task_id)
        meta: dict[str, Any] = super()._get_task_meta_for(task_id)
        return meta

    def wait_for_pending(
        self,
        result: Any,
        callback: Callable[..., Any] | None = None,
        propagate: bool = True,
        timeout: float | None = None,
        on_interval: Callable[[], Any] | None = None,
        **_: Any,
    ) -> Any:
        """Wait until `result` is ready: listen for its events, and read it each second.

        The result of a request waits through a restart of Redis. Without a `timeout` it lasts until there is a result.
        Any other result, such as that of a confirmation, raises `LedgerUnavailable` if Redis is away at its timeout,
        or for AWAY_SECONDS. Raises Celery's TimeoutError after `timeout` seconds; with `propagate` raises the error of
        the result.
        """
        self._ensure_not_eager()
        deadline = None if timeout is None else time.monotonic() + timeout
        meta = _await_ready(result, self._channel_of(result.id), deadline, on_interval)
        if not result.on_ready.ready:
            result.on_ready(result)  # calls what .then() has registered
        if parse_result_id(result.id) is None:
            return result.maybe_throw(propagate=propagate, callback=callback)
        if propagate and meta["status"] in states.PROPAGATE_STATES:
            raise meta["result"]
        if callback is not None:
            callback(result.id, meta["result"])
        return meta["result"]

    def _channel_of(self, task_id: str) -> str:
        """Return the channel on which a result's changes are published: a record's own, or Celery's."""
        parsed = parse_result_id(task_id)
        return runtime.ledger().keys.events_channel(parsed[0]) if parsed else self.get_key_for_task(task_id).decode()


class Verification(AsyncResult):
    """The result of one request, read from the number's record. It prints masked; its `id` is `+E164/REQUEST`.

        verification = initiate_verification.delay("+14155550123")
        verification.state         # QUEUED, then STARTED, then SUCCESS
        verification.get(timeout=30)["state"]  # "code_sent"

    `.get()` raises the typed error of a request that failed or is in doubt. If `.delay` has accepted no request,
    because an earlier one stands for it, its result shows where the number stands, without the alias, the subaccount
    and the uuids of that other request.
    """

    def __init__(self, id: str, *args: Any, is_anothers: bool = False, **options: Any) -> None:  # noqa: A002  # Celery's
        super().__init__(id, *args, **options)
        self._is_anothers = is_anothers

    @property
    def is_anothers(self) -> bool:
        """Whether `.delay` has accepted no request, because an earlier one stands for it. That may be another person's.

        A web app does not tell its state to the person who has typed the number now.
        """
        return self._is_anothers

    def _get_task_meta(self) -> Any:
        """Read the record; cache it if it is final and the id names its request. A bare number may get a newer one."""
        if self._cache is not None:
            return self._cache
        meta = _meta_of_record(self.id, is_anothers=self._is_anothers)
        if meta.get("final") and "/" in self.id:
            self._set_cache(meta)
            self.on_ready(self)
        return meta

    def revoke(self, *_: Any, **options: Any) -> Settled:
        """Cancel the request if it has not begun; return what became of it.

        Raises `InvalidRequest` for `terminate=True`: a send that has begun is not interrupted, for Plivo may have sent
        the code.
        """
        if options.get("terminate"):
            raise errors.InvalidRequest("terminate", "True", "leave it out: a send that has begun cannot be cancelled")
        return cancel_by_id(self.id)

    def forget(self) -> None:
        """Forget what was read. The record stays: it belongs to the number, and not to this result."""
        self._cache = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the id alone. Celery's own method would add Redis' URL, password included."""
        return _restored, (self.id, self._is_anothers)

    def __copy__(self) -> Self:
        return _restored(self.id, self._is_anothers)

    def __str__(self) -> str:
        return mask_id(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def mask_id(result_id: str) -> str:
    """Mask the number in a result's id: `+1•••••••23/1764374400`."""
    number, slash, request = result_id.partition("/")
    return f"{mask(number)}{slash}{request}"


def cancel_by_id(result_id: str) -> Settled:
    """Cancel the request of a result if it has not begun; of a number without a request, the newest one."""
    number, request = parse_result_id(result_id) or ("", None)
    ledger = runtime.ledger()
    if request is None:
        newest = ledger.read(number)
        if newest is None:
            return Settled.STALE
        request = newest.request
    return ledger.cancel(number, request)


def _restored(task_id: str, is_anothers: bool = False) -> Verification:
    app = symbol_by_name("ringproof.celery.app:app")
    return Verification(task_id, backend=app.backend, app=app, is_anothers=is_anothers)


def _meta_of_record(task_id: str, *, is_anothers: bool = False) -> dict[str, Any]:
    """Return Celery's fields of a result: of the request that its id names, or of the number if that is another's."""
    number, request = parse_result_id(task_id) or ("", None)
    ledger = runtime.ledger()
    record = ledger.read(number, request)
    if record is None:
        newest = ledger.read(number) if request else None
        if newest and request and newest.request > request:
            return {"task_id": task_id, "status": states.FAILURE, "result": errors.Superseded(), "final": True}
        return {"task_id": task_id, "status": states.PENDING, "result": None}
    if request and not is_anothers:
        record = replace(record, state=record.state_of_request)
    shown = result_of(record) | (dict.fromkeys(OF_A_REQUEST) if is_anothers else {})
    meta: dict[str, Any] = {
        "task_id": task_id,
        "status": CELERY_STATES[record.state],
        "result": failure_of(record) or shown,
        "children": [],
        "traceback": None,
        "final": record.state.is_final,
    }
    if meta["status"] in states.READY_STATES:
        meta["date_done"] = record.updated_at
    return meta


def _await_ready(
    result: Any, channel: str, deadline: float | None, on_interval: Callable[[], Any] | None
) -> dict[str, Any]:
    """Return Celery's fields of the result when it is ready. Raises Celery's TimeoutError at the deadline."""
    ledger = runtime.ledger()
    last_read = time.monotonic()
    while True:
        pubsub = ledger.client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # redis-py's
        try:
            pubsub.subscribe(channel)
            while True:
                meta: dict[str, Any] = result._get_task_meta()  # noqa: SLF001  # Celery's own way to read it
                last_read = time.monotonic()
                if meta["status"] in states.READY_STATES:
                    return meta
                remaining = _REREAD_SECONDS if deadline is None else min(_REREAD_SECONDS, deadline - time.monotonic())
                if remaining <= 0:
                    raise CeleryTimeoutError("The operation timed out.")
                if on_interval:
                    on_interval()
                pubsub.get_message(timeout=remaining)
        except (redis.ConnectionError, redis.TimeoutError, errors.LedgerUnavailable) as error:
            is_request = parse_result_id(result.id) is not None
            is_over = deadline is not None and time.monotonic() + _RECONNECT_SECONDS > deadline
            if is_over and is_request:
                raise CeleryTimeoutError("The operation timed out.") from None
            if not is_request and (is_over or time.monotonic() - last_read > AWAY_SECONDS):
                raise error if isinstance(error, errors.LedgerUnavailable) else ledger.unavailable(error) from None
            time.sleep(_RECONNECT_SECONDS)
        finally:
            pubsub.close()


def _iso(when: datetime | None) -> str | None:
    return iso(when) if when else None

"""The record of a number as a Celery result.

The id of a result is `+E164/REQUEST`, or the bare number for its newest request; that of an account has its name in
front, as `acme:+E164/REQUEST`. A result with another id, such as that of a foreign application's message, is Celery's
own in the same Redis.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, Self, overload

import redis
from celery import states
from celery.backends.redis import RedisBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult
from kombu.utils.imports import symbol_by_name

from ringproof import errors, runtime
from ringproof.aio.event_loop import open_here
from ringproof.aio.watch import REREAD_SECONDS
from ringproof.celery.meta import CeleryState, is_ready, named_by, read_meta
from ringproof.celery.waiting import AWAY_SECONDS, TIMED_OUT, end_of_wait, wait_until_ready
from ringproof.ledger import sentinels
from ringproof.ledger.answers import Settled
from ringproof.ledger.in_one_go import in_one_go
from ringproof.ledger.record import Record
from ringproof.ledger.result_id import mask_id, parse_result_id
from ringproof.network import redis_url
from ringproof.results import VerificationRecord

_log = logging.getLogger(__name__)

_RECONNECT_SECONDS = 0.2


class LedgerBackend(RedisBackend):
    """Celery's result backend over the ledger. It stores nothing for ids of Ringproof's: the record is the result."""

    supports_native_join = False  # a ResultSet waits for each by itself

    def __init__(self, *, app: Any, url: str, **options: Any) -> None:
        self._sentinel_url = url if redis_url.has_sentinels(url) else ""
        super().__init__(app=app, url=None if self._sentinel_url else url, **options)
        self.url = url

    def as_uri(self, include_password: bool = False) -> str:
        """Return the URL for logs. One of Sentinels has a second password, which Celery would show."""
        if self._sentinel_url and not include_password:
            return redis_url.shown(self._sentinel_url)
        uri: str = super().as_uri(include_password)
        return uri

    def _get_pool(self, **options: Any) -> Any:
        """Return the connections to Redis: to the master, if Sentinels name it."""
        if not self._sentinel_url:
            return super()._get_pool(**options)
        waits = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout") if name in options}
        return sentinels.master_pool(self._sentinel_url, **waits)

    def _create_client(self, **options: Any) -> Any:
        """Return the client that stores others' results: of what a test has in the place of Redis, if it has that."""
        origin = runtime.current_origin()
        return origin.connect(self.url) if origin and origin.connect else super()._create_client(**options)

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

    def delete(self, key: Any) -> Any:
        """Delete a stored result, for `.forget()`. Raises `LedgerUnavailable` if Redis does not answer."""
        return runtime.ledger().run("delete", key)

    def _save_group(self, group_id: str, result: Any) -> Any:
        """Store which results a group has. Celery's own method would try for 19 s, and for 82 s if Redis hangs."""
        stored = self.encode({"result": result.as_tuple()})
        runtime.ledger().run("set", self.get_key_for_group(group_id), stored, ex=self.expires or None)
        return result

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
        the result. In the eager mode it does not wait: whatever was to be done has been.
        """
        self._ensure_not_eager()
        if runtime.is_performed_at_once():
            timeout = 0.0
        deadline = end_of_wait(timeout, time.monotonic())
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

    def iter_native(
        self, result: Any, timeout: float | None = None, on_interval: Callable[[], Any] | None = None, **_: Any
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Wait for each result of a `ResultSet` in turn, and yield its id and Celery's fields of it.

        Celery's own method listens for keys that the records of requests do not have, and would wait for ever. Raises
        Celery's TimeoutError, after `timeout` seconds for all of them, or `LedgerUnavailable`.
        """
        self._ensure_not_eager()
        deadline = end_of_wait(timeout, time.monotonic())
        for one in result.results:
            yield one.id, _await_ready(one, self._channel_of(one.id), deadline, on_interval)

    def _channel_of(self, task_id: str) -> str:
        """Return the channel on which a result's changes are published: a record's own, or Celery's."""
        parsed = parse_result_id(task_id)
        if parsed is None:
            return str(self.get_key_for_task(task_id).decode())
        return runtime.ledger(parsed.account).keys.events_channel(parsed.number)


class Verification(AsyncResult):
    """The result of one request, read from the number's record. It prints masked; its `id` is `+E164/REQUEST`.

        verification = initiate_verification.delay("+14155550123")
        verification.state         # QUEUED, then STARTED, then SUCCESS
        verification.get(timeout=30)["state"]  # "code_sent"
        verification.phone_number, verification.request  # "+14155550123", 1764374400

    `.get()` raises the typed error of a request that failed or is in doubt. If `.delay` has accepted no request,
    because an earlier one stands for it, its result shows where the number stands, without the alias, the subaccount
    and the uuids of that other request.
    """

    id: str
    _cache: dict[str, Any] | None

    def __init__(self, id: str, *args: Any, is_anothers: bool = False, **options: Any) -> None:  # noqa: A002  # Celery's
        super().__init__(id, *args, **options)
        self._is_anothers = is_anothers

    @property
    def phone_number(self) -> str:
        """Its number, as E.164."""
        return named_by(self.id).number

    @property
    def request(self) -> int | None:
        """Its request; None if it is the result of a number's newest one."""
        return named_by(self.id).request

    @property
    def account(self) -> str | None:
        """The account that sends the code; None for the installation's own."""
        return named_by(self.id).account

    @property
    def is_anothers(self) -> bool:
        """Whether `.delay` has accepted no request, because an earlier one stands for it. That may be another person's.

        A web app does not tell its state to the person who has typed the number now.
        """
        return self._is_anothers

    @property
    def state(self) -> CeleryState:
        """Celery's name of the record's state. Each reading asks Redis. Raises `LedgerUnavailable`."""
        state: CeleryState = self._get_task_meta()["status"]
        return state

    status = state

    @property
    def result(self) -> VerificationRecord | errors.RingproofError | None:
        """What `.get()` returns or raises now, or where a request stands that waits; None if it is unknown."""
        result: VerificationRecord | errors.RingproofError | None = self._get_task_meta()["result"]
        return result

    info = result

    @overload
    def get(
        self, timeout: float | None = None, propagate: Literal[True] = True, *args: Any, **options: Any
    ) -> VerificationRecord: ...
    @overload
    def get(
        self, timeout: float | None = None, propagate: bool = True, *args: Any, **options: Any
    ) -> VerificationRecord | errors.RingproofError: ...
    def get(self, timeout: float | None = None, propagate: bool = True, *args: Any, **options: Any) -> Any:
        """Wait until the code is sent, and return the record.

        Raises Celery's TimeoutError after `timeout` seconds, and the typed error of a request that has failed, was
        cancelled or is in doubt. With `propagate=False` it returns that error.
        """
        return super().get(timeout, propagate, *args, **options)

    async def wait(self, timeout: float | None = None) -> VerificationRecord:  # noqa: ASYNC109  # that of `.get()`
        """Wait until the code is sent, as `.get()` does, on asyncio: no thread, and no connection of its own.

            verification = await initiate_verification.adelay("+14155550123")
            (await verification.wait(timeout=10))["state"]  # "code_sent"

        A wait that is cancelled leaves nothing. The errors are those of `.get()`.
        """
        meta = self._cache or self._note_meta(await wait_until_ready(self.id, timeout, is_anothers=self._is_anothers))
        if not self.on_ready.ready:
            self.on_ready(self)  # calls what .then() has registered
        if meta["status"] in states.PROPAGATE_STATES:
            raise meta["result"]
        record: VerificationRecord = meta["result"]
        return record

    async def astate(self) -> CeleryState:
        """Read `state` on asyncio. Raises `LedgerUnavailable`."""
        meta = self._cache
        if not meta:
            ledger = (await open_here()).ledger(self.account)
            meta = self._note_meta(await read_meta(ledger.read, self.id, is_anothers=self._is_anothers))
        state: CeleryState = meta["status"]
        return state

    def _get_task_meta(self) -> Any:
        return self._cache or self._note_meta(_meta_of_record(self.id, is_anothers=self._is_anothers))

    def _note_meta(self, meta: dict[str, Any]) -> dict[str, Any]:
        """Cache what was read if it is final and the id names its request. A bare number may get a newer one."""
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


def cancel_by_id(result_id: str) -> Settled:
    """Cancel the request of a result if it has not begun; of a number without a request, the newest one."""
    number, request, account = named_by(result_id)
    ledger = runtime.ledger(account)
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
    ledger = runtime.ledger(named_by(task_id).account)

    async def read(number: str, request: int | None) -> Record | None:
        return ledger.read(number, request)

    return in_one_go(read_meta(read, task_id, is_anothers=is_anothers))


def _await_ready(
    result: Any, channel: str, deadline: float | None, on_interval: Callable[[], Any] | None
) -> dict[str, Any]:
    """Return Celery's fields of the result when it is ready. Raises Celery's TimeoutError at the deadline."""
    parsed = parse_result_id(result.id)
    ledger = runtime.ledger(parsed.account if parsed else None)
    last_read = time.monotonic()
    while True:
        pubsub = ledger.client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # redis-py's
        try:
            pubsub.subscribe(channel)
            while True:
                meta: dict[str, Any] = result._get_task_meta()  # noqa: SLF001  # Celery's own way to read it
                last_read = time.monotonic()
                if is_ready(meta):
                    return meta
                remaining = REREAD_SECONDS if deadline is None else min(REREAD_SECONDS, deadline - time.monotonic())
                if remaining <= 0:
                    raise CeleryTimeoutError(TIMED_OUT)
                if on_interval:
                    on_interval()
                pubsub.get_message(timeout=remaining)
        except (redis.ConnectionError, redis.TimeoutError, errors.LedgerUnavailable) as error:
            is_request = parsed is not None
            is_over = deadline is not None and time.monotonic() + _RECONNECT_SECONDS > deadline
            if is_over and is_request:
                raise CeleryTimeoutError(TIMED_OUT) from None
            if not is_request and (is_over or time.monotonic() - last_read > AWAY_SECONDS):
                raise error if isinstance(error, errors.LedgerUnavailable) else ledger.unavailable(error) from None
            time.sleep(_RECONNECT_SECONDS)
        finally:
            pubsub.close()

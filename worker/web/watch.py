"""Waits for changes in Redis, a thousand at once, without a thread or a connection for each.

Each change of a record is published on a channel that has the name of the record's key; so is each result of Celery's.
One connection listens to the channels of all keys that are waited for. The keys that have changed are read together,
and all of them are read each second: a message that was lost costs a second.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ringproof.errors import LedgerDamaged, LedgerUnavailable
from ringproof.ledger.bare_redis import SOCKET_SECONDS
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record
from ringproof.secret_str import SecretStr
from worker.web.threads import Threads

REREAD_SECONDS: Final = 1.0
RECONNECT_SECONDS: Final = 0.2
SILENT_SECONDS: Final = 5.0
"""After so long without a message, a ping shows whether the connection is alive."""

CANCEL_SECONDS: Final = 0.1

AT_ONCE: Final = 500
"""Keys that one round trip reads."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Wait:
    """One who waits until `is_done` says so of what a key has. `values` has what was read last, if anything was."""

    is_done: Callable[[Any], bool]
    ended: asyncio.Future[Any]
    values: list[Any] = field(default_factory=list)

    def look(self, value: Any) -> None:
        """End the wait if this value ends it."""
        self.values = [value]
        try:
            if not self.ended.done() and self.is_done(value):
                self.ended.set_result(value)
        except Exception as error:  # noqa: BLE001  # of this one alone: the others go on
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End the wait with an error."""
        if not self.ended.done():
            self.ended.set_exception(error)


@dataclass(slots=True)
class _Watched:
    """A key that is waited for, and the command that reads it."""

    command: str
    waits: set[_Wait] = field(default_factory=set)


class Watch:
    """Watches keys of one Redis, in one event loop: `async with Watch(ledger, url, threads) as watch: …`."""

    def __init__(self, ledger: Ledger, url: SecretStr, threads: Threads) -> None:
        self._ledger, self._threads = ledger, threads
        self._redis = redis.asyncio.Redis.from_url(
            url.get_secret_value(),
            decode_responses=True,
            socket_connect_timeout=SOCKET_SECONDS,
            health_check_interval=SILENT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._watched: dict[str, _Watched] = {}
        self._changed: set[str] = set()
        self._has_changed = asyncio.Event()
        self._pubsub: redis.asyncio.client.PubSub | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._read_changes())]
        return self

    async def __aexit__(self, *_: object) -> None:
        pending = set(self._tasks)
        while pending:  # redis-py may take a cancellation for the end of its own time
            for task in pending:
                task.cancel()
            pending = (await asyncio.wait(pending, timeout=CANCEL_SECONDS))[1]
        await self._redis.aclose()

    async def record(
        self, number: str, request: int, is_done: Callable[[Record], bool], seconds: float
    ) -> Record | None:
        """Wait until `is_done` of a request's record, for so many seconds at most, and return that record.

            sent = await watch.record("+14155550123", 1764376884, lambda record: record.code_sent_at, 3.5)

        Returns the record as it was read last if the time is over, and None if there is none. If a newer request takes
        the number's record over, the wait ends. Raises `LedgerUnavailable` if Redis did not answer in that time, and
        `LedgerDamaged` if what it has is no record.
        """

        def has_ended(packed: dict[str, str]) -> bool:
            record = self._unpack(number, packed)
            return record is None or record.request != request or is_done(record)

        packed = await self.until("hgetall", self._ledger.keys.record(number), has_ended, seconds)
        newest = self._unpack(number, packed)
        if newest and newest.request == request:
            return newest
        return await self._threads(self._ledger.read, number, request)

    async def until(self, command: str, key: str, is_done: Callable[[Any], bool], seconds: float) -> Any:
        """Wait until `is_done` of what a command reads at a key, for so many seconds at most, and return that.

            await watch.until("get", "celery-task-meta-7d5c1f2e-…", lambda result: result is not None, 3.5)

        Returns what was read last if the time is over. Raises `LedgerUnavailable` if Redis did not answer in that time.
        """
        wait = _Wait(is_done, asyncio.get_running_loop().create_future())
        watched = self._watched.setdefault(key, _Watched(command))
        watched.waits.add(wait)
        try:
            if len(watched.waits) == 1:
                await self._tell("subscribe", key)
            self._note(key)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await wait.ended
        finally:
            watched.waits.discard(wait)
            if not watched.waits and self._watched.get(key) is watched:
                del self._watched[key]
                await self._tell("unsubscribe", key)
        if not wait.values:
            raise LedgerUnavailable(self._ledger.shown_url, "no answer in time")
        return wait.values[0]

    def _unpack(self, number: str, packed: dict[str, str]) -> Record | None:
        return self._ledger.record_of(number, [*chain.from_iterable(packed.items())])

    async def _tell(self, command: str, key: str) -> None:
        """Tell Redis that a key is watched, or is not any more. The listener repeats it after a lost connection."""
        if self._pubsub:
            with suppress(RedisError, OSError):
                await getattr(self._pubsub, command)(key)

    def _note(self, key: str) -> None:
        self._changed.add(key)
        self._has_changed.set()

    async def _listen(self) -> None:
        """Note each key that Redis says has changed, and each one that it has begun to listen to."""
        while True:
            pubsub = self._redis.pubsub()
            try:
                await pubsub.subscribe(self._ledger.keys.events)  # so that it listens to something from the start on
                self._pubsub = pubsub
                if self._watched:
                    await pubsub.subscribe(*self._watched)
                while True:
                    message = await pubsub.get_message(timeout=SILENT_SECONDS)
                    if message and message["channel"] in self._watched:
                        self._note(message["channel"])
            except Exception as error:  # noqa: BLE001  # it listens again, whatever redis-py has run into
                if self._pubsub:
                    _log.warning("Redis tells no changes (%s); they are read each second", type(error).__name__)
            finally:
                self._pubsub = None
                with suppress(RedisError, OSError):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py's
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _read_changes(self) -> None:
        """Read the keys that have changed, and all keys each second."""
        loop = asyncio.get_running_loop()
        all_at = loop.time() + REREAD_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(all_at):
                    await self._has_changed.wait()
            self._has_changed.clear()
            keys = list(self._changed & self._watched.keys())
            self._changed.clear()
            if loop.time() >= all_at:
                keys, all_at = list(self._watched), loop.time() + REREAD_SECONDS
            for start in range(0, len(keys), AT_ONCE):
                await self._read(keys[start : start + AT_ONCE])

    async def _read(self, keys: list[str]) -> None:
        watched = [(key, self._watched[key]) for key in keys if key in self._watched]
        try:
            values = await self._threads(self._ledger.run_all, *((one.command, key) for key, one in watched))
        except LedgerDamaged as error:
            if len(watched) > 1:  # one of them is damaged, and the others are not
                for key, _ in watched:
                    await self._read([key])
            else:
                for wait in watched[0][1].waits:
                    wait.fail(error)
            return
        except LedgerUnavailable:  # they are read again within a second
            return
        for (_, one), value in zip(watched, values, strict=True):
            for wait in list(one.waits):
                wait.look(value)

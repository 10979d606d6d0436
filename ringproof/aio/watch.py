"""Waits for changes in Redis, a thousand at once, without a thread or a connection for each.

Each change of a record is published on a channel that has the name of the record's key; so is each result of Celery's.
One connection listens to the channels of all keys that are waited for. The keys that have changed are read together,
and all of them are read each second: a message that was lost costs a second. When nobody waits any more, nothing is
left: no task, and no subscription.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

import redis.asyncio
from redis.exceptions import RedisError

from ringproof.aio.ledger import AsyncLedger
from ringproof.errors import LedgerDamaged, LedgerUnavailable
from ringproof.ledger.record import Record

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
    away: float | None
    seen_at: float
    values: list[Any] = field(default_factory=list)

    def look(self, value: Any, now: float) -> None:
        """End the wait if this value ends it."""
        self.values, self.seen_at = [value], now
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
    """Watches keys of one Redis, in one event loop. `ledger` reads them: any one in this Redis."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self._listening: _Listening | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def record(
        self, ledger: AsyncLedger, number: str, request: int, is_done: Callable[[Record], bool], seconds: float | None
    ) -> Record | None:
        """Wait until `is_done` of a request's record, for so many seconds at most, and return that record.

            sent = await watch.record(ledger, "+14155550123", 1764376884, lambda record: record.code_sent_at, 3.5)

        `ledger` has the record, in the Redis that is watched. Without `seconds` the wait has no end of its own.

        Returns the record as it was read last if the time is over, and None if there is none. If a newer request takes
        the number's record over, the wait ends. Raises `LedgerUnavailable` if Redis did not answer in that time, and
        `LedgerDamaged` if what it has is no record.
        """

        def unpack(packed: dict[str, str]) -> Record | None:
            return ledger.blocking.unpack(number, packed)

        def has_ended(packed: dict[str, str]) -> bool:
            record = unpack(packed)
            return record is None or record.request != request or is_done(record)

        newest = unpack(await self.until("hgetall", ledger.blocking.keys.record(number), has_ended, seconds))
        if newest and newest.request == request:
            return newest
        return await ledger.read(number, request)

    async def until(
        self,
        command: str,
        key: str,
        is_done: Callable[[Any], bool],
        seconds: float | None,
        *,
        away: float | None = None,
    ) -> Any:
        """Wait until `is_done` of what a command reads at a key, for so many seconds at most, and return that.

            await watch.until("get", "celery-task-meta-7d5c1f2e-…", lambda result: result is not None, 3.5)

        Returns what was read last if the time is over. Raises `LedgerUnavailable` if Redis did not answer in that time,
        or for `away` seconds.
        """
        loop = asyncio.get_running_loop()
        wait = _Wait(is_done, loop.create_future(), away, loop.time())
        listening = self._listening = self._listening or _Listening(self._ledger)
        listening.add(command, key, wait)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await wait.ended
        finally:
            if listening.remove(key, wait):
                self._listening = None
                await self._end(listening)
        if not wait.values:
            raise LedgerUnavailable(self._ledger.blocking.shown_url, "no answer in time")
        return wait.values[0]

    async def _end(self, listening: "_Listening") -> None:
        """End a listening, even if who waits for that is cancelled: anyio cancels again at each step."""
        ending = asyncio.create_task(listening.end(), name="end-listening")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        await asyncio.shield(ending)


class _Listening:
    """Listens from the first wait to the last one: two tasks, and one connection."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self._watched: dict[str, _Watched] = {}
        self._changed: set[str] = set()
        self._has_changed = asyncio.Event()
        self._pubsub: redis.asyncio.client.PubSub | None = None
        self._heard: set[str] = set()  # what this connection has subscribed to
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, command: str, key: str, wait: _Wait) -> None:
        """Have a key watched. The first one begins the listening."""
        self._watched.setdefault(key, _Watched(command)).waits.add(wait)
        self._note(key)
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._listen(), name="listen"),
                asyncio.create_task(self._follow(), name="read-changes"),
            ]

    def remove(self, key: str, wait: _Wait) -> bool:
        """Have a key watched no more, unless others wait for it; return whether nothing is watched any more."""
        watched = self._watched[key]
        watched.waits.discard(wait)
        if not watched.waits:
            del self._watched[key]
        return not self._watched

    async def end(self) -> None:
        """End the tasks, and the connection with them."""
        pending = set(self._tasks)
        while pending:  # redis-py may take a cancellation for the end of its own time
            for task in pending:
                task.cancel()
            with suppress(asyncio.CancelledError):  # the loop ends, and cancels all at once
                pending = (await asyncio.wait(pending, timeout=CANCEL_SECONDS))[1]

    def _note(self, key: str) -> None:
        self._changed.add(key)
        self._has_changed.set()

    async def _listen(self) -> None:
        """Note each key that Redis says has changed, and each one that it has begun to listen to."""
        while True:
            pubsub = self._ledger.pubsub()
            try:
                keys = [*self._watched]
                await pubsub.subscribe(*keys)  # the first ones; `_subscribe` does it for those that come later
                self._pubsub, self._heard = pubsub, set(keys)
                self._has_changed.set()
                await self._hear(pubsub)
            except Exception as error:  # noqa: BLE001  # it listens again, whatever redis-py has run into
                if self._pubsub:
                    _log.warning("Redis tells no changes (%s); they are read each second", type(error).__name__)
            finally:
                self._pubsub = None
                with suppress(RedisError, OSError):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py's
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear(self, pubsub: redis.asyncio.client.PubSub) -> None:
        """Note what comes. Raises redis-py's errors, also if Redis does not answer a ping."""
        was_pinged = False
        while True:
            message = await pubsub.get_message(timeout=SILENT_SECONDS)
            if message is None and was_pinged:
                raise redis.ConnectionError("no answer to a ping")
            if message is None:
                await pubsub.ping()
            elif message["channel"] in self._watched:
                self._note(message["channel"])
            was_pinged = message is None

    async def _follow(self) -> None:
        """Read the keys that have changed, and all keys each second. Subscribe to new ones at once.

        Subscriptions that nobody needs any more end each second. A thousand who wake would be a thousand commands.
        """
        loop = asyncio.get_running_loop()
        all_at = loop.time() + REREAD_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(all_at):
                    await self._has_changed.wait()
            self._has_changed.clear()
            keys = list(self._changed & self._watched.keys())
            self._changed.clear()
            is_round = loop.time() >= all_at
            if is_round:
                keys, all_at = list(self._watched), loop.time() + REREAD_SECONDS
            try:
                await self._subscribe(ends_others=is_round)
                for start in range(0, len(keys), AT_ONCE):
                    await self._read(keys[start : start + AT_ONCE])
            except Exception:  # noqa: BLE001  # all who wait would wait for ever
                _log.exception("an error of Ringproof's own; what is waited for is read again")

    async def _subscribe(self, *, ends_others: bool) -> None:
        """Subscribe to the keys that are watched now. After a lost connection `_listen` does."""
        pubsub, heard = self._pubsub, self._heard
        if pubsub is None:
            return
        new = self._watched.keys() - heard
        old = heard - self._watched.keys() if ends_others else set()
        heard |= new
        heard -= old
        with suppress(RedisError, OSError, AttributeError):  # the last is redis-py's, if `_listen` closes it meanwhile
            if new:
                await pubsub.subscribe(*new)
            if old:
                await pubsub.unsubscribe(*old)

    async def _read(self, keys: list[str]) -> None:
        watched = [(key, self._watched[key]) for key in keys if key in self._watched]
        try:
            values = await self._ledger.run_all(*((one.command, key) for key, one in watched))
        except LedgerDamaged as error:
            if len(watched) > 1:  # one of them is damaged, and the others are not
                for key, _ in watched:
                    await self._read([key])
            else:
                for wait in watched[0][1].waits:
                    wait.fail(error)
            return
        except LedgerUnavailable as error:  # they are read again within a second
            now = asyncio.get_running_loop().time()
            for wait in (wait for _, one in watched for wait in one.waits):
                if wait.away is not None and now - wait.seen_at > wait.away:
                    wait.fail(copy(error))
            return
        now = asyncio.get_running_loop().time()
        for (_, one), value in zip(watched, values, strict=True):
            for wait in list(one.waits):
                wait.look(value, now)

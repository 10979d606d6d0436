"""The ledger as a program on asyncio uses it: the same calls, records and errors, and each one is awaited."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import redis
import redis.asyncio

from ringproof.aio.connections import Connections
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import attention
from ringproof.ledger.connection import cause_of
from ringproof.ledger.ledger import Ledger, written
from ringproof.ledger.record import Record
from ringproof.ledger.replication import Performed
from ringproof.ledger.rights import find_missing, is_missing_right
from ringproof.ledger.script_call import ScriptCall

T = TypeVar("T")


class AsyncLedger:
    """Makes the calls of a process's ledger over connections of one event loop.

        ledger = (await open_here()).ledger("acme")
        accepted = await ledger.do(ledger.blocking.accepting("+14155550123", token="order 17"))
        record = await ledger.read("+14155550123")

    `blocking` is that ledger: what it knows of Redis' clock and replicas, both use. Raises `LedgerUnavailable` as it
    does.
    """

    def __init__(
        self,
        ledger: Ledger,
        connections: Connections,
        measures: asyncio.Lock,
        note_work: Callable[[str], Awaitable[None]],
    ) -> None:
        self.blocking = ledger
        self._connections = connections
        self._measures, self._note_work = measures, note_work

    async def do(self, call: ScriptCall[T]) -> T:
        """Make a call of a script."""
        performed = await self.blocking.perform_by(self, call.name, call.keys, call.args)
        if call.name in attention.MAKES_WORK and self.blocking.keys.account:
            await self._note_work(self.blocking.keys.account)
        return call.read(self.blocking.answer_of(performed))

    async def read(self, number: str, request: int | None = None) -> Record | None:
        """Return a number's record, or that of one of its requests, as `Ledger.read` does."""
        return await self.blocking.read_by(self, number, request)

    async def run(self, command: str, *args: Any, **options: Any) -> Any:
        """Run a command that reads, or that does no harm if it runs twice."""
        return await self._twice(lambda: self._connections.run(command, *map(written, args), **options))

    async def run_all(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run several such commands, in one round trip."""
        return await self._twice(lambda: self._connections.run_all(commands))

    async def try_all(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run several such commands, each for itself: a refusal is a `LedgerUnavailable` in its place."""
        answers = await self._twice(lambda: self._connections.run_all(commands, raises=False))
        return [self.blocking.failure_of(one) if isinstance(one, redis.RedisError) else one for one in answers]

    def pubsub(self) -> redis.asyncio.client.PubSub:
        """Return a connection that listens, once it has subscribed to a channel."""
        return self._connections.client.pubsub()

    # What follows is the `Way` of the blocking ledger's steps.

    async def check_rights(self) -> None:
        """Raise `LedgerUnavailable` unless Redis' user may do what this process's role needs. The error says how."""
        try:
            missing = await self._missing_rights()
        except redis.RedisError as error:
            raise LedgerUnavailable(self.blocking.shown_url, cause_of(error)) from None
        if missing:
            raise self.blocking.without(missing)

    async def measure_clock(self) -> int:
        """Measure Redis' clock. Tasks that come while one measures share what it finds."""
        came_at, watch = boot_clock(), self.blocking.clock_watch
        async with self._measures:
            found = watch.found_since(came_at)
            return await watch.measure_now(self._run_once) if found is None else found

    async def run_script(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script with all of its arguments, and return its answer."""
        script = self.blocking.script(name)

        async def once() -> Any:
            evalsha = ("evalsha", script.sha, len(keys), *keys, *map(written, arguments))
            try:
                return await self._connections.run(*evalsha)
            except redis.exceptions.NoScriptError:
                await self._connections.run("script_load", script.script)
            return await self._connections.run(*evalsha)

        return await self._twice(once)

    async def run_confirmed(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Performed:
        """Run a script, and have replicas confirm it. Raises `ReplicasMissing`."""
        replication = self.blocking.replication
        if replication.wanted == 0:
            answer = await self.run_script(name, keys, arguments)
            now = boot_clock()
            return Performed(answer, now, now)
        return await self._twice(lambda: self._confirmed(name, keys, arguments))

    async def _confirmed(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Performed:
        ledger, is_usable = self.blocking, False
        values = [*map(written, arguments)]
        try:
            async with self._connections.line() as line:
                try:
                    performed = await ledger.replication.converse(
                        line, name, ledger.script(name), keys, values, ledger.keys.replicas
                    )
                    is_usable = not performed.missing
                except redis.ResponseError:
                    is_usable = True
                    raise
                finally:
                    if not is_usable:
                        line.end()
        finally:
            if not is_usable:
                await self._connections.leave_idle()
        return performed

    async def _run_once(self, *call: Any) -> Any:
        return (await self.blocking.perform_once_by(self, *call)).answer

    async def _twice(self, command: Callable[[], Awaitable[T]]) -> T:
        """Run a command, and once more if its connection was dead: a token makes a change count once."""
        try:
            try:
                return await command()
            except redis.ConnectionError:
                return await command()
        except redis.RedisError as error:
            unavailable = await self._unavailable(error)
        # Not from that error: crash reporters record its frames, and redis-py's hold what was to be written.
        raise unavailable

    async def _unavailable(self, error: redis.RedisError) -> LedgerUnavailable:
        if is_missing_right(error):
            with suppress(redis.RedisError):
                if missing := await self._missing_rights():
                    return self.blocking.without(missing)
        return self.blocking.failure_of(error)

    async def _missing_rights(self) -> str:
        async with self._connections.line() as line:
            line.end()  # this discards the transaction in which rights are tried
            parameters = self._connections.client.connection_pool.connection_kwargs
            return await find_missing(line, self.blocking.role, self.blocking.keys.prefix, parameters)

"""A few connections to one Redis, which all tasks of an event loop share."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import redis

from ringproof import runtime
from ringproof.clock import boot_clock
from ringproof.ledger.async_connection import connect_async
from ringproof.ledger.bare_redis import SOCKET_SECONDS
from ringproof.secret_str import SecretStr

MOST_CONNECTIONS: Final = 32
"""Commands under way at once, for each Redis. They take a millisecond, or one second while replicas do not confirm."""

LATE_SECONDS: Final = 0.5
"""A time limit of redis-py that ends so much later than it should shows that the event loop was busy, and not Redis."""


class Connections:
    """Runs commands, at most so many at once. A task beyond that waits until others have their answers.

    The errors are redis-py's. Use it in one event loop, and close it there.
    """

    def __init__(self, url: SecretStr) -> None:
        origin = runtime.current_origin()
        if origin and origin.connect_async:
            self.client = origin.connect_async(url.get_secret_value())
        else:
            self.client = connect_async(url.get_secret_value(), socket_timeout=SOCKET_SECONDS)
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._silent_at = 0.0

    async def run(self, command: str, *args: Any, **options: Any) -> Any:
        """Run one command."""
        async with self._place():
            return await getattr(self.client, command)(*args, **options)

    async def run_all(self, commands: Sequence[Sequence[Any]], *, raises: bool = True) -> list[Any]:
        """Run several commands in one round trip. Unless it `raises`, a refusal is an error among the answers."""
        if not commands:
            return []
        async with self._place(), self.client.pipeline(transaction=False) as pipeline:
            for command, *args in commands:
                getattr(pipeline, command)(*args)
            answers: list[Any] = await pipeline.execute(raise_on_error=raises)
            return answers

    @asynccontextmanager
    async def line(self) -> AsyncIterator["AsyncLine"]:
        """Lend one connection. It is closed after any error but a refusal, and where the caller calls `line.end()`."""
        pool: Any = self.client.connection_pool
        async with self._place():
            line = AsyncLine(await pool.get_connection())
            try:
                yield line
            except redis.ResponseError:  # all answers are read
                raise
            except BaseException:
                line.end()
                raise
            finally:
                if line.is_ended:
                    await line.connection.disconnect(nowait=True)
                await pool.release(line.connection)

    async def leave_idle(self) -> None:
        """Close the connections that nobody uses now: behind Sentinels another Redis may be the primary."""
        pool: Any = self.client.connection_pool
        await pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a connection. If Redis does not answer those who have one, those who wait share their error.

        Raises redis-py's ConnectionError, and not its TimeoutError, if the event loop itself was too late to hear the
        answer: other tasks had it for too long. Then the command is worth a second run.
        """
        loop = asyncio.get_running_loop()
        came_at = loop.time()
        async with self._free:
            began = loop.time()
            if self._silent_at > came_at:
                raise redis.TimeoutError("Redis did not answer those who came before")
            try:
                yield
            except redis.TimeoutError:
                if loop.time() > began + SOCKET_SECONDS + LATE_SECONDS:
                    raise redis.ConnectionError("the event loop was busy with other tasks") from None
                self._silent_at = loop.time()
                raise


class AsyncLine:
    """One connection, on which several commands go out at once: a `Line` of `ringproof.ledger.line`."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.socket = connection._writer  # noqa: SLF001  # redis-py shows its socket to nobody
        self.is_ended = False

    async def ask(self, *commands: Sequence[Any]) -> list[tuple[Any, float]]:
        """Send commands, and return their answers in order, each with its moment: a refusal as the error that it is."""
        await self.connection.send_packed_command(self.connection.pack_commands(commands))
        return [(await self._read(), boot_clock()) for _ in commands]

    def end(self) -> None:
        """Have the connection closed, and not used again."""
        self.is_ended = True

    async def _read(self) -> Any:
        try:
            return await self.connection.read_response()
        except redis.ResponseError as error:
            return error

"""How a program on asyncio connects to Redis, by any URL that the ledger takes."""

import asyncio
import time
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ringproof.ledger import sentinels
from ringproof.ledger.bare_redis import SOCKET_SECONDS
from ringproof.ledger.sentinels import MAX_CONNECTIONS, Address
from ringproof.network.redis_url import has_sentinels


def connect_async(url: str, **options: Any) -> redis.asyncio.Redis:
    """Return a client for a checked URL, which decodes answers and never repeats a command by itself.

    `options` are redis-py's of a connection. Where Sentinels name the master, connections go by what they said within
    the last second (`sentinels.py`). Use it in one event loop, and close it there.
    """
    options = {
        "decode_responses": True,
        "socket_connect_timeout": SOCKET_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": MAX_CONNECTIONS,
        **options,
    }
    if not has_sentinels(url):
        pool = redis.asyncio.ConnectionPool.from_url(url, **options)
    else:
        of_url = sentinels.connection_options(url)
        is_tls = sentinels.sentinels_of(of_url.pop("sentinel_url")).url.tls is not None
        of_url["connection_class"] = _TlsMasterConnection if is_tls else _MasterConnection
        pool = _MasterPool(**of_url | options, asking=_Asking(url))
    return redis.asyncio.Redis.from_pool(pool)


class _Asking:
    """Asks the Sentinels of a URL where the master is, in one event loop: one question at a time."""

    def __init__(self, url: str) -> None:
        self.sentinels = sentinels.sentinels_of(url)
        self._one_at_a_time = asyncio.Lock()

    async def master(self) -> Address:
        """Return the master as they name it now. Raises `NoMaster`, or `NoMasterInTime`."""
        came_at = time.monotonic()
        async with self._one_at_a_time:
            if not self.sentinels.was_asked_since(came_at):
                await self.sentinels.look(self._ask)
            return self.sentinels.found()

    async def is_elsewhere(self, address: Address) -> bool:
        """Whether they name another master now. One of them is asked, once a second at most."""
        if self.sentinels.is_look_due and not self._one_at_a_time.locked():
            async with self._one_at_a_time:
                await self.sentinels.look(self._ask, most=1)
        return self.sentinels.names_another(address)

    async def _ask(self, address: Address) -> Any:
        url = self.sentinels.url
        client = redis.asyncio.Redis(
            host=address[0], port=address[1], retry=Retry(NoBackoff(), 0), **sentinels.options_of(url)
        )
        client.response_callbacks.clear()  # the answer as the Sentinel gives it
        try:
            return await client.execute_command("SENTINEL", *self.sentinels.question)  # type: ignore[no-untyped-call]  # redis-py's
        finally:
            await client.aclose()


class _MasterConnection(redis.asyncio.Connection):
    def __init__(self, *args: Any, asking: _Asking, **options: Any) -> None:
        self._asking = asking
        super().__init__(*args, **options)

    async def _connect(self) -> None:
        """Ask where the master is, and connect. redis-py calls this whenever it connects."""
        self.host, self.port = await self._asking.master()
        await super()._connect()  # type: ignore[no-untyped-call]  # redis-py's

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer. A server that says that it is no master loses the connection, as one that is gone."""
        try:
            return await super().read_response(*args, **options)
        except redis.ResponseError as error:
            if "NOREPLICAS" in str(error):  # its replicas may follow another one by now
                self._asking.sentinels.doubt()
            if not sentinels.is_no_master(error):
                raise
            self._asking.sentinels.doubt()
        await self.disconnect(nowait=True)
        raise redis.ConnectionError(f"{self.host}:{self.port} is no master any more")

    async def is_astray(self) -> bool:
        """Whether the Sentinels name another master than the server at the other end."""
        return await self._asking.is_elsewhere((self.host, self.port))


class _TlsMasterConnection(_MasterConnection, redis.asyncio.SSLConnection):
    pass


class _MasterPool(redis.asyncio.ConnectionPool):
    async def get_connection(self, *args: Any, **options: Any) -> Any:
        """Return a connection to the master of now. Raises what redis-py raises."""
        connection = await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's
        try:
            if await connection.is_astray():
                await connection.disconnect()
                await connection.connect()
        except BaseException:
            await self.release(connection)
            raise
        return connection

"""Connections to the master that the Sentinels name, wherever it is now.

redis-py and kombu ask a Sentinel when they connect, and not again. That is not enough: Sentinel demotes an old master
only ten seconds after a planned failover, or after it came back. Until then it answers as before those who are still
connected to it, and all that they write there is lost. So a connection that is taken from a pool here goes by what the
Sentinels said within the last second.
"""

import os
import threading
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ringproof.ledger.bare_redis import NO_SENTINEL, SENTINEL_SECONDS, SOCKET_SECONDS
from ringproof.ledger.in_one_go import in_one_go
from ringproof.network.sentinel_url import SentinelUrl

Address = tuple[str, int]

LOOK_SECONDS: Final = 1.0
"""How old the Sentinels' answer is at most. While none answers, it is asked for less often."""

MAX_CONNECTIONS: Final = 100_000
"""Each thread that waits for a result uses one. redis-py's own bound of 100 would block a web app with more threads."""

BLIND_SECONDS: Final = 5.0
"""After no Sentinel has answered, the connections that there are stay as they are for so long."""

NOT_A_MASTER: Final = ("READONLY", "UNBLOCKED", "MASTERDOWN")
"""Codes by which a server says that it is no master, or not any more."""


class NoMaster(redis.ConnectionError):
    """The Sentinels name no master: none of them can be reached, or none knows the service."""


class NoMasterInTime(redis.TimeoutError):
    """The Sentinels have not answered within three seconds."""


class Sentinels:
    """The Sentinels of one URL. It remembers what they said, for all connections of this process. Thread-safe."""

    def __init__(self, url: SentinelUrl) -> None:
        self.url = url
        self._in_turn = list(url.sentinels)
        self._clients: dict[Address, redis.Redis] = {}
        self._master: Address | None = None
        self._failure: NoMaster | NoMasterInTime | None = None
        self._asked_at = 0.0
        self._look_at = 0.0
        self._lock = threading.Lock()

    def master(self) -> Address:
        """Ask where the master is. Raises `NoMaster`, or `NoMasterInTime`.

        Threads that ask at the same time get one answer, or one error: each waits three seconds for it at most.
        """
        came_at = time.monotonic()
        with self._lock:
            if not self.was_asked_since(came_at):
                in_one_go(self.look(self._ask))
            return self.found()

    def is_elsewhere(self, address: Address) -> bool:
        """Whether the Sentinels name another master now. It asks one of them, once a second at most."""
        if self.is_look_due and self._lock.acquire(blocking=False):
            try:
                in_one_go(self.look(self._ask, most=1))
            finally:
                self._lock.release()
        return self.names_another(address)

    def was_asked_since(self, moment: float) -> bool:
        """Whether somebody has asked since a moment of `time.monotonic()`."""
        return self._asked_at >= moment

    @property
    def is_look_due(self) -> bool:
        """Whether it is a second since somebody has asked, or a server has said that it is no master."""
        return time.monotonic() >= self._look_at

    def found(self) -> Address:
        """Return the master that was named last. Raises `NoMaster` or `NoMasterInTime` if the last look found none."""
        if self._failure is not None:
            raise type(self._failure)(*self._failure.args)
        assert self._master is not None  # noqa: S101  # what `look` has set
        return self._master

    def names_another(self, address: Address) -> bool:
        """Whether the master that was named last is another server."""
        return self._master is not None and self._master != address

    def doubt(self) -> None:
        """Have the next one who takes a connection ask again: a server has just said that it is no master."""
        self._look_at = 0.0

    async def look(self, ask: Callable[[Address], Awaitable[Any]], most: int | None = None) -> None:
        """Ask one Sentinel after the other for the master. The one that answers is the first one next time.

        `ask` gets a Sentinel's address, and returns the master's host and port, or None. `most` is how many are asked;
        None: all.
        """
        began, causes = time.monotonic(), []
        for _ in range(most or len(self._in_turn)):
            try:
                answer = await ask(self._in_turn[0])
            except redis.RedisError as error:
                causes.append(cause_of_sentinel(error))
            else:
                if answer:
                    self._master, self._failure = (answer[0], int(answer[1])), None
                    break
                causes.append(f"it knows no service {self.url.service}; `SENTINEL MASTERS` shows what it knows")
            self._in_turn.append(self._in_turn.pop(0))
            if time.monotonic() > began + SOCKET_SECONDS:
                self._failure = NoMasterInTime(_said(causes))
                break
        else:
            self._failure = NoMaster(_said(causes))
        self._asked_at = time.monotonic()
        self._look_at = self._asked_at + (BLIND_SECONDS if self._failure else LOOK_SECONDS)

    async def _ask(self, address: Address) -> Any:
        if address not in self._clients:
            self._clients[address] = client_of(self.url, *address)
        return ask(self._clients[address], *self.question)

    @property
    def question(self) -> tuple[str, str]:
        """What a Sentinel is asked: `SENTINEL GET-MASTER-ADDR-BY-NAME SERVICE`."""
        return "GET-MASTER-ADDR-BY-NAME", self.url.service


def cause_of_sentinel(error: redis.RedisError) -> str:
    """Return why a Sentinel cannot be asked."""
    if isinstance(error, redis.ResponseError) and "unknown command" in str(error).lower():
        return NO_SENTINEL
    return f"{type(error).__name__}: {error}"


def _said(causes: list[str]) -> str:
    return f"no Sentinel names a master: {'; '.join(dict.fromkeys(causes))}"


def client_of(url: SentinelUrl, host: str, port: int) -> redis.Redis:
    """Return a client of one Sentinel, which waits a second for its answer."""
    client = redis.Redis(host, port, **options_of(url), retry=Retry(NoBackoff(), 0))
    client.response_callbacks.clear()  # the answers of a Sentinel as it gives them
    return client


def options_of(url: SentinelUrl) -> dict[str, Any]:
    """Return redis-py's options of a connection to a Sentinel, which waits a second for its answer."""
    return {
        "username": url.sentinel_username or None,
        "password": url.sentinel_password or None,
        "decode_responses": True,
        "protocol": 2,  # a user of a Sentinel may have no right to HELLO
        "socket_timeout": SENTINEL_SECONDS,
        "socket_connect_timeout": SENTINEL_SECONDS,
        **({} if url.tls is None else {"ssl": True, **url.tls}),
    }


def ask(sentinel: redis.Redis, *command: str) -> Any:
    """Return what a Sentinel answers to `SENTINEL COMMAND`, as it gives it. Raises redis-py's errors."""
    return sentinel.execute_command("SENTINEL", *command)  # type: ignore[no-untyped-call]  # redis-py's


@lru_cache(maxsize=1024)
def _sentinels_of(_pid: int, url: str) -> Sentinels:
    return Sentinels(SentinelUrl.parse(url))


def sentinels_of(url: str) -> Sentinels:
    """Return this process's Sentinels of a checked URL. A child process has its own."""
    return _sentinels_of(os.getpid(), url)


def is_no_master(error: redis.ResponseError) -> bool:
    """Whether a server says that it is no master, or not any more."""
    return isinstance(error, redis.ReadOnlyError) or any(code in str(error) for code in NOT_A_MASTER)


class MasterConnection(redis.Connection):
    """A connection to the master."""

    def __init__(self, *args: Any, sentinel_url: str, **options: Any) -> None:
        self._sentinel_url = sentinel_url
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's

    def _connect(self) -> Any:
        """Ask where the master is, and return a socket to it. redis-py calls this whenever it connects."""
        self.host, self.port = sentinels_of(self._sentinel_url).master()
        return super()._connect()  # type: ignore[no-untyped-call]  # redis-py's

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer. A server that says that it is no master loses the connection, as one that is gone."""
        try:
            return super().read_response(*args, **options)
        except redis.ResponseError as error:
            if "NOREPLICAS" in str(error):  # its replicas may follow another one by now
                sentinels_of(self._sentinel_url).doubt()
            if is_no_master(error):
                sentinels_of(self._sentinel_url).doubt()
                self.disconnect()  # type: ignore[no-untyped-call]  # redis-py's
                raise redis.ConnectionError(f"{self.host}:{self.port} is no master any more") from None
            raise

    @property
    def is_astray(self) -> bool:
        """Whether the Sentinels name another master than the server at the other end."""
        return sentinels_of(self._sentinel_url).is_elsewhere((self.host, self.port))


class TlsMasterConnection(MasterConnection, redis.SSLConnection):
    """A connection to the master, with TLS."""


class MasterPool(redis.ConnectionPool):
    """A pool of connections to the master."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """Return a connection to the master of now. Raises what redis-py raises."""
        connection = super().get_connection(*args, **options)
        try:
            if connection.is_astray:  # type: ignore[attr-defined]  # the pool's own class
                connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py's
                connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
        except BaseException:
            self.release(connection)
            raise
        return connection


class BlockingMasterPool(MasterPool, redis.BlockingConnectionPool):
    """A pool of connections to the master, where a thread waits until one is free."""


def master_pool(url: str, *, is_shared: bool = False, **options: Any) -> MasterPool:
    """Return a pool for a checked URL, with redis-py's options; in a shared one a thread waits until one is free."""
    kind = BlockingMasterPool if is_shared else MasterPool
    return kind(**connection_options(url) | {"max_connections": MAX_CONNECTIONS} | options)


def connection_options(url: str) -> dict[str, Any]:
    """Return how connections are made for a checked URL, as redis-py's options of a pool."""
    given = sentinels_of(url).url
    return {
        "connection_class": MasterConnection if given.tls is None else TlsMasterConnection,
        "sentinel_url": url,
        "username": given.username or None,
        "password": given.password or None,
        "db": given.database,
        **(given.tls or {}),
    }

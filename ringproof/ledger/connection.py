"""How the ledger connects to Redis: with short time limits, and without repeating a command by itself."""

import re
from queue import Empty, LifoQueue
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ringproof.ledger.bare_redis import SOCKET_SECONDS
from ringproof.ledger.sentinels import MAX_CONNECTIONS, master_pool
from ringproof.network.redis_url import has_sentinels
from ringproof.phone.masking import redact

WAIT_SECONDS: Final = 0.02
"""So long a thread waits for a connection of others. Calls to a Redis that is near take a millisecond."""

MOST_SHARED: Final = 64
"""Connections that threads share at most: as many calls are under way at Plivo's pace, if each takes half a second."""


def connect(url: str, *, few: int | None = None) -> redis.Redis:
    """Return a client that never repeats a command by itself: redis-py would, up to ten times.

    Without `few` each thread that waits has a connection. With it threads share so many, and more where Redis is far.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    if few is not None:
        options |= {"max_connections": few, "timeout": SOCKET_SECONDS, "queue_class": SharedConnections}
    if has_sentinels(url):
        return redis.Redis.from_pool(master_pool(url, is_shared=few is not None, **options))
    if few is None:
        return redis.Redis.from_url(url, max_connections=MAX_CONNECTIONS, **options)
    return redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(url, **options))


class SharedConnections(LifoQueue[Any]):
    """The places of a pool's connections, as redis-py keeps them: None where none is open yet.

    A thread that has waited WAIT_SECONDS for another's connection gets a place of its own. So a process has a few near
    Redis, and as many as its calls need where each is under way for long.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return a connection, or None for a new one. Raises `queue.Empty` if there is none in time."""
        try:
            return super().get(block, WAIT_SECONDS)
        except Empty:
            if self._has_grown():
                return None
        return super().get(block, timeout)

    def _has_grown(self) -> bool:
        with self.mutex:
            has_room = self.maxsize < MOST_SHARED
            self.maxsize += has_room
        return has_room


_CODES: Final = {
    redis.OutOfMemoryError: "OOM",
    redis.ReadOnlyError: "READONLY",
    redis.exceptions.NoPermissionError: "NOPERM",
}
"""The codes that redis-py cuts off, because it has a class for each."""

_REFUSAL = re.compile(r"(?:^|[ :]-)(?P<text>[A-Z]{3,} .*?)(?: script: [0-9a-f]+, on @user_script:\d+\.)?$", re.DOTALL)


_OF_PIPELINE = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
"""What redis-py puts in front of a refusal: the command with all its arguments, a number's key among them."""


DAMAGE_SIGNS: Final = (
    *("WRONGTYPE", "value is not ", "arguments must be strings"),
    *("attempt to ", "bad argument", "table index is nil"),  # Lua's own errors
)
"""What is in Redis' error if a key holds something else than a command or a script expects of it."""


def is_damage(error: redis.RedisError) -> bool:
    """Whether an error is about what a key holds, and not about Redis itself."""
    return isinstance(error, redis.ResponseError) and any(sign in str(error) for sign in DAMAGE_SIGNS)


def cause_of(error: redis.RedisError) -> str:
    """Return why Redis did not do it, in the same words for every version of Redis.

    A refusal begins with Redis' code for it. Redis 6.2 wraps a script's refusal in "Error running script", Redis 7
    appends the script's name, and redis-py cuts off some codes.

    >>> cause_of(redis.ResponseError("Error running script (call to f_0a): @user_script: 9: -OOM command not allowed"))
    'OOM command not allowed'
    >>> cause_of(redis.OutOfMemoryError("command not allowed script: 0a, on @user_script:9."))
    'OOM command not allowed'
    >>> cause_of(redis.TimeoutError("Timeout reading from socket"))
    'TimeoutError: Timeout reading from socket'
    >>> cause_of(redis.ResponseError("Command # 1 (GET number:+1) of pipeline caused error: WRONGTYPE no"))
    'WRONGTYPE no'
    """
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "")
    said = _OF_PIPELINE.sub("", str(error))
    refusal = _REFUSAL.search(f"{code} {said}".strip())
    if refusal:
        return redact(refusal["text"])
    return redact(f"{type(error).__name__}: {said}") if said else "no answer"

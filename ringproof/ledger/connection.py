"""How the ledger connects to Redis: with short time limits, and without repeating a command by itself."""

from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_SECONDS: Final = 3.0
"""How long Redis may take for one command: far beyond any script's time, and two of them are still bearable."""


MAX_CONNECTIONS: Final = 100_000
"""A thread that waits for a result holds one. redis-py's own bound of 100 would starve a web app of many threads."""


def connect(url: str) -> redis.Redis:
    """Return a client that never repeats a command by itself: redis-py would, up to ten times."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=MAX_CONNECTIONS,
    )

"""Redis in the memory of this process. It runs the ledger's own scripts, and nothing of it leaves the process.

fakeredis has the commands, and lupa the Lua 5.1 of Redis' scripts.
"""

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import fakeredis
from redis.commands.core import Script

from ringproof.network.redis_url import has_sentinels

if TYPE_CHECKING:
    import redis
    import redis.asyncio

VERSION: Final = (7, 2)
"""The version of Redis whose answers it gives: the ledger needs 6.2."""

PREPARE: Final = """
-- Gives the scripts what Redis has and fakeredis lacks: SHA-1, and `bit`. A second call changes nothing.
if redis.sha1hex then return end
local sha1 = python.eval('lambda text: __import__("hashlib").sha1(text).hexdigest().encode()')
local bxor = python.eval('lambda one, other: int(one) ^ int(other)')
redis.sha1hex = function(text) return sha1(text) end
redis.programs = {}
setmetatable(_G, {__index = {bit = {bxor = function(one, other) return bxor(one, other) end}}})
"""


PROGRAM: Final = """
redis.programs['{sha}'] = function()
{text}
end
"""
"""Keeps a script as a function. fakeredis compiles its text at each call, which takes longer than all the rest."""


class MemoryClient(fakeredis.FakeRedis):
    """A client of one server in memory. Its answers are texts."""

    def register_script(self, script: Any) -> Script:
        """Return a script that can be called. It is compiled once."""
        sha = hashlib.sha1(script.encode()).hexdigest()  # noqa: S324  # Redis' own
        self.eval(PROGRAM.format(sha=sha, text=script), 0)
        return super().register_script(f"return redis.programs['{sha}']()")


class MemoryRedis:
    """The Redis servers of one world: one for each host and port that a URL names. Thread-safe.

    client = MemoryRedis().connect("redis://127.0.0.1:6379/0")
    """

    def __init__(self) -> None:
        self._servers: dict[str, fakeredis.FakeServer] = {}
        self._lock = threading.Lock()

    def connect(self, url: str) -> "redis.Redis":
        """Return a client of the server that a URL names. Its answers are texts."""
        server, database = self._server(url)
        return MemoryClient(server=server, db=database, decode_responses=True)

    def connect_async(self, url: str) -> "redis.asyncio.Redis":
        """Return a client for asyncio, of the same server."""
        server, database = self._server(url)
        return fakeredis.FakeAsyncRedis(server=server, db=database, decode_responses=True)

    def _server(self, url: str) -> tuple[fakeredis.FakeServer, int]:
        parts = urlsplit(url)
        host = url if has_sentinels(url) else parts.netloc.rpartition("@")[2]
        name = parts.path.removeprefix("/")
        with self._lock:
            if host not in self._servers:
                self._servers[host] = server = fakeredis.FakeServer(version=VERSION)
                fakeredis.FakeRedis(server=server).eval(PREPARE, 0)
        return self._servers[host], int(name) if name.isdecimal() else 0

"""Who else may get at the data in Redis: an open door, a wire without TLS, known holes. A worker names them."""

from collections.abc import Mapping
from typing import Any, Final

import redis

from ringproof.network.sentinel_url import SentinelUrl
from ringproof.network.this_machine import is_this_machine

MENDED_REDIS: Final = {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}
MENDED_VALKEY: Final = {(7, 2): 11, (8, 0): 6, (8, 1): 4}
"""The first patch of each branch without CVE-2025-49844, by which a script takes over Redis' machine, and its kin
(CVE-2025-46817, -46818, -46819). Older branches are not mended any more, and newer ones began without these holes.
"""


def exposures(info: Mapping[str, Any], parameters: Mapping[str, Any], *, is_encrypted: bool) -> list[str]:
    """Return what exposes a Redis, each with the way out. `parameters` are those of its connections.

    >>> exposures({"redis_version": "8.2.2"}, {"host": "redis.example"}, is_encrypted=True)
    ['Redis at redis.example asks for no password, and numbers are in it; set requirepass, or give users an ACL']
    """
    found = []
    where, scheme = _away(parameters)
    if where:
        if not parameters.get("password"):
            found.append(
                f"Redis {where} asks for no password, and numbers are in it; set requirepass, or give users an ACL"
            )
        if not is_encrypted:
            found.append(
                f"Redis {where} is asked without TLS, so its network reads numbers and the password; write {scheme} "
                "in RINGPROOF_REDIS_URL, unless the network is the machine's own, as that of compose is"
            )
    if hole := hole_of(info):
        found.append(hole)
    return found


def _away(parameters: Mapping[str, Any]) -> tuple[str, str]:
    """Return where Redis is, and the scheme of its URL with TLS; "" if it is on this machine, as its Sentinels are."""
    if url := parameters.get("sentinel_url"):
        hosts = [host for host, _ in SentinelUrl.parse(url).sentinels if not is_this_machine(host)]
        return f"behind the Sentinel {hosts[0]}" if hosts else "", "sentinels://"
    host = parameters.get("host")  # a socket has none
    return f"at {host}" if host and not is_this_machine(host) else "", "rediss://"


def is_encrypted(client: redis.Redis) -> bool:
    """Whether a client speaks TLS with Redis."""
    return issubclass(client.connection_pool.connection_class, redis.SSLConnection)


def hole_of(info: Mapping[str, Any]) -> str:
    """Return which known hole a version has, and the way out; "" if it has none, or has no ordinary number."""
    name, mended = ("Valkey", MENDED_VALKEY) if "valkey_version" in info else ("Redis", MENDED_REDIS)
    version = str(info.get(f"{name.lower()}_version", ""))
    numbers = [int(part) for part in version.split(".") if part.isdigit()]
    if len(numbers) < 3:  # a provider's own
        return ""
    branch, patch = (numbers[0], numbers[1]), numbers[2]
    if patch >= mended[branch] if branch in mended else branch > max(mended):
        return ""
    versions = ", ".join(f"{major}.{minor}.{least}" for (major, minor), least in mended.items())
    return (
        f"{name} {version} has known holes in its Lua, unless its distributor has mended them: a user who runs a script"
        f" may take over its machine; update it to {versions} or later (see docs/operating/redis.md#what-it-must-be)"
    )

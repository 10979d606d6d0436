"""What is wrong with a Redis, said before something is lost in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis

from ringproof.ledger.ledger import Ledger

OLDEST: Final = (6, 2)
"""COPY, GETDEL and ZADD LT are of 6.2, and it is the oldest that Ringproof is tested with."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What can be lost, and the way out; `fatal`: a worker does not start with it."""

    text: str
    fatal: bool = False


def examine(ledger: Ledger) -> list[Complaint]:
    """Look at the ledger's Redis. Raises `LedgerUnavailable` if it does not answer.

    Where a provider forbids INFO nothing can be seen, and that is the complaint.
    """
    ledger.ping()
    try:
        info: dict[str, Any] = ledger.client.info("all")
    except redis.RedisError:
        return [Complaint("Redis does not let itself be looked at (INFO): whether it keeps what it is told is unknown")]
    return complaints(info)


def complaints(info: Mapping[str, Any]) -> list[Complaint]:
    """Return what is wrong, from what Redis' INFO tells."""
    found = []
    version = str(info.get("redis_version", ""))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        found.append(Complaint(f"Redis {version} is too old; take {oldest} or later, or Valkey", fatal=True))
    if info.get("cluster_enabled"):
        text = "this is Redis Cluster, in which no script can see all of a number's keys; take a single Redis"
        found.append(Complaint(text, fatal=True))
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(Complaint(f"Redis evicts keys when it is full ({policy}), and numbers with them; set noeviction"))
    if not info.get("aof_enabled"):
        found.append(
            Complaint(
                "Redis keeps no append-only file: a restart forgets numbers, and codes that live; set appendonly yes"
            )
        )
    return found

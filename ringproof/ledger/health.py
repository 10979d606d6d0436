"""The check of Redis: its faults, reported before anything is lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import redis

from ringproof.clock import moment
from ringproof.ledger.exposure import exposures, is_encrypted
from ringproof.ledger.gaps import OVERDUE
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import SWEEP_TICK

OLDEST: Final = (6, 2)
"""COPY, GETDEL and ZADD LT came with 6.2, which is also the oldest that Ringproof is tested with."""


NOSUB: Final = frozenset({"8.0.0", "8.0.1"})
"""The versions of Valkey that answer an `UNSUBSCRIBE` without a subscription by an error. 8.0.2 took that back.

Ringproof's own waits send none. The result backend of a Celery application that shares this Redis does, and the second
result that it waits for fails.
"""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One fault: what can be lost, and what to do. A worker does not start with a `fatal` one."""

    text: str
    fatal: bool = False


def examine(ledger: Ledger) -> list[Complaint]:
    """Check the ledger's Redis. Raises `LedgerUnavailable` if it does not answer.

    If the provider forbids INFO, Ringproof cannot check anything, and the only complaint says so.
    """
    ledger.ping()
    try:
        info: dict[str, Any] = ledger.client.info("all")
    except redis.RedisError:
        return [
            Complaint("Redis forbids INFO, so Ringproof cannot check whether it loses data; allow INFO for this user")
        ]
    found = exposures(info, ledger.client.connection_pool.connection_kwargs, is_encrypted=is_encrypted(ledger.client))
    return [*complaints(info), *missing_time(ledger), *map(Complaint, found)]


def missing_time(ledger: Ledger) -> list[Complaint]:
    """Return a complaint if Redis remembers no tick of the last minute, or if work has been due for longer.

    Either no worker has run since then, or Redis was restored from a backup and does not know what was done since.
    """
    last_tick, first = ledger.run_all(
        ("get", ledger.keys.tick(SWEEP_TICK)), ("zrange", ledger.keys.agenda, 0, 0, False, True)
    )
    now = ledger.now()
    silent = now - moment(int(last_tick)) if last_tick else timedelta()
    overdue = now - moment(int(first[0][1])) if first else timedelta()
    if max(silent, overdue) < OVERDUE:
        return []
    what = "Redis remembers nothing of the last" if silent >= OVERDUE else "work in Redis is overdue by"
    lasts = timedelta(seconds=(silent if silent >= OVERDUE else overdue).total_seconds() // 1)
    return [
        Complaint(
            f"{what} {lasts}: no worker with a beat has run since then, or Redis was restored from a backup; "
            "in that case run `ringproof pause` now (see docs/operating/redis.md#after-a-restored-backup)"
        )
    ]


def complaints(info: Mapping[str, Any]) -> list[Complaint]:
    """Return the faults that the fields of Redis' INFO show.

    >>> [complaint.text for complaint in complaints({"redis_version": "6.0.16", "aof_enabled": 1})]
    ['Redis 6.0.16 is too old; use 6.2 or later, or Valkey']
    """
    return [*of_server(info), *of_memory(info), *of_disk(info)]


def of_server(info: Mapping[str, Any]) -> list[Complaint]:
    """Return the faults of the kind and version of a server: a worker does not start with one."""
    faults = []
    version = str(info.get("redis_version", ""))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        faults.append(Complaint(f"Redis {version} is too old; use {oldest} or later, or Valkey", fatal=True))
    if (valkey := info.get("valkey_version")) in NOSUB:
        text = (
            f"Valkey {valkey} refuses an UNSUBSCRIBE without a subscription (NOSUB), so that results of Celery may fail"
        )
        faults.append(Complaint(f"{text}; use 8.0.2 or later"))
    if info.get("cluster_enabled"):
        text = "this is Redis Cluster, where a script cannot use all keys of a number; use a single Redis"
        faults.append(Complaint(text, fatal=True))
    return faults


def of_memory(info: Mapping[str, Any]) -> list[Complaint]:
    """Return the fault of a server that deletes what it should keep."""
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return []
    return [Complaint(f"Redis evicts keys when it is full ({policy}), and numbers with them; set noeviction")]


def of_disk(info: Mapping[str, Any]) -> list[Complaint]:
    """Return the fault of a server that forgets at a restart."""
    if info.get("aof_enabled"):
        return []
    text = "Redis keeps no append-only file: a restart loses numbers and live codes; set appendonly yes"
    return [Complaint(text)]

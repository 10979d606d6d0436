"""The workers' heartbeats in Redis: who takes messages, and when each worker last said so."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ringproof.errors import LedgerUnavailable
from ringproof.ledger import bare_redis
from ringproof.ledger.durations import ms
from ringproof.ledger.keys import Keys
from ringproof.network import redis_url

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

BEAT_SECONDS: Final = 5.0
"""How often a worker says that it takes messages. That is one short script of Redis."""

ALIVE: Final = timedelta(seconds=20)
"""How old a worker's last heartbeat may be: a busy worker may miss three."""

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""How long a worker that was killed is remembered: an operator may look for it."""


def beat(ledger: "Ledger", worker: str, facts: Mapping[str, Any]) -> None:
    """Note that a worker takes messages, with what it says of itself. Raises `LedgerUnavailable`.

    beat(ledger, "bulk@vm", {"host": "vm", "pid": 12, "version": "0.1.0", "queues": ["ringproof.bulk"]})
    """
    ledger.run_script("beat", [ledger.keys.heartbeats], [worker, json.dumps(facts), ms(FORGOTTEN_AFTER)])


def end_beats(ledger: "Ledger", worker: str) -> None:
    """Forget a worker that takes no more messages. Raises `LedgerUnavailable`."""
    ledger.run("hdel", ledger.keys.heartbeats, worker)


def workers_alive(ledger: "Ledger") -> list[str]:
    """Return the names of the workers that take messages, sorted. Raises `LedgerUnavailable`."""
    now, beats = ledger.run_all(("time",), ("hgetall", ledger.keys.heartbeats))
    return _alive(int(now[0]) * 1000, beats)


def workers_alive_at(url: str, prefix: str) -> list[str]:
    """Return the same without redis-py, whose import takes longer than all the rest of a healthcheck.

    Raises `LedgerUnavailable`.
    """
    if url.startswith("rediss:"):  # redis-py knows the options of TLS
        from ringproof.ledger.connection import connect  # noqa: PLC0415
        from ringproof.ledger.ledger import Ledger  # noqa: PLC0415

        return workers_alive(Ledger(connect(url), prefix=prefix, shown_url=redis_url.shown(url)))
    try:
        now, beats = bare_redis.ask(url, ("TIME",), ("HGETALL", Keys(prefix).heartbeats))
    except bare_redis.BareRedisError as error:
        raise LedgerUnavailable(redis_url.shown(url), str(error)) from None
    return _alive(int(now[0]) * 1000, dict(zip(beats[::2], beats[1::2], strict=True)))


def _alive(now_ms: int, beats: Mapping[str, str]) -> list[str]:
    """Return who has beaten lately. A heartbeat ahead of Redis' clock is as old: the clock was set back since."""
    moments = {worker: json.loads(facts)["at"] for worker, facts in beats.items()}
    return sorted(worker for worker, at in moments.items() if abs(now_ms - at) <= ms(ALIVE))

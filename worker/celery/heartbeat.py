"""The heartbeat of a worker: it says in Redis that it takes messages, and what it is; and it wants its events."""

import os
import socket
import time
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.consumer import STOP_CONDITIONS

from ringproof import runtime
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.heartbeats import (
    BEAT_SECONDS,
    WORKER,
    account_digest,
    beat,
    credentials_digest,
    end_beats,
    policy_digest,
)
from ringproof.ledger.keys import FOLLOWED
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.replication import LOST_SECONDS
from ringproof.settings import Settings
from worker.celery.consumers import want_events

ROUND_TRIPS: Final = 3
"""The shortest of the last three round trips counts: a slow moment of Redis makes no Redis that is far away."""


class Heartbeat(bootsteps.StartStopStep):
    """Beats in the main process from when it takes messages. While it has lost Redis, or is stuck, it does not beat."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self._timer: Any = None
        self._started_at = boot_clock()
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._tasks = Tasks()

    def start(self, c: Any) -> None:
        """Beat now, and every `BEAT_SECONDS`."""
        current = runtime.settings(worker=True)
        about = about_worker(c, current)

        def beat_once() -> None:
            with suppress(LedgerUnavailable):  # the consumer says that Redis is away, and connects again
                if not self._round_trips:
                    runtime.ledger().ping()  # it connects
                    self._measure(runtime.ledger().ping)
                away = {"away_ms": round(1000 * min(self._round_trips), 1)}
                children = {"children": c.pool.info.get("processes", [])}
                facts = about | children | self._tasks.facts() | away | _replicas(runtime.ledger())
                self._measure(lambda: beat(runtime.ledger(), c.hostname, facts, self._moments(c)))
                want_events(current)

        beat_once()
        self._timer = c.timer.call_repeatedly(BEAT_SECONDS, beat_once)

    def stop(self, c: Any) -> None:
        """End the beats: before Celery connects again, or for good, and then the worker is forgotten at once."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if c.blueprint.state in STOP_CONDITIONS:
            with suppress(LedgerUnavailable):
                end_beats(runtime.ledger(), c.hostname)

    def _measure(self, call: Any) -> None:
        began = time.perf_counter()
        call()
        self._round_trips.append(time.perf_counter() - began)

    def _moments(self, c: Any) -> dict[str, timedelta]:
        """Return how long ago this worker started, and last took a message."""
        moments = {"started": self._started_at, "taken": c.taken_at}
        return {name: timedelta(seconds=boot_clock() - at) for name, at in moments.items() if at is not None}


def _replicas(ledger: Ledger) -> dict[str, int]:
    """Return how many replicas of Redis have to confirm what is written, and how many can. Note that some follow."""
    if ledger.replication.wanted == 0:
        return {}
    seen = ledger.look_at_replicas()
    if seen is None:
        return {"replicas_needed": ledger.replication.needed(None)}
    if seen.following:
        ledger.run("set", FOLLOWED, seen.history, px=round(LOST_SECONDS * 1000))
    return {"replicas_needed": ledger.replication.needed(seen), "replicas_answering": seen.answering}


def about_worker(c: Any, current: Settings) -> dict[str, Any]:
    """Return what does not change while a worker runs."""
    auth_id, auth_token = current.plivo_auth_id, current.plivo_auth_token
    assert auth_id is not None  # noqa: S101  # a worker does not start without its credentials
    assert auth_token is not None  # noqa: S101
    return {
        "kind": WORKER,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "version": version("ringproof"),
        "queues": sorted(c.app.amqp.queues.consume_from),
        "account": account_digest(auth_id),
        "credentials": credentials_digest(auth_id, auth_token),
        "policy": policy_digest(current.policy),
        "pool": f"{type(c.pool).__module__.rpartition('.')[2].replace('thread', 'threads')} {c.pool.limit}",
    }


class Tasks:
    """The tasks of a worker that its children or threads work on, and those that none of them has begun."""

    def __init__(self) -> None:
        self._waiting: dict[str, float] = {}  # by the id of the message, when it was first seen to wait

    def facts(self) -> dict[str, Any]:
        """Return how many there are, and for how many seconds the oldest one of each has been one."""
        now = boot_clock()
        begun = [time.time() - begun_at for one in _copy(state.active_requests) if (begun_at := one.time_start)]
        waiting = [one.id for one in _copy(state.reserved_requests) if not one.time_start]
        self._waiting = {one: self._waiting.get(one, now) for one in waiting}
        return {
            "active": len(begun),
            "oldest_active_s": max(0.0, round(max(begun), 1)) if begun else None,
            "waiting": len(waiting),
            "oldest_waiting_s": round(now - min(self._waiting.values()), 1) if waiting else None,
        }


def _copy(requests: Collection[Any]) -> list[Any]:
    """Copy one of Celery's sets. Its threads may change it meanwhile; then the next beat says more."""
    try:
        return list(requests)
    except RuntimeError:
        return []

"""The workers' heartbeats in Redis: who takes messages, what each worker is, and when it last said so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ringproof.clock import moment
from ringproof.ledger.keys import PREFIXES
from ringproof.ledger.reports import read_reports, write_report

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger
    from ringproof.policy import Policy
    from ringproof.secret_str import SecretStr

BEAT_SECONDS: Final = 5.0
"""How often a worker says that it takes messages. That is one short script of Redis."""

ALIVE: Final = timedelta(seconds=20)
"""How old a worker's last heartbeat may be: a busy worker may miss three."""

DIGEST_LENGTH: Final = 12
"""Hex digits of a digest: enough to tell two settings apart, and nothing can be read back from them."""

WORKER: Final = "worker"
BEAT: Final = "beat"
"""The kinds of processes that have a heartbeat: those that take messages, and Celery's clock process."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker, or a beat, has last said of itself. A field that its version does not write is None or empty.

    Moments are of Redis' clock. `account`, `credentials` and `policy` are digests: two that differ mean two settings.
    `active` tasks run now; `waiting` ones were taken off a queue, and no child or thread has begun them yet.
    """

    worker: str
    at: datetime
    kind: str = WORKER
    host: str | None = None
    pid: int | None = None  # of the main process
    children: tuple[int, ...] = ()  # the processes of a prefork pool; with threads, the main process sends
    version: str | None = None
    queues: tuple[str, ...] = ()
    account: str | None = None
    credentials: str | None = None
    policy: str | None = None
    started: datetime | None = None
    taken: datetime | None = None  # when it last took a message off a queue
    active: int | None = None
    oldest_active_s: float | None = None
    waiting: int | None = None
    oldest_waiting_s: float | None = None
    pool: str | None = None  # `prefork 2`, `threads 32`
    away_ms: float | None = None  # how long Redis takes to answer it
    replicas_needed: int | None = None  # how many replicas of Redis have to confirm what it writes
    replicas_answering: int | None = None  # how many of them have answered Redis lately; None: it cannot know

    def is_alive(self, now: datetime) -> bool:
        """Whether it has beaten lately. A heartbeat ahead of Redis' clock is as old: the clock was set back since."""
        return abs(now - self.at) <= ALIVE


def read_heartbeats(written: Mapping[str, str]) -> list[Heartbeat]:
    """Read the hash of the heartbeats, by name. What is none is left out, and nothing is raised."""
    return [
        Heartbeat(
            worker=name,
            at=at,
            kind=report.text("kind") or WORKER,
            host=report.text("host"),
            pid=report.count("pid"),
            children=report.counts("children"),
            version=report.text("version"),
            queues=report.texts("queues"),
            account=report.text("account"),
            credentials=report.text("credentials"),
            policy=report.text("policy"),
            started=report.moment("started"),
            taken=report.moment("taken"),
            active=report.count("active"),
            oldest_active_s=report.number("oldest_active_s"),
            waiting=report.count("waiting"),
            oldest_waiting_s=report.number("oldest_waiting_s"),
            pool=report.text("pool"),
            away_ms=report.number("away_ms"),
            replicas_needed=report.count("replicas_needed"),
            replicas_answering=report.count("replicas_answering"),
        )
        for name, at, report in read_reports(written)
    ]


def beat(ledger: "Ledger", worker: str, facts: Mapping[str, Any], ago: Mapping[str, timedelta] | None = None) -> None:
    """Note that a worker takes messages, with what it says of itself. Raises `LedgerUnavailable`.

    `ago` has how long ago its moments were: `started`, `taken`. The prefix is noted beside the queues' names as well:
    a command with another prefix finds it there.

        beat(ledger, "bulk@vm", {"kind": "worker", "host": "vm", "pid": 12, "queues": ["ringproof.bulk"]})
    """
    write_report(ledger, [ledger.keys.heartbeats, PREFIXES], worker, facts, ago)


def beat_of_account(ledger: "Ledger", worker: str, queues: Sequence[str]) -> None:
    """Note in the ledger of an account that a worker takes messages, and by which credentials it asks Plivo for it.

    Only an account whose credentials are refused has such heartbeats. Raises `LedgerUnavailable`.
    """
    facts = {"kind": WORKER, "queues": list(queues), "credentials": ledger.credentials}
    write_report(ledger, [ledger.keys.heartbeats], worker, facts)


def end_beats(ledger: "Ledger", worker: str) -> None:
    """Forget a worker that takes no more messages. Raises `LedgerUnavailable`."""
    ledger.run("hdel", ledger.keys.heartbeats, worker)


def beat_name(host: str) -> str:
    """Return the name under which the beat of a host has its heartbeat.

    >>> beat_name("vm")
    'beat@vm'
    """
    return f"{BEAT}@{host}"


def credentials_digest(auth_id: str, auth_token: "SecretStr") -> str:
    """Return by what the credentials of two workers are compared."""
    return _digest(f"{auth_id}:{auth_token.get_secret_value()}")


def account_digest(auth_id: str) -> str:
    """Return by what the accounts of two workers are compared."""
    return _digest(auth_id)


def policy_digest(policy: "Policy") -> str:
    """Return by what the policies of two workers are compared: what each would publish, and not what Redis has."""
    return _digest(json.dumps(policy.mapping(), sort_keys=True))


def workers_alive(ledger: "Ledger") -> list[str]:
    """Return the names of the workers that take messages, sorted. Raises `LedgerUnavailable`."""
    now, beats = ledger.run_all(("time",), ("hgetall", ledger.keys.heartbeats))
    at = moment(int(now[0]) * 1000)
    return [one.worker for one in read_heartbeats(beats) if one.kind == WORKER and one.is_alive(at)]


def _digest(text: str) -> str:
    import hashlib  # noqa: PLC0415  # it loads OpenSSL, and a healthcheck has no time for it

    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]

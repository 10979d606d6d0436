"""The short form of what is wrong, for a healthcheck: whether Redis takes writes, and whether work is taken.

It does without redis-py, whose import takes longer than all of this.
"""

import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from ringproof import runtime
from ringproof.clock import moment
from ringproof.errors import LedgerUnavailable, Misconfigured
from ringproof.ledger import bare_redis
from ringproof.ledger.activity import read_activities, read_ticks
from ringproof.ledger.control import SendingStatus, closed_until, pauses_of
from ringproof.ledger.gate import read_gate
from ringproof.ledger.heartbeats import BEAT, WORKER, Heartbeat, read_heartbeats
from ringproof.ledger.keys import PREFIXES, Keys
from ringproof.ledger.plivo_credentials import unknown_credentials
from ringproof.ledger.queues import QUEUES, SWEEP_TICK, TICKS
from ringproof.network import redis_url
from worker.observe.at_once import at_once
from worker.observe.facts import (
    Facts,
    Queue,
    accepted_at,
    batches_with_rows_left,
    moment_of,
    prefixes_of,
    rows_left_commands,
)
from worker.observe.finding import Code, Finding, Severity
from worker.observe.redis_findings import REFUSALS, account_away, accounts_wrong, refuses, replicas_missing
from worker.observe.worker_findings import (
    NO_SWEEP,
    children_stopped,
    lanes_without_worker,
    no_beat,
    nobody,
    not_consumed,
)


def read_health(url: str, prefix: str) -> Facts:
    """Read the facts that a healthcheck judges, in one round trip, or two while batches are fed.

    Raises `LedgerUnavailable`.
    """
    keys = Keys(prefix)
    commands = [
        ["SETRANGE", keys.trial, "0", ""],  # Redis refuses it if it refuses to write; otherwise it writes nothing
        ["TIME"],
        ["ZRANGE", keys.feeding, "0", "-1"],
        *(
            ["HGETALL", key]
            for key in (keys.heartbeats, keys.activity, keys.ticks, PREFIXES, keys.pauses, keys.generation)
        ),
        ["HGET", keys.pace, "closed"],
        ["GET", keys.tick(SWEEP_TICK)],
        *(["LLEN", name] for name in QUEUES),
        *(["LINDEX", name, "-1"] for name in QUEUES),
    ]
    try:
        _, (seconds, _), feeding, *answers = _ask(url, commands)
        rows_left = _ask(url, rows_left_commands(keys, feeding)) if feeding else []
    except bare_redis.BareRedisError as error:
        if str(error).startswith(REFUSALS):
            return Facts(SendingStatus(moment(0)), prefix=prefix, redis=redis_url.shown(url), refusal=str(error))
        raise LedgerUnavailable(redis_url.shown(url), str(error)) from None
    heartbeats, activities, ticks, prefixes, pauses, generation, closed, swept, *of_queues = answers
    now = moment(int(seconds) * 1000)
    lengths, oldest = of_queues[: len(QUEUES)], of_queues[len(QUEUES) :]
    return Facts(
        SendingStatus(
            now,
            pauses=tuple(pauses_of(_pairs(pauses))),
            closed_until=closed_until(closed, now),
            unknown_credentials=unknown_credentials(_pairs(pauses)),
        ),
        prefix=prefix,
        redis=redis_url.shown(url),
        heartbeats=tuple(read_heartbeats(_pairs(heartbeats))),
        activities=tuple(read_activities(_pairs(activities))),
        ticks=read_ticks(_pairs(ticks)),
        prefixes=dict(prefixes_of(_pairs(prefixes))),
        queues={
            name: Queue(length, accepted_at(message))
            for name, length, message in zip(QUEUES, lengths, oldest, strict=True)
        },
        last_sweep=moment_of(swept),
        gate=read_gate(_pairs(generation)),
        feeding=batches_with_rows_left(rows_left),
    )


def health_findings(facts: Facts) -> list[Finding]:
    """Return what is wrong with Redis and the processes; nothing if all work is taken. Plivo's answers do not count."""
    if refused := list(refuses(facts)):
        return refused
    if missing := [*nobody(facts), *replicas_missing(facts)]:
        return missing
    checks = (children_stopped, not_consumed, no_beat, lanes_without_worker)
    return [one for check in checks for one in check(facts) if one.severity is not Severity.WARNING]


def account_findings(prefix: str, only: str | None = None) -> list[Finding]:
    """Return a finding for each Redis of accounts that does not answer or takes no writes; `only` names one account.

    Without RINGPROOF_ACCOUNTS it asks nobody, and loads nothing. Raises `UnknownAccount`.
    """
    try:
        accounts = runtime.accounts() if only is None else {only: runtime.account(only)}
    except Misconfigured as error:
        return [accounts_wrong(error)]
    by_server: defaultdict[str, list[str]] = defaultdict(list)
    for name, account in accounts.items():
        by_server[account.settings.redis_url.get_secret_value()].append(name)
    found = at_once(list(by_server), lambda url: _server_finding(url, prefix, by_server[url], is_only=only is not None))
    return [one for one in found if one]


def _server_finding(url: str, prefix: str, names: Sequence[str], *, is_only: bool) -> Finding | None:
    keys = Keys.of_account(prefix, names[0])
    try:
        _ask(url, [["SETRANGE", keys.trial, "0", ""]])
    except bare_redis.BareRedisError as error:
        others = f" and of {len(names) - 1:,} others" if len(names) > 1 else ""
        return account_away(names[0], redis_url.shown(url), str(error), others, name=names[0] if is_only else None)
    return None


def own_findings(facts: Facts, host: str = "") -> list[Finding]:
    """Return what is wrong with the workers and the beat of this host, or of this container, alone.

    Each worker must have beaten lately. It must work on what it took, and take what waits in its queues. A beat must
    have sent its last tick.
    """
    if refused := list(refuses(facts)):
        return refused
    here = host or socket.gethostname()
    own = tuple(one for one in facts.heartbeats if one.host == here)
    alive = tuple(one for one in own if one.is_alive(facts.now))
    if not alive:
        return [_silent(facts, here, own)]
    silent = [one for one in own if one not in alive and one.worker not in {other.worker for other in alive}]
    mine = facts.of(alive)
    checks = (children_stopped, not_consumed)
    return [
        *(_silent(facts, here, [one]) for one in silent if one.kind == WORKER),
        *(one for check in checks for one in check(mine)),
        *_beat_without_ticks(facts, alive),
    ]


def _silent(facts: Facts, here: str, own: Sequence[Heartbeat]) -> Finding:
    last = max(own, key=lambda one: one.at, default=None)
    since = f"; {last.worker} was heard {facts.ago(last.at)}" if last else ""
    return Finding(
        Code.NO_WORKER,
        Severity.STOPPED,
        f"no worker and no beat of {here} shows itself{since}",
        "see the log of this container; restart it",
    )


def _beat_without_ticks(facts: Facts, alive: Sequence[Heartbeat]) -> Iterator[Finding]:
    """Yield a finding if the beat here sends no ticks. It sends none while some wait: that is not its fault."""
    ticks, tick = facts.queues.get(TICKS), facts.ticks.get("beat")
    if not any(one.kind == BEAT for one in alive) or (ticks and ticks.length) or not tick:
        return
    if facts.age(tick.at) > NO_SWEEP + timedelta(seconds=5):
        yield Finding(
            Code.NO_BEAT,
            Severity.HELD_BACK,
            f"beat has sent no tick since {facts.ago(tick.at)}",
            "restart beat",
            lane="ticks",
        )


def _ask(url: str, commands: Sequence[Sequence[str]]) -> list[Any]:
    if not url.startswith(("rediss:", "sentinels:")):
        return bare_redis.ask(url, *commands)
    import redis  # noqa: PLC0415  # redis-py knows the options of TLS

    from ringproof.ledger.connection import cause_of, connect  # noqa: PLC0415

    with connect(url) as client:
        try:
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return [_flat(answer) for answer in pipeline.execute()]
        except redis.RedisError as error:
            raise bare_redis.BareRedisError(cause_of(error)) from None


def _flat(answer: Any) -> Any:
    return [part for pair in answer.items() for part in pair] if isinstance(answer, dict) else answer


def _pairs(flat: Sequence[str]) -> Mapping[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))

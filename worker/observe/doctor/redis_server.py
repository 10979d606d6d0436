"""Redis: that it answers, takes writes, keeps what it has, is near, and lets nobody else in."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import redis

from ringproof.clock import duration_text
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.connection import cause_of
from ringproof.ledger.exposure import exposures, hole_of, is_encrypted
from ringproof.ledger.health import Complaint, of_disk, of_memory, of_server
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.replication import Replicas
from ringproof.ledger.rights import missing_rights
from ringproof.ledger.role import Role
from ringproof.plivo.peer import Peer
from worker.observe.doctor.case import Case, facts_of, least_ahead, ledger_of
from worker.observe.doctor.check import SOON, Line, failed, of_finding, ok, warning
from worker.observe.facts import read_facts
from worker.observe.finding import Code
from worker.observe.findings import findings, redis_away
from worker.observe.redis_findings import FAR

RECORD_BYTES: Final = 727
"""What a finished number takes, with all keys that it has: docs/operating/measured.md."""

NEARLY_FULL: Final = 0.8
"""The share of the memory beyond which the append-only file's rewrite may not find room."""

PINGS: Final = 20
PINGING_SECONDS: Final = 1.0
"""So many round trips are measured, or as many as fit into this time."""

LEAST_AHEAD: Final = timedelta(milliseconds=20)
"""The shortest horizon: so far ahead bulk reserves its slots at least. A Redis that is farther away makes it longer."""

LONGEST_REACH: Final = timedelta(seconds=1)
"""Slots are given for callers that are no farther away than this: an answer that takes longer comes after its slot."""

LATE_REPLICA: Final = timedelta(seconds=10)
"""A replica says once a second how far it is."""


def answers(case: Case) -> Iterator[Line]:
    """Check that Redis answers, and read all that the other checks go by."""
    if case.ledger is None:
        yield failed("the address of Redis is wrong", "correct RINGPROOF_REDIS_URL")
        return
    try:
        case.ledger.run("time")  # it connects; a Redis whose disk is full refuses a PING
        case.answers = True
        case.redis_ahead = _ahead(case.ledger)
        case.facts = read_facts(case.ledger)
    except LedgerUnavailable as error:
        if error.is_refusal:
            case.answers = True
            yield failed(f"Redis at {error.url} refuses what every command needs: {error.cause}", error.remedy)
        else:
            yield of_finding(redis_away(error))
        return
    case.findings = findings(case.facts)
    yield ok(f"{case.ledger.shown_url} answers, with the prefix {case.facts.prefix}")


def _ahead(ledger: Ledger) -> timedelta:
    """Return how far Redis' clock is ahead of this machine's: it was read between the question and the answer."""
    asked_at = datetime.now(UTC)
    seconds, microseconds = ledger.run("time")
    there = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
    return least_ahead(there - datetime.now(UTC), there - asked_at)


def rights(case: Case) -> Iterator[Line]:
    """Check that this user of Redis may do what the command does, and on a worker's machine what a worker does."""
    ledger = ledger_of(case)
    username = ledger.client.connection_pool.connection_kwargs.get("username") or "default"
    for role in (Role.WORKER, Role.OPERATOR) if case.is_worker else (Role.OPERATOR,):
        try:
            missing = missing_rights(ledger.client, role, ledger.keys.prefix)
        except redis.RedisError as error:
            yield failed(f"the rights of {username} cannot be tried: {cause_of(error)}", "see the log of Redis")
            return
        if missing:
            yield failed(
                f"the user {username} of Redis lacks rights of the role {role}",
                f"use the {role}'s user here, or give this one the rights as Redis' administrator: {missing}",
            )
            return  # most rights are the same
    yield ok(f"the user {username} has all rights of {'a worker and ' if case.is_worker else ''}an operator")


def version(case: Case) -> Iterator[Line]:
    """Check the kind and version of the server, and its known holes."""
    info = facts_of(case).info
    yield from map(_of_complaint, of_server(info))
    if hole := hole_of(info):
        yield _of_complaint(Complaint(hole))
    name = "Valkey" if "valkey_version" in info else "Redis"
    yield ok(f"{name} {info.get('valkey_version') or info.get('redis_version')}, without a hole that is known here")


def writes(case: Case) -> Iterator[Line]:
    """Check that Redis takes writes: it is not full, can save, and is no replica."""
    refusal = facts_of(case).refusal
    if refusal and not case.findings:
        yield failed(f"Redis refuses writes: {refusal}", "see its log, and the rights of its user")
    yield ok("Redis takes writes")


def memory(case: Case) -> Iterator[Line]:
    """Check for how many more numbers there is memory, and that Redis evicts none."""
    info = facts_of(case).info
    yield from map(_of_complaint, of_memory(info))
    if evicted := int(info.get("evicted_keys", 0)):
        yield failed(
            f"Redis has evicted {evicted:,} keys since it started: numbers may be lost, and codes be sent twice",
            "set maxmemory-policy noeviction, and see docs/operating/redis.md#after-a-restored-backup",
        )
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    whole = most or int(info.get("total_system_memory", 0))
    left = max(whole - used, 0) // RECORD_BYTES
    of_what = f"of maxmemory {_size(most)}" if most else f"of the machine's {_size(whole)}; no maxmemory is set"
    figures = f"{_size(used)} {of_what}: room for {left:,} more numbers"
    if whole and used > NEARLY_FULL * whole:
        yield warning(
            f"Redis uses {figures}, and the rewrite of its append-only file needs room",
            "raise maxmemory, or let less be kept: RINGPROOF_RECORD_DAYS (docs/operating/redis.md#memory)",
        )
    yield ok(f"Redis uses {figures}")


def disk(case: Case) -> Iterator[Line]:
    """Check that a restart forgets nothing: the append-only file, and whether the last writes to the disk succeeded."""
    info = facts_of(case).info
    yield from map(_of_complaint, of_disk(info))
    for field, what, say in (
        ("aof_last_write_status", "write to its append-only file", failed),
        ("aof_last_bgrewrite_status", "rewrite of its append-only file", warning),
        ("rdb_last_bgsave_status", "snapshot", warning),
    ):
        if info.get(field, "ok") != "ok":
            remedy = "free space on its disk, and see its log"
            yield say(f"the last {what} has failed: a restart may forget what came after", remedy)
    yield ok("Redis keeps an append-only file, and its last writes to the disk succeeded")


def distance(case: Case) -> Iterator[Line]:
    """Check how long Redis takes to answer, from here and from each worker, against how far ahead slots are given."""
    seconds = _round_trips(ledger_of(case))
    median, worst = timedelta(seconds=seconds[len(seconds) // 2]), timedelta(seconds=seconds[-1])
    shown = f"{_ms(median)} away from here (the worst of {len(seconds)}: {_ms(worst)})"
    if median > LONGEST_REACH:
        yield failed(
            f"Redis is {shown}: no caller gets slots more than {_ms(LONGEST_REACH)} ahead, so that all are missed",
            "run the workers near Redis",
        )
    elif median > FAR:
        yield warning(
            f"Redis is {shown}: each code takes several such ways",
            "run the workers near Redis: docs/operating/measured.md has what a distance costs",
        )
    else:
        within = (
            f"within the {_ms(LEAST_AHEAD)} that slots are given ahead at least"
            if median <= LEAST_AHEAD
            else "so that bulk reserves its slots further ahead"
        )
        yield ok(f"Redis is {shown}, {within}")


def _round_trips(ledger: Ledger) -> list[float]:
    """Return how long some round trips took (s), sorted."""
    ends, seconds = time.perf_counter() + PINGING_SECONDS, list[float]()
    while len(seconds) < PINGS and (time.perf_counter() < ends or not seconds):
        began = time.perf_counter()
        ledger.ping()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)


def exposure(case: Case) -> Iterator[Line]:
    """Check who else gets at the data: a password, TLS on the way, and its certificate."""
    client = ledger_of(case).client
    found = exposures({}, client.connection_pool.connection_kwargs, is_encrypted=is_encrypted(client))
    yield from (_of_complaint(Complaint(one)) for one in found)
    if is_encrypted(client):
        yield from _of_certificate(_peer(client))
    yield ok("the way to Redis is this machine's own, or has a password and TLS")


def _of_certificate(peer: Peer) -> Iterator[Line]:
    if peer.trusted_until is None:
        yield warning(
            f"Redis is asked with {peer.tls}, and its certificate is not checked: anyone between can read along",
            "leave out ssl_cert_reqs=none, and name the certificates with ssl_ca_certs, if your provider has some",
        )
    elif (left := peer.trusted_until - datetime.now(UTC)) < SOON:
        yield warning(
            f"the certificate of Redis ends in {duration_text(left)}",
            "renew it: afterwards nobody can connect, and nothing is accepted or sent",
        )


def _peer(client: redis.Redis) -> Peer:
    pool: Any = client.connection_pool
    connection = pool.get_connection()
    try:
        return Peer.of(connection._sock)  # noqa: SLF001  # redis-py shows its socket to nobody
    finally:
        pool.release(connection)


def replicas(case: Case) -> Iterator[Line]:
    """Check that each replica is connected, and not behind."""
    info = facts_of(case).info
    if info.get("role") == "slave":
        up = info.get("master_link_status") == "up"
        yield failed(
            f"this is a replica itself, whose primary {'answers' if up else 'is away'}",
            "let RINGPROOF_REDIS_URL name the primary, or promote this one",
            Code.REDIS_READ_ONLY,
        )
        return
    listed = [one for name, one in sorted(info.items()) if name.startswith("slave") and isinstance(one, dict)]
    late = [one for one in listed if one.get("state") != "online" or int(one.get("lag", 0)) > LATE_REPLICA.seconds]
    for one in late:
        yield warning(
            f"the replica {one.get('ip')}:{one.get('port')} is {one.get('state')}, and answered {one.get('lag')} s "
            "ago: if it takes over now, it has forgotten what was sent since",
            "see its log, and the network to it",
        )
    yield from _of_confirmation(case, info)
    count, names = len(listed), ", ".join(map(_shown, listed))
    follow = f"{count} replica{' follows' if count == 1 else 's follow'}: {names}"
    yield ok(follow if count else "no replica follows Redis")


def _shown(replica: Mapping[str, Any]) -> str:
    return f"{replica.get('ip')}:{replica.get('port')}, heard {replica.get('lag')} s ago"


def _of_confirmation(case: Case, info: Mapping[str, Any]) -> Iterator[Line]:
    """Check that enough replicas can confirm what is written here: see ringproof/ledger/replication.py."""
    wanted = ledger_of(case).replication.wanted
    answering = Replicas.of(info).answering
    if wanted and answering < wanted:
        yield failed(
            f"{answering} of {wanted} replicas (RINGPROOF_REPLICAS) follow and answer: nothing is accepted or sent",
            "bring them back, or lower RINGPROOF_REPLICAS (docs/operating/redis.md#replicas)",
            Code.REPLICAS_MISSING,
        )


def history(case: Case) -> Iterator[Line]:
    """Check that Redis remembers the last hour: a restored backup does not."""
    facts = facts_of(case)
    swept = f"the last sweep in it was {facts.ago(facts.last_sweep)}" if facts.last_sweep else "no sweep is in it"
    yield ok(f"Redis has not gone back in the last hour; {swept}")


def _of_complaint(complaint: Complaint) -> Line:
    sentence, _, remedy = complaint.text.rpartition("; ")
    return failed(sentence, remedy) if complaint.fatal else warning(sentence, remedy)


def _ms(duration: timedelta) -> str:
    milliseconds = duration.total_seconds() * 1000
    return f"{milliseconds:.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def _size(count: int) -> str:
    """Return bytes in the largest unit: `512 MB`."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1024:.0f} kB"

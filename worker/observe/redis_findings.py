"""What is wrong with Redis: it is away, full, read-only or far, or it has forgotten something."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from ringproof.clock import duration_text
from ringproof.errors import LedgerUnavailable, Misconfigured
from ringproof.ledger.durations import Durations
from ringproof.ledger.gate import SHOWN
from worker.observe.facts import Facts
from worker.observe.finding import Code, Finding, Severity

REFUSALS: Final = ("OOM", "MISCONF", "READONLY", "NOREPLICAS")
"""How the refusals of a write begin that are the fault of Redis, and not of the write."""

FAR: Final = timedelta(milliseconds=50)
"""A round trip to Redis up to which the pace is used to 97 %, and people wait no longer."""


RESTART: Final = timedelta(seconds=5)
"""For so long a plain restart of Redis stops the sending: it is no fault."""

LEASE: Final = Durations().lease
"""Processes that have died are not waited for any longer than that."""

DANGER: Final = timedelta(minutes=16)
"""So long codes may live that Redis has forgotten."""


def redis_away(error: LedgerUnavailable) -> Finding:
    """Return the finding that Redis does not answer. There are no facts then."""
    return Finding(
        Code.REDIS_AWAY,
        Severity.STOPPED,
        f"Redis does not answer at {error.url}: {error.cause}; nothing is accepted or sent until it does",
        "start Redis, or correct RINGPROOF_REDIS_URL; the workers connect again by themselves",
    )


def refuses(facts: Facts) -> Iterator[Finding]:
    """Yield a finding if Redis refuses all writes: it is full, cannot save to its disk, or is a replica."""
    if facts.refusal.startswith("OOM"):
        used, most = facts.info.get("used_memory_human"), facts.info.get("maxmemory_human")
        figures = f" ({used} of {most} are used)" if used and most else ""
        yield Finding(
            Code.REDIS_FULL,
            Severity.STOPPED,
            f"Redis is full{figures}: it refuses what would need memory, so that nothing is accepted or sent",
            "raise maxmemory, or free memory; what Plivo answers meanwhile is kept and written then",
        )
    elif facts.refusal.startswith("READONLY"):
        yield Finding(
            Code.REDIS_READ_ONLY,
            Severity.STOPPED,
            f"{facts.redis or 'Redis'} is a replica, which takes no writes: nothing is accepted or sent",
            "let RINGPROOF_REDIS_URL name the primary, or promote this one",
        )
    elif facts.refusal.startswith(("MISCONF", "NOREPLICAS")):
        disk = facts.refusal.startswith("MISCONF")
        why = "cannot save to its disk" if disk else "has too few replicas"
        yield Finding(
            Code.REDIS_READ_ONLY,
            Severity.STOPPED,
            f"Redis refuses all writes, because it {why}: nothing is accepted or sent",
            "free space on its disk, and see its log; it goes on by itself once a save succeeds"
            if disk
            else "bring its replicas back, or lower min-replicas-to-write",
        )


def replicas_missing(facts: Facts) -> Iterator[Finding]:
    """Yield a finding if fewer replicas follow Redis, and answer, than have to confirm what is written."""
    short = [
        (one.replicas_answering, one.replicas_needed)
        for one in facts.workers
        if one.replicas_needed and one.replicas_answering is not None and one.replicas_answering < one.replicas_needed
    ]
    if not short:
        return
    answering, needed = min(short)
    yield Finding(
        Code.REPLICAS_MISSING,
        Severity.STOPPED,
        f"{answering} of the {needed} replicas that have to confirm what is written follow Redis and answer: nothing "
        "is accepted or sent",
        "bring them back, and it goes on by itself; without RINGPROOF_REPLICAS it goes on 30 s after the last one has "
        "gone",
    )


def went_back(facts: Facts) -> Iterator[Finding]:
    """Yield a finding if Redis has lost the memory of a time in the last hour, or may have lost it."""
    gate = facts.gate
    pause = next((one for one in facts.sending.pauses if one.kind == "forgotten"), None)
    has_ended = gate.opened_at is not None and facts.age(gate.opened_at) < SHOWN
    if gate.closed_at:
        if gate.went_back or facts.age(gate.closed_at) > RESTART:
            yield _gate_is_closed(facts, gate.closed_at)
    elif pause:
        yield Finding(
            Code.WENT_BACK,
            Severity.HELD_BACK,
            f"{_how_far(facts)}, and {_processes(gate.unreported)} that may have sent codes did not say which: bulk "
            f"and scheduled requests, and people's of before, wait until no such code can live ({gate.forgotten} "
            "numbers so far)",
            "wait; to send to them earlier, although some may get a second code: ringproof resume",
            until=pause.next_look,
        )
    elif has_ended and (gate.went_back or gate.mended):
        lost = ", ".join(gate.lost_batches)
        yield Finding(
            Code.WENT_BACK,
            Severity.WARNING,
            f"{_how_far(facts)}: the workers have reported {gate.mended} numbers to it again, which get no second code"
            f"{f'; it does not know these batches any more: {lost}' if lost else ''}",
            f"{'import their rosters again; ' if lost else ''}see that Redis saves what it has "
            "(docs/operating/redis.md#after-a-restored-backup)",
        )
    elif not has_ended:
        yield from _gap(facts)


def _gate_is_closed(facts: Facts, closed_at: datetime) -> Finding:
    gate = facts.gate
    known = gate.reported + gate.unreported
    return Finding(
        Code.WENT_BACK,
        Severity.STOPPED,
        f"{_how_far(facts)}: nothing is sent until the processes that send have reported what they remember "
        f"({gate.reported} of {known} have, for {duration_text(facts.age(closed_at))})",
        "wait: it goes on by itself within a minute; processes that have died are not waited for any longer",
        until=closed_at + LEASE,
    )


def _how_far(facts: Facts) -> str:
    """Return what has happened to Redis, as far as its processes know."""
    gate = facts.gate
    ago = facts.ago(gate.closing) if gate.closing else "a moment ago"
    if not (gate.went_back or gate.mended):
        return f"Redis was restarted {ago}"
    if gate.knew_until is None or gate.closing is None:
        return f"Redis has forgotten everything, {ago}"
    since, until = f"{gate.knew_until:%H:%M:%S}", f"{gate.closing:%H:%M:%S %Z}"
    return f"Redis went back by {duration_text(gate.closing - gate.knew_until)}, {ago} (from {until} to {since})"


def _processes(count: int) -> str:
    return "a process" if count == 1 else f"{count} processes"


def _gap(facts: Facts) -> Iterator[Finding]:
    if not (gap := facts.gap):
        return
    lasts = duration_text(gap.ended - gap.began) if gap.began else ""
    ago = facts.ago(gap.ended)
    what = (
        f"Redis has forgotten everything, {ago}"
        if gap.began is None
        else f"Redis went back by {lasts}, {ago}: it has forgotten what was sent in that time"
        if gap.is_sure
        else f"Redis remembers nothing of {lasts} that ended {ago}: no worker ran then, or Redis was restored from a "
        "backup"
    )
    yield Finding(
        Code.WENT_BACK,
        Severity.HELD_BACK if gap.is_sure and facts.age(gap.ended) < DANGER else Severity.WARNING,
        f"{what}; numbers may get a second code",
        "if it was restored or has lost data: ringproof pause now, and see docs/operating/redis.md"
        "#after-a-restored-backup",
    )


def far(facts: Facts) -> Iterator[Finding]:
    """Yield a finding if workers are so far from Redis that people feel it."""
    far_away = [one for one in facts.workers if (one.away_ms or 0) > FAR.total_seconds() * 1000]
    if far_away:
        names = ", ".join(f"{one.away_ms:.0f} ms from {one.worker}" for one in far_away)
        yield Finding(
            Code.REDIS_FAR,
            Severity.WARNING,
            f"Redis is far away ({names} and back): each code takes several such ways, and people wait for them",
            "run the workers near Redis: docs/operating/measured.md has what a distance costs",
        )


def accounts_wrong(error: Misconfigured) -> Finding:
    """Return the finding that nobody knows which accounts there are."""
    return Finding(
        Code.ACCOUNTS_WRONG,
        Severity.HELD_BACK,
        f"the accounts cannot be read: {error.problems[0]}",
        "correct what RINGPROOF_ACCOUNTS names; to see all faults: ringproof accounts check",
    )


def account_away(account: str, url: str, cause: str, others: str = "", *, name: str | None) -> Finding:
    """Return the finding that the Redis of an account, and of these others, does not answer or takes no writes.

    `name` is that of the account if the finding is about it alone.
    """
    whose = f"its Redis at {url}" if not others else f"the Redis of it{others}, at {url},"
    return Finding(
        Code.ACCOUNT_AWAY,
        Severity.HELD_BACK,
        f"account {account}: {whose} does not answer or takes no writes: {cause}; nothing is accepted or sent there",
        "start that Redis, or correct the ledger of the account; the workers connect again by themselves",
        account=name,
    )

"""What holds the sending back: pauses, a 429, and a Plivo that cannot be reached."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from ringproof.clock import duration_text
from ringproof.ledger.control import Pause
from worker.observe.facts import Facts
from worker.observe.finding import Code, Finding, Severity

LONG_CLOSED: Final = timedelta(seconds=10)
"""Plivo may answer 429 now and then, and asks for a second or two."""

UNREACHABLE_KEPT: Final = timedelta(minutes=20)
"""Numbers that found no Plivo are tried again within 15 minutes. What a process said before that is over."""


def unreachable(facts: Facts) -> Iterator[Finding]:
    """Yield one finding if processes that send reach no Plivo. What one said is over once one of its host has sent."""
    hosts = {worker.worker: worker.host or worker.worker for worker in facts.workers}
    sent: defaultdict[str, list[datetime]] = defaultdict(list)
    for one in facts.activities:
        if one.last_sent and one.unreachable is None:
            sent[hosts.get(one.worker or "", "")].append(one.last_sent)
    away = [
        one
        for one in facts.activities
        if one.unreachable
        and one.worker
        and one.worker in hosts
        and facts.age(one.at) < UNREACHABLE_KEPT
        and not any(when > one.at for when in sent[hosts[one.worker]])
    ]
    if not away:
        return
    since = min(one.unreachable.since for one in away if one.unreachable)
    why = next(one.unreachable.why for one in away if one.unreachable)
    count = sum(one.unreachable.count for one in away if one.unreachable)
    names = sorted({hosts[one.worker] for one in away if one.worker})
    others = {host for host, moments in sent.items() if any(when > since for when in moments)} - set(names)
    whose = f" from {', '.join(names)}, but from {', '.join(sorted(others))}" if others else ""
    yield Finding(
        Code.PLIVO_UNREACHABLE,
        Severity.HELD_BACK if others else Severity.STOPPED,
        f"Plivo cannot be reached{whose} ({why}) for {duration_text(facts.age(since))}: {count} sends could not "
        "connect; nothing was sent, and each is tried again",
        "check the network, DNS, the firewall and the proxy, and PLIVO_BASE_URL; it goes on by itself",
    )


def pauses(facts: Facts) -> Iterator[Finding]:
    """Yield a finding for each pause, of an operator or because of Plivo's answers. `went_back` has that of Redis."""
    for pause in facts.sending.pauses:
        if pause.kind == "forgotten":
            continue
        code, severity, remedy = _KINDS[pause.kind]
        if pause.kind is None:
            remedy = f"go on: ringproof resume{f' --lane {pause.lane}' if pause.lane else ''}"
        yield Finding(
            code,
            severity,
            f"{f'the lane {pause.lane}' if pause.lane else 'all sending'} is paused for "
            f"{duration_text(facts.age(pause.since))}: {pause.why}",
            remedy,
            lane=pause.lane,
            until=_future(facts, pause),
        )


def refused_hosts(facts: Facts) -> Iterator[Finding]:
    """Yield one finding if Plivo does not know the credentials of some workers, and others send."""
    refused = facts.refused
    if not refused:
        return
    since = min(facts.sending.unknown_credentials[one.credentials or ""] for one in refused)
    names = ", ".join(sorted(one.worker for one in refused))
    yield Finding(
        Code.CREDENTIALS_REFUSED,
        Severity.HELD_BACK,
        f"Plivo does not know the credentials of {names} (401) for {duration_text(facts.age(since))}: the others do "
        "the work",
        "correct PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN there, and restart these workers",
    )


_KINDS: Final[dict[str | None, tuple[Code, Severity, str]]] = {
    None: (Code.PAUSED, Severity.HELD_BACK, ""),
    "credentials": (
        Code.CREDENTIALS_REFUSED,
        Severity.STOPPED,
        "correct PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN, and restart the workers",
    ),
    "account": (
        Code.ACCOUNT_REFUSED,
        Severity.STOPPED,
        "see the account in Plivo's console; a worker tries again every 30 s, and it goes on by itself",
    ),
    "doubts": (
        Code.DOUBTS,
        Severity.HELD_BACK,
        "see status.plivo.com and the network; a worker tries again by itself",
    ),
}
"""For each kind of pause its finding. An operator's own has no kind."""


def closed(facts: Facts) -> Iterator[Finding]:
    """Yield a finding while a 429 has closed the pace."""
    closed_until = facts.sending.closed_until
    if not closed_until:
        return
    left = closed_until - facts.now
    yield Finding(
        Code.CLOSED,
        Severity.HELD_BACK if left > LONG_CLOSED else Severity.WARNING,
        f"Plivo answered 429, so that nothing is sent for {duration_text(left)}",
        "it goes on by itself; if this comes back, lower RINGPROOF_RATE, or see what else uses the account",
        until=closed_until,
    )


def _future(facts: Facts, pause: Pause) -> datetime | None:
    """Return when a pause is looked at again; None if nobody will, or if that time has come."""
    return pause.next_look if pause.next_look and pause.next_look > facts.now else None

"""What is wrong with the workers and beat: they are missing, stopped, or differ from one another."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from ringproof.clock import duration_text
from ringproof.ledger.activity import is_process_of
from ringproof.ledger.heartbeats import ALIVE, WORKER, Heartbeat
from ringproof.ledger.queues import TICKS, queue
from ringproof.ledger.record import Lane
from worker.observe.facts import Facts
from worker.observe.finding import Code, Finding, Severity

STUCK: Final = timedelta(seconds=30)
"""For so long nobody takes a message that waits, or a process that has work does not show itself: it is stopped.

A task ends sooner: it waits at most 30 s for a slot, and most take milliseconds.
"""

LONGEST_TASK: Final = timedelta(minutes=2)
"""One that asks Plivo about twenty numbers may take a minute at a slow pace."""

NO_SWEEP: Final = timedelta(seconds=25)
"""Beat sends the sweep every 10 seconds at least, so that two are missing."""

SILENCE_KEPT: Final = timedelta(minutes=15)
"""A process that was killed with work in its hands stays silent, too; its numbers have gone on by then."""

START: Final = {
    "worker": "ringproof worker -P threads -c 16 -B",
    "beat": "ringproof beat",
    TICKS: "celery -A worker worker -n interactive@%h -Q ringproof.ticks,ringproof.interactive -P threads -c 32 -B",
    queue(Lane.INTERACTIVE): "celery -A worker worker -n interactive@%h -Q ringproof.interactive -P threads -c 32",
    queue(Lane.SCHEDULED): "celery -A worker worker -n bulk@%h -Q ringproof.scheduled,ringproof.bulk -c 2",
    queue(Lane.BULK): "celery -A worker worker -n bulk@%h -Q ringproof.scheduled,ringproof.bulk -c 2",
}
"""What starts a process, or one for a queue, as the Procfile does."""


def nobody(facts: Facts) -> Iterator[Finding]:
    """Yield a finding if no worker takes messages, or if they run under another prefix."""
    if facts.workers:
        return
    others = sorted(
        name for name, at in facts.prefixes.items() if name != facts.prefix and abs(facts.now - at) <= ALIVE
    )
    if others and not any(one.kind == WORKER for one in facts.heartbeats):
        yield Finding(
            Code.OTHER_PREFIX,
            Severity.STOPPED,
            f'no worker takes messages under the prefix "{facts.prefix}"; workers run under {_quoted(others)}',
            f"give all processes the same RINGPROOF_PREFIX: RINGPROOF_PREFIX={others[0]} ringproof status",
        )
        return
    gone = max((one for one in facts.heartbeats if one.kind == WORKER), key=lambda one: one.at, default=None)
    last = f"; {gone.worker} was the last one, {facts.ago(gone.at)}" if gone else ""
    length = sum(one.length for one in facts.queues.values())
    waits = f": {_messages(length)}" if length else ""
    yield Finding(
        Code.NO_WORKER,
        Severity.STOPPED,
        f"no worker takes messages{waits}{last}",
        f"start one: {START['worker']}",
    )


def children_stopped(facts: Facts) -> Iterator[Finding]:
    """Yield a finding for each worker that lives, and whose processes do not work."""
    if _holds_all(facts):
        return
    for worker in facts.workers:
        own = [one for one in facts.activities if is_process_of(one, worker) and not one.is_idle]
        silent = [one for one in own if STUCK < facts.age(one.at) < SILENCE_KEPT]
        active, waiting = worker.oldest_active_s or 0, worker.oldest_waiting_s or 0
        if silent:
            oldest = min(silent, key=lambda one: one.at)
            pids = ", ".join(str(one.pid) for one in silent)
            what = f"its process {pids} shows no progress for {duration_text(facts.age(oldest.at))}"
        elif waiting > STUCK.total_seconds():
            what = f"no process of it has begun the tasks that it took {duration_text(timedelta(seconds=waiting))} ago"
        elif active > LONGEST_TASK.total_seconds():
            what = f"a task of it runs for {duration_text(timedelta(seconds=active))}"
        else:
            continue
        yield Finding(
            Code.CHILDREN_STOPPED,
            Severity.STOPPED if len(facts.workers) == 1 else Severity.HELD_BACK,
            f"{worker.worker} answers, but {what}: its processes are stopped or hang",
            f"restart it (on {worker.host}: kill -CONT continues stopped processes); what it had begun is in doubt "
            "after 45 s, and all else goes on",
            lane=_only_lane(worker),
        )


def not_consumed(facts: Facts) -> Iterator[Finding]:
    """Yield a finding for each queue from which its workers take nothing, although messages wait."""
    if _holds_all(facts):
        return
    for name, waiting in facts.queues.items():
        takers = facts.consumers(name)
        if not waiting.length or not takers or any(one.waiting for one in takers):
            continue
        if all(_takes_nothing(facts, one) for one in takers) and _waits_long(facts, name):
            names = ", ".join(one.worker for one in takers)
            yield Finding(
                Code.NOT_CONSUMED,
                Severity.HELD_BACK,
                f"{_messages(waiting.length)} in {name}, and {names} took nothing for {_not_for(facts, takers[0])}",
                f"see the log of {takers[0].worker} on {takers[0].host}, and restart it",
                lane=_lane_name(name),
            )


def no_beat(facts: Facts) -> Iterator[Finding]:
    """Yield a finding if nobody sends the ticks."""
    swept = facts.last_sweep
    if facts.beats or (swept and facts.age(swept) < NO_SWEEP):
        return
    since = f"for {duration_text(facts.age(swept))}" if swept else "yet"
    yield Finding(
        Code.NO_BEAT,
        Severity.HELD_BACK,
        f"no beat runs: the sweep has not run {since}, so that batches are not fed, and nothing that waits goes on",
        f"start one: {START['beat']} (or -B at one worker)",
        lane="ticks",
    )


def lanes_without_worker(facts: Facts) -> Iterator[Finding]:
    """Yield a finding for each queue that no worker takes, if it has work, or if a worker took it lately."""
    for name in (TICKS, *map(queue, Lane)):
        if facts.consumers(name):
            continue
        waiting = facts.queues.get(name)
        length = waiting.length if waiting else 0
        unfed = facts.feeding if name == queue(Lane.BULK) else 0
        gone = max((one for one in facts.heartbeats if name in one.queues), key=lambda one: one.at, default=None)
        is_wanted = name in {TICKS, queue(Lane.INTERACTIVE)}
        if not (length or unfed or gone or is_wanted):
            continue
        lane = _lane_name(name)
        work = [_messages(length)] if length or not unfed else []
        if unfed:
            work.append(f"{unfed} batch{'es' if unfed > 1 else ''} {'have' if unfed > 1 else 'has'} rows to send")
        last = f"; {gone.worker} did until {facts.ago(gone.at)}" if gone else ""
        yield Finding(
            Code.LANE_WITHOUT_WORKER,
            Severity.HELD_BACK if length or unfed or name == TICKS else Severity.WARNING,
            f"no worker takes the queue of {lane} ({name}): {' and '.join(work)}{last}",
            f"start one: {START[name]}",
            lane=lane,
        )


def differences(facts: Facts) -> Iterator[Finding]:
    """Yield a finding for each thing in which workers differ, and must not."""
    for field, code, severity, what, remedy in (
        (
            "account",
            Code.ACCOUNTS_DIFFER,
            Severity.HELD_BACK,
            "workers send with different Plivo accounts",
            "give all workers the same PLIVO_AUTH_ID: a code of one account cannot be confirmed with the other",
        ),
        (
            "policy",
            Code.POLICIES_DIFFER,
            Severity.WARNING,
            "workers have different settings of the policy, and the one that started last decides",
            "give all workers the same RINGPROOF_… variables, and restart them",
        ),
        (
            "version",
            Code.VERSIONS_DIFFER,
            Severity.WARNING,
            "processes run different versions",
            "finish the upgrade: docs/operating/upgrading.md",
        ),
    ):
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for worker in (*facts.workers, *(facts.beats if field == "version" else ())):
            if value := getattr(worker, field):
                groups[value].append(worker.worker)
        if len(groups) > 1:
            shown = "; ".join(f"{value} at {', '.join(names)}" for value, names in sorted(groups.items()))
            yield Finding(code, severity, f"{what}: {shown}", remedy)


def left_to_newer(facts: Facts) -> Iterator[Finding]:
    """Yield a finding if messages wait that no worker of these versions can perform."""
    if facts.newer_messages:
        yield Finding(
            Code.VERSIONS_DIFFER,
            Severity.HELD_BACK,
            f"{_messages(facts.newer_messages)} can be performed by a newer version only, and wait for its workers",
            "start workers of the newer version: docs/operating/upgrading.md",
        )


def _holds_all(facts: Facts) -> bool:
    """Whether workers have a good reason to take nothing: they wait, and so does all that is queued."""
    return bool(facts.sending.closed_until) or any(pause.lane is None for pause in facts.sending.pauses)


def _takes_nothing(facts: Facts, worker: Heartbeat) -> bool:
    last = worker.taken or worker.started
    return last is not None and facts.age(last) > STUCK


def _waits_long(facts: Facts, name: str) -> bool:
    oldest = facts.queues[name].oldest
    return oldest is None or facts.age(oldest) > STUCK


def _not_for(facts: Facts, worker: Heartbeat) -> str:
    last = worker.taken or worker.started
    return duration_text(facts.age(last)) if last else "long"


def _only_lane(worker: Heartbeat) -> str | None:
    return _lane_name(worker.queues[0]) if len(worker.queues) == 1 else None


def _lane_name(name: str) -> str:
    return name.rpartition(".")[2]


def _messages(count: int) -> str:
    return f"{count:,} message{' waits' if count == 1 else 's wait'}" if count else "no message waits"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)

"""What moves, lane by lane, and what is wrong: the lines of the status, and its fields of JSON."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from rich.text import Text

from ringproof.clock import duration_text
from ringproof.ledger.control import QUEUES_SHOWN
from ringproof.ledger.heartbeats import Heartbeat
from ringproof.ledger.record import Lane
from ringproof.policy import Rate
from worker.observe.facts import Facts
from worker.observe.finding import Finding, Severity
from worker.views.exit_code import Exit
from worker.views.text import clock, counted

STYLES: Final = {Severity.STOPPED: "bold red", Severity.HELD_BACK: "yellow", Severity.WARNING: "yellow"}

EXITS: Final = {
    Severity.STOPPED: Exit.REFUSED,
    Severity.HELD_BACK: Exit.UNFINISHED,
    Severity.WARNING: Exit.DONE,
}

USERS: Final = {"question": "questions", "again": "sends that had missed their slot"}
"""Who gets slots beside the lanes, in words."""

MINUTE: Final = 60
TOLERANCE: Final = 12
"""The sweep notes the counts every ten seconds, so that a minute is not exactly one."""

RARE: Final = 5
"""Seconds of the pace that must have passed before its share says something."""


def exit_of(found: Sequence[Finding]) -> Exit:
    """Return the exit code of the status: 0 if all is well, 1 if nothing moves, 3 if something is held back."""
    severities = {one.severity for one in found}
    return next((EXITS[severity] for severity in Severity if severity in severities), Exit.DONE)


def state_of(facts: Facts, found: Sequence[Finding]) -> str:
    """Return how the sending goes in a word: `stopped`, `held_back`, `goes_on`, `waits` or `idle`."""
    severity = found[0].severity if found else Severity.WARNING
    if severity is not Severity.WARNING:
        return str(severity)
    if facts.minute and sum(facts.minute.codes.values()):
        return "goes_on"
    has_work = facts.feeding or any(one.length for one in facts.queues.values())
    return "waits" if has_work else "idle"


def verdict(facts: Facts, found: Sequence[Finding]) -> Text:
    """Return in a line whether codes are sent. It never says that sending goes on when nothing was sent."""
    codes = sum(facts.minute.codes.values()) if facts.minute else 0
    sent = f"{counted(codes, 'code')} {_lately(facts)}"
    match state_of(facts, found):
        case "stopped":
            return Text(f"nothing moves; {sent}", STYLES[Severity.STOPPED])
        case "held_back":
            return Text(f"something is held back; {sent}", STYLES[Severity.HELD_BACK])
        case "goes_on":
            return Text(f"goes on: {sent}", "green")
        case "waits":
            return Text(f"begins: work waits, and {sent}", "green")
        case _:
            return Text(f"nothing to send; {sent}", "green")


def finding_lines(found: Sequence[Finding]) -> Text:
    """Return what is wrong, and below each sentence what to do; empty if nothing is."""
    text = Text()
    for one in found:
        until = f" (until {clock(one.until)})" if one.until else ""
        text.append(f"{one.sentence}{until}\n", STYLES[one.severity])
        text.append(f"  to do: {one.remedy} ({one.link})\n")
    text.rstrip()
    return text


def finding_line(found: Sequence[Finding]) -> str:
    """Return what is wrong in one line, for a log."""
    return "; ".join(one.sentence for one in found)


def used_lines(facts: Facts) -> Iterator[str]:
    """Yield the share of the pace that was used in the last minute, and what took it."""
    if not facts.minute or facts.minute.seconds < RARE or not sum(facts.minute.slots.values()):
        return
    most = facts.minute.seconds * 1e6 / Rate.parse(facts.sending.rate).spacing_us
    shares = {name: min(count / most, 1) for name, count in facts.minute.slots.items() if count}
    ranked = sorted(shares.items(), key=lambda one: -one[1])
    by_user = ", ".join(f"{USERS.get(name, name)} {share:.1%}" for name, share in ranked)
    yield f"{min(sum(shares.values()), 1):.0%} was used {_lately(facts)}: {by_user}"


def lane_lines(facts: Facts) -> Iterator[str]:
    """Yield a line for each lane: its codes of the last minute, and what waits; and one for the ticks."""
    for name, queue in QUEUES_SHOWN.items():
        waiting = facts.queues.get(queue)
        parts = []
        if name in set(Lane):
            codes = facts.minute.codes.get(name, 0) if facts.minute else 0
            parts.append(f"{counted(codes, 'code')} {_lately(facts)}")
        length = waiting.length if waiting else 0
        since = waiting.oldest if waiting else None
        oldest = f", the oldest number for {duration_text(facts.age(since))}" if since else ""
        parts.append(f"{counted(length, 'message')} in the queue{oldest}")
        if name == Lane.BULK and facts.feeding:
            parts.append(f"rows of {facts.feeding} {'batch' if facts.feeding == 1 else 'batches'} are to come")
        yield f"{name:<11}  {'; '.join(parts)}"


def open_lines(facts: Facts) -> Iterator[str]:
    """Yield how many numbers are not final, how many of them are in doubt, and for how long the agenda is behind."""
    doubts = f", {facts.in_doubt:,} of them in doubt" if facts.in_doubt else ""
    yield f"{facts.sending.open_numbers:,} numbers are not final{doubts}"
    if facts.agenda_lag.total_seconds() > RARE:
        yield f"the agenda is {duration_text(facts.agenda_lag)} behind: its first number has been due for so long"


def tick_lines(facts: Facts) -> Iterator[str]:
    """Yield when the sweep, the feeder and beat last ran, for how long, and what they did."""
    for name, tick in facts.ticks.items():
        took = f" in {tick.ms:.0f} ms" if tick.ms is not None else ""
        what = f": {tick.what}" if tick.what else ""
        by = f", by {tick.worker}" if tick.worker else ""
        yield f"{name:<5}  {facts.ago(tick.at)}{took}{by}{what}"


def worker_lines(facts: Facts) -> Iterator[str]:
    """Yield a line for each host and version: its workers with what they take, and its beats."""
    by_host: defaultdict[tuple[str, str], list[Heartbeat]] = defaultdict(list)
    for one in (*facts.workers, *facts.beats):
        by_host[one.host or "?", one.version or "?"].append(one)
    for (host, version), there in sorted(by_host.items()):
        yield f"{host} ({version}): {'; '.join(_worker_text(facts, one) for one in there)}"


def _worker_text(facts: Facts, one: Heartbeat) -> str:
    takes = ", ".join(name.rpartition(".")[2] for name in one.queues)
    taken = f", last took a message {facts.ago(one.taken)}" if one.taken else ""
    return f"{one.worker} ({takes}{taken})" if takes else one.worker


def _lately(facts: Facts) -> str:
    seconds = facts.minute.seconds if facts.minute else MINUTE
    is_minute = abs(seconds - MINUTE) <= TOLERANCE
    return "in the last minute" if is_minute else f"in the last {duration_text(timedelta(seconds=seconds))}"

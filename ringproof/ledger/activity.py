"""What the processes that send say of their work, and what the sweep, the feeder and beat last did."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ringproof.ledger.heartbeats import Heartbeat, read_heartbeats
from ringproof.ledger.record import Record, State
from ringproof.ledger.reports import Report, read_reports, write_report

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

ACTIVITY_SECONDS: Final = 5.0
"""How often a process says what it does, while it has work."""

TICKS_KEPT: Final = timedelta(days=7)
"""How long a last tick is remembered. After a weekend without workers an operator reads when the last one was."""

ID_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class UnreachableSince:
    """For how long Plivo could not be asked by one process, in how many attempts, and why the last one failed."""

    since: datetime
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process that sends has last said of its work. Counts are since it started; moments are of Redis' clock.

    A process that has no work says nothing, so an old report with `in_hand` and `sending` at 0 is as good as a new one.
    """

    process: str  # `bulk@vm/123`
    at: datetime
    id: str | None = None  # with which the fences of its claims begin
    worker: str | None = None
    in_hand: int = 0  # numbers of messages that it has taken, and has not begun
    sending: int = 0  # numbers that it has begun, and whose result is not written yet
    sent: int = 0  # codes that Plivo has taken
    last_sent: datetime | None = None
    missed_slots: int = 0
    unreachable: UnreachableSince | None = None  # None: Plivo has answered its last attempt

    @property
    def pid(self) -> int | None:
        """The process's id on its host."""
        pid = self.process.rpartition("/")[2]
        return int(pid) if pid.isascii() and pid.isdigit() else None

    @property
    def is_idle(self) -> bool:
        """Whether it had no work left."""
        return not (self.in_hand or self.sending)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends to a number: a worker, its host if its heartbeat names it, and the process there."""

    worker: str
    host: str | None
    pid: int | None


@dataclass(frozen=True, slots=True)
class Tick:
    """What a sweep, a feed or a beat has last done: when it was done, for how long it took, and by which worker."""

    name: str
    at: datetime
    ms: float | None = None
    what: str | None = None
    worker: str | None = None


def process_id(process: str) -> str:
    """Return the id of a process by its name, with which the fences of its claims begin.

    >>> process_id("bulk@vm/123")
    'f546bd8a'
    """
    import hashlib  # noqa: PLC0415  # it loads OpenSSL, and a healthcheck has no time for it

    return hashlib.sha256(process.encode()).hexdigest()[:ID_LENGTH]


def is_process_of(activity: Activity, worker: Heartbeat) -> bool:
    """Whether this process belongs to a worker that lives. One that was killed has left what it last said."""
    pids = {worker.pid, *worker.children}
    is_later = worker.started is None or activity.at >= worker.started
    return activity.worker == worker.worker and activity.pid in pids and is_later


def sender_of(ledger: "Ledger", record: Record) -> Sender | None:
    """Return the process that sends to a number at the moment; None if none does, or it has said nothing of itself.

    Raises `LedgerUnavailable`.
    """
    if record.state is not State.SENDING or not record.fence:
        return None
    activities, beats = ledger.run_all(("hgetall", ledger.keys.activity), ("hgetall", ledger.keys.heartbeats))
    process = next((one for one in read_activities(activities) if one.id == record.fence[:ID_LENGTH]), None)
    if process is None or process.worker is None:
        return None
    hosts = {one.worker: one.host for one in read_heartbeats(beats)}
    return Sender(process.worker, hosts.get(process.worker), process.pid)


def read_activities(written: Mapping[str, str]) -> list[Activity]:
    """Read the hash of the activities, by name. What is none is left out, and nothing is raised."""
    return [
        Activity(
            process=name,
            at=at,
            id=report.text("id"),
            worker=report.text("worker"),
            in_hand=report.count("in_hand") or 0,
            sending=report.count("sending") or 0,
            sent=report.count("sent") or 0,
            last_sent=report.moment("last_sent"),
            missed_slots=report.count("missed_slots") or 0,
            unreachable=_unreachable(report),
        )
        for name, at, report in read_reports(written)
    ]


def _unreachable(report: Report) -> UnreachableSince | None:
    since = report.moment("unreachable_since")
    if since is None:
        return None
    return UnreachableSince(since, report.count("unreachable_count") or 0, report.text("unreachable_why") or "")


def read_ticks(written: Mapping[str, str]) -> dict[str, Tick]:
    """Read the hash of the ticks: `sweep`, `feed` and `beat`. What is none is left out, and nothing is raised."""
    return {
        name: Tick(name, at, report.number("ms"), report.text("what"), report.text("worker"))
        for name, at, report in read_reports(written)
    }


def note_activity(ledger: "Ledger", process: str, facts: Mapping[str, Any], ago: Mapping[str, timedelta]) -> None:
    """Note what a process that sends does. Raises `LedgerUnavailable`.

    `facts` are fields of `Activity`, and `unreachable_count` and `unreachable_why`; `ago` has how long ago `last_sent`
    and `unreachable_since` were.
    """
    write_report(ledger, [ledger.keys.activity], process, {**facts, "id": process_id(process)}, ago)


def end_activity(ledger: "Ledger", process: str) -> None:
    """Forget a process that has ended, with nothing in hand. Raises `LedgerUnavailable`."""
    ledger.run("hdel", ledger.keys.activity, process)


def note_tick(ledger: "Ledger", name: str, *, took: timedelta, what: str, worker: str) -> None:
    """Note what a tick did. Raises `LedgerUnavailable`.

    note_tick(ledger, "sweep", took=timedelta(milliseconds=12), what="12 enqueue, 3 expire", worker="ticks@vm")
    """
    facts = {"ms": round(took.total_seconds() * 1000, 1), "what": what, "worker": worker}
    write_report(ledger, [ledger.keys.ticks], name, facts, forgotten_after=TICKS_KEPT)

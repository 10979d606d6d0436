"""What is so: what Redis, the workers and beat say of themselves, read at one moment."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ringproof.clock import duration_text, moment
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.activity import Activity, Tick, read_activities, read_ticks
from ringproof.ledger.control import QUEUES_SHOWN, SendingStatus, status_commands, status_of
from ringproof.ledger.gate import Gate, read_gate
from ringproof.ledger.heartbeats import BEAT, WORKER, Heartbeat, read_heartbeats
from ringproof.ledger.keys import PREFIXES, Keys
from ringproof.ledger.queues import LANES, QUEUES, SWEEP_TICK
from ringproof.ledger.row_outcomes import LISTS
from ringproof.printable import printable

if TYPE_CHECKING:
    from ringproof.ledger.gaps import Gap
    from ringproof.ledger.last_minute import LastMinute
    from ringproof.ledger.ledger import Ledger

BATCH_RUNNING: Final = "running"
"""As `batches.model.BatchState` has it, which a healthcheck has no time to load."""

LONGEST_NAME: Final = 200
"""Characters of a prefix, which any program that reaches this Redis can write."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A Celery queue: its messages, and when the number of the oldest one was accepted (None: it names none)."""

    length: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the findings are made of. Times are of Redis' clock.

    A test makes one from a `SendingStatus` alone: all other fields have the values of an installation without workers.
    """

    sending: SendingStatus
    prefix: str = "ringproof"
    redis: str = ""  # its address, without a password
    refusal: str = ""  # with which Redis refuses to write: "OOM …", "MISCONF …", "READONLY …"; empty: it writes
    info: Mapping[str, Any] = field(default_factory=dict)  # empty where Redis forbids INFO
    heartbeats: tuple[Heartbeat, ...] = ()  # within the last hour, by name
    activities: tuple[Activity, ...] = ()
    ticks: Mapping[str, Tick] = field(default_factory=dict)
    prefixes: Mapping[str, datetime] = field(default_factory=dict)
    queues: Mapping[str, Queue] = field(default_factory=dict)
    first_due: datetime | None = None  # the oldest entry of the agenda
    last_sweep: datetime | None = None
    feeding: int = 0  # running batches with rows that are not in the ledger yet
    gap: "Gap | None" = None  # of the last hour
    gate: Gate = field(default_factory=Gate)
    in_doubt: int = 0
    minute: "LastMinute | None" = None  # None: no sweep has run yet
    newer_messages: int = 0  # that were set aside for a worker of a newer version

    @property
    def now(self) -> datetime:
        """The time of Redis at which the facts were read."""
        return self.sending.now

    @property
    def workers(self) -> tuple[Heartbeat, ...]:
        """The workers that take messages now."""
        return tuple(one for one in self.heartbeats if one.kind == WORKER and one.is_alive(self.now))

    @property
    def refused(self) -> tuple[Heartbeat, ...]:
        """The workers that leave all lanes to others, because Plivo does not know their credentials."""
        if any(pause.kind == "credentials" for pause in self.sending.pauses):
            return ()
        return tuple(one for one in self.workers if one.credentials in self.sending.unknown_credentials)

    @property
    def beats(self) -> tuple[Heartbeat, ...]:
        """The beat processes that run now."""
        return tuple(one for one in self.heartbeats if one.kind == BEAT and one.is_alive(self.now))

    @property
    def agenda_lag(self) -> timedelta:
        """For how long the oldest entry of the agenda has been due."""
        return max(self.now - self.first_due, timedelta()) if self.first_due else timedelta()

    def age(self, when: datetime) -> timedelta:
        """How long ago a moment was; zero for one ahead of Redis' clock."""
        return max(self.now - when, timedelta())

    def ago(self, when: datetime) -> str:
        """Return the age of a moment as a text: `3 min ago`."""
        return f"{duration_text(self.age(when))} ago"

    def of(self, heartbeats: Sequence[Heartbeat]) -> "Facts":
        """Return the same, as if these workers were all there are."""
        return replace(self, heartbeats=tuple(heartbeats))

    def consumers(self, queue: str) -> tuple[Heartbeat, ...]:
        """Return the workers that take messages from a queue. Those that Plivo refuses take none from a lane's."""
        takers = [one for one in self.workers if queue in one.queues]
        return tuple(one for one in takers if queue not in LANES or one not in self.refused)


def read_facts(ledger: "Ledger", home: "Ledger | Facts | None" = None) -> Facts:
    """Read everything from Redis. Raises `LedgerUnavailable` if it does not answer.

    An account's workers, beats and queues show themselves in `home`: the default account's ledger, or what was read
    there. Where Redis forbids INFO, or refuses to write because it is full, everything else is read all the same.
    """
    from ringproof.ledger.gaps import read_gap  # noqa: PLC0415  # a healthcheck reads neither of these
    from ringproof.ledger.last_minute import last_minute  # noqa: PLC0415

    keys, now = ledger.keys, ledger.now()
    of_status = status_commands(ledger, now)
    own = (
        *of_status,
        ("setrange", keys.trial, 0, ""),  # Redis refuses it if it refuses to write; otherwise it writes nothing
        ("info",),
        ("zrange", keys.agenda, 0, 0, False, True),
        ("zrange", keys.feeding, 0, -1),
        ("get", keys.gap),
        ("hgetall", keys.generation),
        ("zcard", keys.in_doubt),
        ("hgetall", keys.metrics),
        ("lrange", keys.minute, 0, -1),
    )
    if isinstance(home, Facts):
        answers, processes = ledger.try_all(*own), home
    elif home is None or home is ledger:
        answers = ledger.try_all(*own, *_process_commands(keys))
        processes = _processes(answers[len(own) :], keys.prefix)
    else:
        answers = ledger.try_all(*own)
        processes = _processes(home.try_all(*_process_commands(home.keys)), home.keys.prefix)
    sending = status_of(now, answers[: len(of_status)])
    if home is not None:  # the queues are in its Redis alone
        lengths = {name: processes.queues[queue].length for name, queue in QUEUES_SHOWN.items()}
        sending = replace(sending, queues=lengths)
    trial, info, first, feeding, gap, gate, in_doubt, metrics, notes = answers[len(of_status) : len(own)]
    return replace(
        processes,
        sending=sending,
        redis=ledger.shown_url,
        refusal=trial.cause if isinstance(trial, LedgerUnavailable) else "",
        info={} if isinstance(info, LedgerUnavailable) else info,
        first_due=moment_of(first[0][1]) if _known(first, []) else None,
        feeding=_feeding(ledger, _known(feeding, [])),
        gap=read_gap(_known(gap, None)),
        gate=read_gate(_known(gate, {})),
        in_doubt=_known(in_doubt, 0),
        minute=last_minute(now, _known(metrics, {}), _known(notes, [])),
    )


def _process_commands(keys: Keys) -> list[tuple[Any, ...]]:
    """Return the commands that show the workers, the beats and the queues, for `_processes`."""
    return [
        ("hgetall", keys.heartbeats),
        ("hgetall", keys.activity),
        ("hgetall", keys.ticks),
        ("hgetall", PREFIXES),
        ("get", keys.tick(SWEEP_TICK)),
        ("llen", keys.newer_messages),
        *(("llen", name) for name in QUEUES),
        *(("lindex", name, -1) for name in QUEUES),
    ]


def _processes(answers: Sequence[Any], prefix: str) -> Facts:
    """Return the facts about the processes, from the answers to `_process_commands`, and none about the sending."""
    heartbeats, activities, ticks, prefixes, last_sweep, newer_messages, *of_queues = answers
    lengths, oldest = of_queues[: len(QUEUES)], of_queues[len(QUEUES) :]
    return Facts(
        SendingStatus(moment(0)),
        prefix=prefix,
        heartbeats=tuple(read_heartbeats(_known(heartbeats, {}))),
        activities=tuple(read_activities(_known(activities, {}))),
        ticks=read_ticks(_known(ticks, {})),
        prefixes=dict(prefixes_of(_known(prefixes, {}))),
        queues={
            name: Queue(_known(length, 0), accepted_at(_known(message, None)))
            for name, length, message in zip(QUEUES, lengths, oldest, strict=True)
        },
        last_sweep=moment_of(_known(last_sweep, None)),
        newer_messages=_known(newer_messages, 0),
    )


def _feeding(ledger: "Ledger", names: Sequence[str]) -> int:
    answers = ledger.try_all(*rows_left_commands(ledger.keys, names)) if names else []
    return batches_with_rows_left([_known(answer, None) for answer in answers])


def rows_left_commands(keys: Keys, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the commands that show which of these batches have rows that are not in the ledger yet.

    A batch stays among those that are fed until each row has its outcome, and a doubt takes a quarter of an hour.
    """
    cursors = [f"cursor:{name}" for name in LISTS]
    commands: list[tuple[str, ...]] = []
    for batch in map(keys.batch, names):
        commands.append(("hmget", batch.batch, "state", *cursors))
        commands += [("llen", key) for key in (*batch.lists, *batch.retries)]
    return commands


def batches_with_rows_left(answers: Sequence[Any]) -> int:
    """Return how many running batches have rows to feed, from the answers to `rows_left_commands`."""
    each, left = 1 + 2 * len(LISTS), 0
    for start in range(0, len(answers), each):
        (fields, *lengths) = answers[start : start + each]
        state, *cursors = fields or [None]
        fed = sum(int(cursor or 0) for cursor in cursors)
        left += state == BATCH_RUNNING and sum(length or 0 for length in lengths) > fed
    return left


def _known(answer: Any, otherwise: Any) -> Any:
    return otherwise if isinstance(answer, LedgerUnavailable) else answer


def moment_of(value: Any) -> datetime | None:
    """Return a time (ms) that Redis has as a text or a number; None if it is none."""
    try:
        return moment(int(float(value))) if value is not None else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def prefixes_of(flat: Mapping[str, str]) -> Iterator[tuple[str, datetime]]:
    """Yield the prefixes in this Redis, each with its last heartbeat."""
    for name, at in flat.items():
        if when := moment_of(at):
            yield printable(name)[:LONGEST_NAME], when


def accepted_at(message: str | None) -> datetime | None:
    """Return when the first number of a message was accepted: its request begins with the second of Redis' clock."""
    requests = sorted(_requests(message)) if message else []
    return moment(requests[0] * 1000) if requests else None


def _requests(message: str) -> Iterator[int]:
    from base64 import b64decode  # noqa: PLC0415

    try:
        args, kwargs, _ = json.loads(b64decode(json.loads(message)["body"]))
        pairs: Sequence[Any] = args[0] if args and isinstance(args[0], list) else [(None, kwargs.get("request"))]
        for pair in pairs:
            if isinstance(pair, list | tuple) and len(pair) == 2 and type(pair[1]) is int and 0 < pair[1] < 1 << 40:
                yield pair[1]
    except (ValueError, LookupError, TypeError, AttributeError):
        return

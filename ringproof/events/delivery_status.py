"""How the deliveries stand: what waits, what was given up, and how far each consumer is behind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ringproof.clock import moment
from ringproof.events.event import Event
from ringproof.events.outbox import ENTRIES_AT_ONCE, Consumer
from ringproof.ledger.ledger import Ledger

MOST_COUNTED: Final = 100_000
"""How many events behind a consumer's place are counted: more take Redis too long for a status."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the delivery to a consumer stands. Of the API's readers only `seen` is known.

    `behind` counts the events that no dispatcher has taken, up to a limit. `waiting` counts those that failed, or
    stand behind one that did. `delivered`, `given_up` and `trimmed` count since the consumer's first sign.
    """

    consumer: str
    seen: datetime | None
    behind: int
    waiting: int
    oldest: datetime | None
    failures: int
    away_until: datetime | None
    is_gone: bool
    delivered: int
    given_up: int
    trimmed: int


def taken_events(ledger: Ledger, consumer: Consumer, since: datetime | None = None) -> Iterator[Event]:
    """Yield the events that dispatchers have taken for a consumer so far, oldest first: those since then, or all."""
    end = ledger.run("hget", ledger.keys.consumers, f"{consumer}:cursor")
    place = "-"
    while end and (entries := ledger.run("xrange", ledger.keys.outbox, place, end, ENTRIES_AT_ONCE)):
        for entry_id, fields in entries:
            event = Event.unpack(entry_id, fields, ledger.keys.account)
            if since is None or event.at >= since:
                yield event
        place = f"({entries[-1][0]}"


def find_event(ledger: Ledger, entry_id: str) -> Event | None:
    """Return an event that the outbox has; None if it has it no more."""
    entries = ledger.run("xrange", ledger.keys.outbox, entry_id, entry_id)
    return Event.unpack(entry_id, entries[0][1], ledger.keys.account) if entries else None


def waiting_events(ledger: Ledger, consumer: Consumer, most: int) -> Iterator[tuple[str, int, datetime]]:
    """Yield the first event of each subject that waits: its id in the outbox, its failed tries, and its next try."""
    waiting, due, _ = ledger.keys.outbox_of(consumer)
    for subject, at in ledger.run("zrange", due, 0, most - 1, withscores=True):
        tries, _, ids = (ledger.run("hget", waiting, subject) or "0 ").partition(" ")
        if ids:
            yield ids.partition(" ")[0], int(tries), moment(int(at))


def given_up_events(ledger: Ledger, consumer: Consumer, most: int) -> Iterator[tuple[str, datetime, str]]:
    """Yield the newest events that were given up: the id in the outbox, when that was, and why."""
    _, _, given_up = ledger.keys.outbox_of(consumer)
    for line in ledger.run("lrange", given_up, 0, most - 1):
        entry_id, at, why = line.split(" ", 2)
        yield entry_id, moment(int(at)), why


def deliveries(ledger: Ledger, most_counted: int = MOST_COUNTED) -> list[Delivery]:
    """Return how the delivery to each consumer stands. Empty: nobody consumes events, and none are kept."""
    keys = ledger.keys
    fields: Mapping[str, str] = ledger.run("hgetall", keys.consumers)
    names = sorted({name.partition(":")[0] for name in fields})
    return [_delivery(ledger, name, _fields_of(fields, name), most_counted) for name in names]


def _fields_of(fields: Mapping[str, str], consumer: str) -> dict[str, str]:
    start = f"{consumer}:"
    return {name.removeprefix(start): value for name, value in fields.items() if name.startswith(start)}


def _delivery(ledger: Ledger, name: str, fields: Mapping[str, str], most_counted: int) -> Delivery:
    behind, oldest, waiting = 0, None, 0
    if cursor := fields.get("cursor"):
        behind, oldest = _behind(ledger, cursor, most_counted)
        waiting = sum(len(text.split()) - 1 for text in ledger.run("hvals", ledger.keys.outbox_of(name)[0]))
    return Delivery(
        name,
        _moment(fields.get("seen")),
        behind,
        waiting,
        oldest,
        int(fields.get("failures", 0)),
        _moment(fields.get("away_until")) if int(fields.get("failures", 0)) else None,
        "gone" in fields,
        int(fields.get("delivered", 0)),
        int(fields.get("given_up", 0)),
        int(fields.get("trimmed", 0)),
    )


def _behind(ledger: Ledger, cursor: str, most: int) -> tuple[int, datetime | None]:
    """Return how many events there are behind a place, up to `most`, and when the first of them happened."""
    count, oldest, place = 0, None, f"({cursor}"
    while count < most and (entries := ledger.run("xrange", ledger.keys.outbox, place, "+", ENTRIES_AT_ONCE)):
        oldest = oldest or Event.unpack(entries[0][0], entries[0][1], ledger.keys.account).at
        count += len(entries)
        place = f"({entries[-1][0]}"
    return count, oldest


def _moment(milliseconds: str | None) -> datetime | None:
    return moment(int(float(milliseconds))) if milliseconds else None

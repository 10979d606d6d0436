"""The outbox: the events that consumers have yet to get, and how far each consumer is.

The scripts that change numbers and batches write the events (`lua/lib/outbox.lua`), and these functions read them. A
consumer's events stay until they are delivered, given up, or too old or too many to keep.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ringproof.clock import moment
from ringproof.events.event import Event
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger

MOST_EVENTS: Final = 1_000_000
"""Events that the outbox keeps. One takes 130 bytes, so all of them take as much as 180,000 finished numbers."""

KEPT: Final = timedelta(days=7)
"""How long an event is kept at most: a receiver may be away for so long, and what was given up can be replayed."""

FORGOTTEN_AFTER: Final = timedelta(days=3)
"""After this time without a sign of a consumer nothing is kept for it any more."""

LEASE: Final = timedelta(seconds=25)
"""How long a dispatcher may work on a page. After its death nobody else delivers for so long."""

LOOK_AGAIN: Final = timedelta(seconds=5)
"""How soon it is looked again whether an account's events that are due have been delivered."""

READERS: Final = "api"
"""The consumer of `ringproof.events.reader`. Its programs keep their own places."""

ENTRIES_AT_ONCE: Final = 1000
"""Entries that one command reads, or one script removes: Redis does nothing else for a millisecond or two."""


class Consumer(StrEnum):
    """A consumer whose place Redis keeps."""

    WEBHOOKS = "webhooks"
    SIGNALS = "signals"


@dataclass(frozen=True, slots=True)
class Chain:
    """Events of one subject, a number or a batch, which are delivered in this order, one after the other.

    `waited` are those that wait since an earlier try, and `tries` counts the failed ones of the first. An event is None
    if the outbox does not have it any more. `behind` are the ids of new events that wait until `waited` are delivered.
    """

    subject: str = field(repr=False)
    tries: int = 0
    waited: tuple[tuple[str, Event | None], ...] = ()
    new: tuple[tuple[str, Event], ...] = ()
    behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventPage:
    """The next events for a consumer. `failures` deliveries in a row have failed; with `away_after` it seems away."""

    now: datetime
    failures: int
    away_after: int
    chains: tuple[Chain, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What has become of a chain: the ids that waited and are over, and the ids that wait from now on, behind the rest.

    `tries` counts the failed ones of the first event that is left; `wait` is how long that waits, None: as before.
    """

    subject: str = field(repr=False)
    over: tuple[str, ...] | list[str]
    behind: tuple[str, ...]
    tries: int
    wait: timedelta | None


@dataclass(slots=True)
class PageResult:
    """What has become of a page. `failures` counts those in a row; `rest` is how long the consumer asks to be left."""

    cursor: str | None
    chains: list[ChainResult]
    failures: int
    delivered: int = 0
    trimmed: int = 0
    given_up: list[tuple[str, str]] = field(default_factory=list)
    rest: timedelta = timedelta()
    gone: str = ""


def subscribe(ledger: Ledger, consumer: Consumer, address: str = "") -> None:
    """Have the outbox keep all events from now on for a consumer, or say that it still wants them.

    `address` is a digest: once it is another one, an end of the deliveries by a 410 is over.
    """
    ledger.run_script("outbox/subscribe", args=[consumer, address])


def has_consumers(ledger: Ledger) -> bool:
    """Whether anybody consumes events."""
    return bool(ledger.run("exists", ledger.keys.consumers))


def consumers(ledger: Ledger) -> list[Consumer]:
    """Return the consumers for which this ledger keeps events."""
    fields = set(ledger.run("hkeys", ledger.keys.consumers))
    return [consumer for consumer in Consumer if f"{consumer}:seen" in fields]


def subscribe_account(ledger: Ledger, consumer: Consumer, address: str | None) -> None:
    """Have the outbox of an account keep all events from now on for a consumer of the installation's.

    `address` is that of `subscribe`; None if this process does not know it: then a 410 goes on to count.
    """
    if address is None:
        address = ledger.run("hget", ledger.keys.consumers, f"{consumer}:gone") or ""
    subscribe(ledger, consumer, address)


def due_consumers(ledger: Ledger) -> list[Consumer]:
    """Return the consumers for which a dispatcher has something to do now."""
    due_keys = [ledger.keys.outbox_of(consumer)[1] for consumer in Consumer]
    return [Consumer(name) for name in ledger.run_script("outbox/due", due_keys, [ms(LEASE), *Consumer])]


def next_delivery(ledger: Ledger) -> timedelta | None:
    """Return after what time a consumer may get an event again that waits; None if none waits.

    New events are left out: who writes them makes work for a dispatcher, which is seen then.
    """
    keys = [ledger.keys.outbox_of(consumer)[1] for consumer in Consumer]
    (seconds, micros), *firsts = ledger.run_all(("time",), *(("zrange", key, 0, 0, False, True) for key in keys))
    due_ms = min((score for first in firsts for _, score in first), default=None)
    # A dispatcher is at work on what is due, or the receiver is away: both are looked at again.
    return None if due_ms is None else max(timedelta(milliseconds=due_ms - seconds * 1000 - micros // 1000), LOOK_AGAIN)


def new_fence() -> str:
    """Return what tells one dispatcher from all others."""
    return secrets.token_hex(8)


def take_page(ledger: Ledger, consumer: Consumer, fence: str, most: int) -> EventPage | None:
    """Take the consumer's lease, or renew it, and return the next events: of at most `most` subjects, and as many new.

    None: another dispatcher has the lease, or the consumer may get nothing now. The same events come again unless
    `save_page` says what has become of them.
    """
    waiting, due, _ = ledger.keys.outbox_of(consumer)
    answer = ledger.run_script("outbox/take_page", [waiting, due], [consumer, fence, ms(LEASE), most])
    if not answer:
        return None
    now, failures, away_after, subjects, entries = answer
    account = ledger.keys.account
    chains = {}
    for subject, tries, flat in subjects:
        pairs = zip(flat[::2], flat[1::2], strict=True)
        waited = tuple((one, _event(one, fields, account) if fields else None) for one, fields in pairs)
        chains[subject] = Chain(subject, int(tries), waited)
    new: dict[str, list[tuple[str, Event]]] = {}
    behind: dict[str, list[str]] = {}
    for entry_id, fields, subject, waits in entries:
        if waits:
            behind.setdefault(subject, []).append(entry_id)
        else:
            new.setdefault(subject, []).append((entry_id, _event(entry_id, fields, account)))
    for subject, ids in behind.items():
        known = chains.get(subject, Chain(subject))
        chains[subject] = Chain(subject, known.tries, known.waited, behind=tuple(ids))
    for subject, events in new.items():
        chains[subject] = Chain(subject, new=tuple(events))
    cursor = entries[-1][0] if entries else None
    return EventPage(moment(int(now)), int(failures), int(away_after), tuple(chains.values()), cursor)


def _event(entry_id: str, flat: Sequence[str], account: str | None) -> Event:
    return Event.unpack(entry_id, dict(zip(flat[::2], flat[1::2], strict=True)), account)


def save_page(ledger: Ledger, consumer: Consumer, fence: str, page: PageResult) -> bool:
    """Save what has become of a page. Returns False, and changes nothing, if the lease has passed to another one."""
    subjects = [
        {"subject": one.subject, "over": one.over, "behind": one.behind, "tries": one.tries}
        | ({} if one.wait is None else {"wait_ms": ms(one.wait)})
        for one in page.chains
    ]
    written = {
        "failures": page.failures,
        "rest_ms": ms(page.rest),
        "delivered": page.delivered,
        "trimmed": page.trimmed,
        "given_up": page.given_up,
        "subjects": subjects,
    }
    written |= {name: value for name, value in (("cursor", page.cursor), ("gone", page.gone)) if value}
    keys = ledger.keys.outbox_of(consumer)
    return bool(ledger.run_script("outbox/save_page", keys, [consumer, fence, json.dumps(written)]))


def release(ledger: Ledger, consumer: Consumer, fence: str) -> None:
    """Give the consumer's lease back."""
    ledger.run_script("outbox/release", args=[consumer, fence])


def trim(ledger: Ledger, most: int = MOST_EVENTS) -> int:
    """Remove at most a thousand events that are too old or too many, and forget consumers without a sign of life.

    Returns how many events it removed. Those that a consumer did not have yet are counted.
    """
    keys = [key for consumer in Consumer for key in ledger.keys.outbox_of(consumer)]
    arguments = [most, ms(KEPT), ms(FORGOTTEN_AFTER), ENTRIES_AT_ONCE, *Consumer, READERS]
    return int(ledger.run_script("outbox/trim", keys, arguments))


def replay(ledger: Ledger, consumer: Consumer, events: Sequence[Event]) -> int:
    """Have events delivered to a consumer once more; return how many. Those that wait already are not counted."""
    waiting, due, _ = ledger.keys.outbox_of(consumer)
    parts = [part for event in events for part in (event.subject, event.entry_id)]
    return int(ledger.run_script("outbox/replay", [waiting, due], parts))


def end_refusal(ledger: Ledger, consumer: Consumer) -> None:
    """Have deliveries go on at once to a consumer that has answered 410, or that seemed to be away."""
    ledger.run("hdel", ledger.keys.consumers, f"{consumer}:gone", f"{consumer}:away_until")


def erase_events(ledger: Ledger, number: str) -> int:
    """Remove a number's events, also those that a consumer has yet to get; return how many.

    No command shows a removed event any more. Redis keeps its bytes until the hundred events around it are trimmed, or
    until `free_bytes`.

    Call it when the number's record is erased: then no script writes another one.
    """
    removed, place = 0, "-"
    while entries := ledger.run("xrange", ledger.keys.outbox, place, "+", ENTRIES_AT_ONCE):
        ids = [one for one, fields in entries if Event.unpack(one, fields).phone_number == number]
        if ids:
            removed += int(ledger.run("xdel", ledger.keys.outbox, *ids))
            ledger.run("xdel", ledger.keys.outbox_copy, *ids)
        place = f"({entries[-1][0]}"
    for consumer in Consumer:
        waiting, due, _ = ledger.keys.outbox_of(consumer)
        ledger.run("hdel", waiting, number)
        ledger.run("zrem", due, number)
    return removed


def free_bytes(ledger: Ledger) -> None:
    """Free the outbox of the bytes of removed events, some events at a time."""
    while ledger.run_script("outbox/copy", [ledger.keys.outbox_copy], [ENTRIES_AT_ONCE]):
        pass

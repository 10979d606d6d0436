"""What the feeder does to batches: hands rows to the ledger, tells numbers what a person has said."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ringproof.batches.model import BatchState, Packed, unpack
from ringproof.clock import epoch_ms
from ringproof.ledger.acceptance import COLUMNS, Disposition, Requester
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, pieces
from ringproof.ledger.row_outcomes import BYTES, LISTS, OPEN, UNFED

WINDOW: Final = 1000
"""Rows that are read at once when numbers of a batch are looked for."""

PAGE_OF_BYTES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Fed:
    """A batch as the feeder needs it; `left` and `queued` by channel."""

    name: str
    state: BatchState
    heed: str
    cursors: Mapping[str, int]
    left: Mapping[str, int]
    again: Mapping[str, int]
    queued: Mapping[str, int]
    paused: Mapping[str, int]
    reverify_after: str


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows that come next: the place of each in its list, and what it is; `again`: a person wants them once more."""

    places: tuple[int, ...]
    rows: tuple[Packed, ...] = field(repr=False)
    again: bool


def fed(ledger: Ledger) -> list[Fed]:
    """Return the batches that are fed, or have to be told something: first the one whose turn is longest ago."""
    found = []
    for name in ledger.run("zrange", ledger.keys.feeding, 0, -1):
        keys = ledger.keys.batch(name)
        told, counts, *sizes = ledger.run_all(
            ("hgetall", keys.batch),
            ("hgetall", keys.counts),
            *(("llen", key) for key in (*keys.lists, *keys.retries)),
        )
        if not told:  # it expired before all of its numbers had heard that it was cancelled
            ledger.run("zrem", ledger.keys.feeding, name)
            continue
        cursors = {one: int(told.get(f"cursor:{one}", 0)) for one in LISTS}
        again = dict(zip(LISTS, sizes[len(LISTS) :], strict=True))
        found.append(
            Fed(
                name,
                BatchState(told["state"]),
                told.get("heed", ""),
                cursors,
                {one: size - cursors[one] + again[one] for one, size in zip(LISTS, sizes, strict=False)},
                again,
                {one: int(counts.get(f"{one}:queued", 0)) for one in LISTS},
                {one: int(counts.get(f"{one}:waiting:paused", 0)) for one in LISTS},
                told.get("reverify_after", ""),
            )
        )
    return found


def next_portion(ledger: Ledger, batch: Fed, channel: str, most: int) -> Portion:
    """Return the rows that come next, `most` of them at most."""
    keys, nth = ledger.keys.batch(batch.name), LISTS.index(channel)
    if batch.again[channel]:
        places = tuple(map(int, ledger.run("lrange", keys.retries[nth], 0, most - 1)))
        rows = ledger.run_all(*(("lindex", keys.lists[nth], place) for place in places))
        return Portion(places, tuple(map(unpack, rows)), again=True)
    cursor = int(ledger.run("hget", keys.batch, f"cursor:{channel}") or 0)
    rows = ledger.run("lrange", keys.lists[nth], cursor, cursor + most - 1)
    return Portion(tuple(range(cursor, cursor + len(rows))), tuple(map(unpack, rows)), again=False)


def feed(
    ledger: Ledger, batch: Fed, channel: str, portion: Portion, asleep: Mapping[str, datetime]
) -> list[tuple[Packed, int]]:
    """Hand rows to the ledger, all or none; return those that are to be sent to now, with their requests.

    Who dies before he has sent their messages, or is told nothing because Redis went away, loses none: they are
    enqueued again.
    """
    keys = ledger.keys.batch(batch.name)
    args: list[str | int] = []
    for place, row in zip(portion.places, portion.rows, strict=True):
        facts = {
            "subaccount": row.subaccount,
            **pieces("alias", row.alias),
            "reverify_after": batch.reverify_after,
        }
        fields = [part for key, value in facts.items() if value for part in (key, value)]
        until = asleep.get(row.number)
        args += [place, row.number, row.country, epoch_ms(until), len(fields), *fields]
    answers = ledger.run_script(
        "batch/feed",
        [keys.batch, keys.retries[LISTS.index(channel)], ledger.keys.feeding],
        [
            batch.name,
            channel,
            COLUMNS[Requester.ROSTER],
            ms(ledger.durations.request(Lane.BULK)),
            int(portion.again),
            *args,
        ],
    )
    return [
        (row, int(request))
        for row, (disposition, request) in zip(portion.rows, answers, strict=False)
        if disposition == Disposition.ACCEPTED and row.number not in asleep
    ]


def heed(ledger: Ledger, batch: Fed) -> int:
    """Tell numbers of a batch that it goes on, or is cancelled; of a page of rows, or of the last ones.

    Returns how many it was news to. Repeated from the same row if whoever does it dies.
    """
    keys = ledger.keys.batch(batch.name)
    channel, place, since = batch.heed.split(":")
    letters = BYTES["waiting:batch_paused"]
    if batch.state is BatchState.CANCELLED:
        letters = "".join(set(OPEN) - {UNFED, BYTES["sending"], BYTES["in_doubt"], BYTES["in_doubt:worker_lost"]})
    start, told = int(place), 0
    bytes_ = ledger.run("getrange", keys.bytes[LISTS.index(channel)], start, start + PAGE_OF_BYTES - 1)
    for portion in found(ledger, batch.name, channel, start, bytes_, letters):
        told += int(
            ledger.run_script(
                "batch/notify_rows",
                [ledger.keys.record(row.number) for _, row, _ in portion],
                [batch.name, *(part for at, row, _ in portion for part in (row.number, f"{channel}:{at}"))],
            )
        )
    if len(bytes_) == PAGE_OF_BYTES:
        left = f"{channel}:{start + PAGE_OF_BYTES}:{since}"
    else:
        left = "" if channel == LISTS[-1] else f"{LISTS[LISTS.index(channel) + 1]}:0:{since}"
    ledger.run_script("batch/save_notified", [keys.batch, ledger.keys.feeding], [batch.name, batch.heed, left])
    return told


def found(
    ledger: Ledger, name: str, channel: str, start: int, bytes_: str, letters: str
) -> Iterator[list[tuple[int, Packed, str]]]:
    """Give the rows, from `start` on, whose byte is one of these letters: place, row and byte, many at a time."""
    key = ledger.keys.batch(name).lists[LISTS.index(channel)]
    wanted = re.compile(f"[{re.escape(letters)}]")
    at = 0
    while hit := wanted.search(bytes_, at):
        at = hit.start()
        rows = ledger.run("lrange", key, start + at, start + at + WINDOW - 1)
        yield [
            (start + at + nth, row, byte)
            for nth, (row, byte) in enumerate(zip(map(unpack, rows), bytes_[at : at + WINDOW], strict=False))
            if byte in letters and row.number  # of an erased one nobody is left
        ]
        at += WINDOW


def completed(ledger: Ledger) -> Iterator[str]:
    """Give the batches that were completed and that nobody has told of; each is told of when the next is asked for."""
    key = ledger.keys.completed
    for name in ledger.run("lrange", key, 0, -1):
        yield name
        ledger.run("lrem", key, 1, name)


def ahead(batches: list[Fed], channel: str, *, paused: bool) -> int:
    """How many rows are with the ledger and not begun: what is queued, and if all wait for one, what is paused."""
    counts: Counter[str] = Counter()
    for batch in batches:
        counts["queued"] += batch.queued[channel]
        counts["paused"] += batch.paused[channel]
    return counts["queued"] + (counts["paused"] if paused else 0)

"""Feed batches: hand their rows to the ledger, and notify their numbers of a resume or a cancel."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ringproof.batches.model import BatchState, StoredRow, unpack_row
from ringproof.batches.rows import BYTES_AT_ONCE, rows_with_bytes
from ringproof.clock import epoch_ms
from ringproof.ledger.acceptance import COLUMNS, Disposition, RequestKind
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, pieces
from ringproof.ledger.row_outcomes import BYTES, LISTS, UNBEGUN_BYTES
from ringproof.phone.number import is_personal


@dataclass(frozen=True, slots=True)
class FeedingBatch:
    """A batch as the feeder needs it. `left`, `retries`, `queued` and `paused` count its rows by channel.

    `left` are the rows to feed, with those of `retries`. `notify_from` is the row from which on the numbers have not
    been notified of a resume or a cancel, as `sms:2000:MICROSECONDS`; it is empty if all have been.
    """

    name: str
    state: BatchState
    notify_from: str
    left: Mapping[str, int]
    retries: Mapping[str, int]
    queued: Mapping[str, int]
    paused: Mapping[str, int]
    reverify_after: str


@dataclass(frozen=True, slots=True)
class Page:
    """The next rows of a list, with their places in it; `is_retry` if an operator has them fed once more."""

    places: tuple[int, ...]
    rows: tuple[StoredRow, ...] = field(repr=False)
    is_retry: bool


def is_anything_to_feed(ledger: Ledger) -> bool:
    """Whether the feeder has something to do: a batch with rows to feed or numbers to notify, or one to log."""
    return bool(ledger.run("exists", ledger.keys.feeding, ledger.keys.completed))


def batches_to_feed(ledger: Ledger) -> list[FeedingBatch]:
    """Return the batches with rows to feed or numbers to notify, the one first that was fed longest ago."""
    batches = []
    for name in ledger.run("zrange", ledger.keys.feeding, 0, -1):
        keys = ledger.keys.batch(name)
        fields, counts, *lengths = ledger.run_all(
            ("hgetall", keys.batch),
            ("hgetall", keys.counts),
            *(("llen", key) for key in (*keys.lists, *keys.retries)),
        )
        if not fields:  # a cancelled batch that expired before all of its numbers were notified
            ledger.run("zrem", ledger.keys.feeding, name)
            continue
        state = BatchState.of(fields)
        if state is BatchState.NEWER_VERSION:  # a newer worker feeds it
            continue
        rows = dict(zip(LISTS, lengths[: len(LISTS)], strict=True))
        retries = dict(zip(LISTS, lengths[len(LISTS) :], strict=True))
        batches.append(
            FeedingBatch(
                name,
                state,
                fields.get("notify_from", ""),
                {
                    channel: rows[channel] - int(fields.get(f"cursor:{channel}", 0)) + retries[channel]
                    for channel in LISTS
                },
                retries,
                {channel: int(counts.get(f"{channel}:queued", 0)) for channel in LISTS},
                {channel: int(counts.get(f"{channel}:waiting:paused", 0)) for channel in LISTS},
                fields.get("reverify_after", ""),
            )
        )
    return batches


def next_page(ledger: Ledger, batch: FeedingBatch, channel: str, most: int) -> Page:
    """Return the next rows of a batch, at most `most`: first those of a retry."""
    keys, nth = ledger.keys.batch(batch.name), LISTS.index(channel)
    if batch.retries[channel]:
        places = tuple(map(int, ledger.run("lrange", keys.retries[nth], 0, most - 1)))
        rows = ledger.run_all(*(("lindex", keys.lists[nth], place) for place in places))
        return Page(places, tuple(map(unpack_row, rows)), is_retry=True)
    cursor = int(ledger.run("hget", keys.batch, f"cursor:{channel}") or 0)
    rows = ledger.run("lrange", keys.lists[nth], cursor, cursor + most - 1)
    return Page(tuple(range(cursor, cursor + len(rows))), tuple(map(unpack_row, rows)), is_retry=False)


def feed_page(
    ledger: Ledger, batch: FeedingBatch, channel: str, page: Page, quiet_until: Mapping[str, datetime]
) -> list[tuple[StoredRow, int]]:
    """Hand a page of rows to the ledger, all or none; return the accepted rows to send now, with their requests.

    `quiet_until` has the numbers that are in their quiet hours, and when these end: their requests wait until then. So
    do the requests of a destination that Plivo refuses.
    If the process dies before it sends the messages, nothing is lost: the sweep sends them again.
    """
    keys = ledger.keys.batch(batch.name)
    described = []
    for place, row in zip(page.places, page.rows, strict=True):
        personal = is_personal(row.number)
        request = {
            "personal": "1" if personal else "",
            "subaccount": row.subaccount,
            **pieces("alias", row.alias),
            "reverify_after": batch.reverify_after,
        }
        described.append(
            {
                "place": str(place),
                "number": row.number,
                "country": row.country,
                "is_personal": personal,
                "asleep_until": epoch_ms(quiet_until.get(row.number)),
                "fields": [part for name, value in request.items() if value for part in (name, value)],
            }
        )
    answers = ledger.run_script(
        "batch/feed",
        [keys.batch, keys.retries[LISTS.index(channel)], ledger.keys.feeding],
        [
            batch.name,
            channel,
            COLUMNS[RequestKind.ROSTER],
            ms(ledger.durations.request(Lane.BULK)),
            int(page.is_retry),
            json.dumps(described),
        ],
    )
    return [
        (row, int(request_number))
        for row, (disposition, request_number, waits) in zip(page.rows, answers, strict=False)
        if disposition == Disposition.ACCEPTED and not waits
    ]


def notify_rows(ledger: Ledger, batch: FeedingBatch) -> int:
    """Apply a resume or a cancel to the next 100,000 rows of a batch; return how many records that changed.

    If the process dies in between, the next tick begins with the same row.
    """
    keys = ledger.keys.batch(batch.name)
    channel, place, since = batch.notify_from.split(":")
    wanted = BYTES["waiting:batch_paused"]
    if batch.state is BatchState.CANCELLED:
        wanted = UNBEGUN_BYTES
    start, notified = int(place), 0
    row_bytes = ledger.run("getrange", keys.bytes[LISTS.index(channel)], start, start + BYTES_AT_ONCE - 1)
    for rows in rows_with_bytes(ledger, batch.name, channel, start, row_bytes, wanted):
        records = [ledger.keys.record(row.number) for _, row, _ in rows]
        numbers = [part for place, row, _ in rows for part in (row.number, f"{channel}:{place}")]
        notified += int(ledger.run_script("batch/notify_rows", records, [batch.name, *numbers]))
    if len(row_bytes) == BYTES_AT_ONCE:
        notify_from = f"{channel}:{start + BYTES_AT_ONCE}:{since}"
    else:
        notify_from = "" if channel == LISTS[-1] else f"{LISTS[LISTS.index(channel) + 1]}:0:{since}"
    ledger.run_script(
        "batch/save_notified", [keys.batch, ledger.keys.feeding], [batch.name, batch.notify_from, notify_from]
    )
    return notified


def newly_completed(ledger: Ledger) -> Iterator[str]:
    """Yield the completed batches that are not in the log yet; each is removed when the next one is asked for."""
    key = ledger.keys.completed
    for name in ledger.run("lrange", key, 0, -1):
        yield name
        ledger.run("lrem", key, 1, name)


def rows_ahead(batches: list[FeedingBatch], channel: str, *, with_paused: bool) -> int:
    """Return how many fed rows have not begun: the queued ones, and with `with_paused` those that a pause holds."""
    return sum(batch.queued[channel] + (batch.paused[channel] if with_paused else 0) for batch in batches)

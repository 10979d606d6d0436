"""What is known of a batch: its counts, as the scripts keep them and as its row bytes tell, its rate, what holds it."""

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ringproof.batches.model import Batch, BatchState, check_name, unpack
from ringproof.clock import moment
from ringproof.ledger.control import SendingStatus, sending_status
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, Record
from ringproof.ledger.row_outcomes import LISTS, OPEN, OUTCOMES, PENDING, UNFED
from ringproof.policy import Rate

RATE_SECONDS: Final = 10.0
"""Over how long the codes sent lately are weighed: RATE_MS of `ringproof/ledger/lua/lib/batch_rows.lua`."""

WINDOW: Final = 10_000
"""Rows that a recount reads at once."""

HOLDS: Final[Mapping[str, str]] = {
    "waiting:quiet_hours": "wait for the morning where they are",
    "waiting:unreachable": "wait because Plivo could not be reached",
    "waiting:cap": "wait because their numbers got as many codes as they may",
    "waiting:cooldown": "wait because another code was sent a short while ago",
    "in_doubt": "are in doubt: a code may be out, and nothing tells",
    "in_doubt:worker_lost": "are in doubt, for their worker died: a code may be out, and nothing tells",
}
"""What rows wait for when nothing else of the batch goes on."""


def read(ledger: Ledger, name: str) -> Batch | None:
    """Return what is known of a batch, or None if there is none; takes as long for a million rows as for one."""
    told, counts, countries, *sizes = ledger.run_all(*_kept(ledger, check_name(name)))
    if not told:
        return None
    batch = _batch(name, told, counts, countries, sum(sizes))
    if batch.state not in {BatchState.RUNNING, BatchState.PAUSED}:
        return batch
    found = sending_status(ledger)
    holds = _holds(batch, found)
    return replace(
        batch,
        rate_per_second=_rate(told, found.now),
        time_left=None if holds else _time_left(ledger, counts, sizes, found),
        holds=holds,
    )


def audit(ledger: Ledger, name: str) -> tuple[Batch, Batch] | None:
    """Return a batch as it was counted change by change, and as its row bytes tell, of one moment: they must agree.

    Reads all rows, and a byte of each at once. Without the rate, the time left and what holds it back.
    """
    keys = ledger.keys.batch(check_name(name))
    told, counts, countries, *rest = ledger.run_all(
        *_kept(ledger, name), *(("get", key) for key in keys.bytes), of_one_moment=True
    )
    if not told:
        return None
    sizes, bytes_of_lists = rest[: len(LISTS)], rest[len(LISTS) :]
    batch = _batch(name, told, counts, countries, sum(sizes))
    outcomes: Counter[str] = Counter()
    by_country: dict[str, Counter[str]] = {}
    open_rows = 0
    for list_, size, bytes_ in zip(keys.lists, sizes, bytes_of_lists, strict=True):
        letters = (bytes_ or "").ljust(size, UNFED)
        for start in range(0, size, WINDOW):
            rows = ledger.run("lrange", list_, start, min(start + WINDOW, size) - 1)
            for row, byte in zip(rows, letters[start : start + WINDOW], strict=True):
                outcome = OUTCOMES[byte]
                outcomes[outcome] += 1
                words = by_country.setdefault(unpack(row).country, Counter())
                words["rows"] += 1
                if byte != UNFED:
                    words[outcome.partition(":")[0]] += 1
                open_rows += byte in OPEN
    counted = replace(
        batch,
        rows=outcomes.total(),
        fed=outcomes.total() - outcomes[PENDING],
        open=open_rows,
        outcomes=_some(outcomes),
        countries={country: _some(words) for country, words in sorted(by_country.items())},
    )
    return batch, counted


def _kept(ledger: Ledger, name: str) -> Iterator[tuple[str, ...]]:
    """Give the commands that read what is counted, and how many rows there are."""
    keys = ledger.keys.batch(name)
    yield from (("hgetall", key) for key in (keys.batch, keys.counts, keys.countries))
    yield from (("llen", key) for key in keys.lists)


def _batch(
    name: str, told: Mapping[str, str], counts: Mapping[str, str], countries: Mapping[str, str], rows: int
) -> Batch:
    outcomes: Counter[str] = Counter()
    for field, count in counts.items():
        outcomes[field.partition(":")[2]] += int(count)
    fed = outcomes.total()
    outcomes[PENDING] = rows - fed
    by_country: dict[str, Counter[str]] = {}
    for field, count in countries.items():
        country, _, word = field.partition(":")
        by_country.setdefault(country, Counter())[word] += int(count)
    state = BatchState(told["state"])
    return Batch(
        name=name,
        state=state,
        created_at=moment(int(told["created_at"])),
        completed_at=moment(int(told["completed_at"])) if "completed_at" in told else None,
        rows=rows,
        fed=fed,
        open=rows if state is BatchState.IMPORTING else int(told["open"]),
        outcomes=_some(outcomes),
        countries={country: _some(words) for country, words in sorted(by_country.items())},
        rate_per_second=None,
        time_left=None,
        holds="",
        source=told.get("source", ""),
    )


def is_cancelled(ledger: Ledger, record: Record) -> bool:
    """Whether a record goes by the word of a batch that is cancelled, and so are all that have joined it."""
    if record.batch is None or record.lane is not Lane.BULK:
        return False
    batches = (record.batch, *record.joined_by)
    states = ledger.run_all(*(("hget", ledger.keys.batch(name).batch, "state") for name in batches))
    return all(state == BatchState.CANCELLED for state in states)


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {what: count for what, count in sorted(counts.items()) if count}


def _rate(told: Mapping[str, str], now: datetime) -> float | None:
    if "sent_at" not in told:
        return None
    last, since = moment(int(told["sent_at"])), moment(int(told["sent_since"]))
    weight = float(told["sent_weight"]) * math.exp((last - now).total_seconds() / RATE_SECONDS)
    age = max(1.0, (now - since).total_seconds())
    return weight / RATE_SECONDS / (1 - math.exp(-age / RATE_SECONDS))


def _time_left(ledger: Ledger, counts: Mapping[str, str], sizes: list[int], found: SendingStatus) -> timedelta:
    """What is not fed and what is queued, at the pace of each channel, in turns with the other batches."""
    others = max(1, int(ledger.run("zcard", ledger.keys.feeding)))
    seconds = 0.0
    for channel, size, rate in zip(LISTS, sizes, (found.rate, found.call_rate), strict=True):
        fed = sum(int(count) for field, count in counts.items() if field.startswith(f"{channel}:"))
        left = size - fed + int(counts.get(f"{channel}:queued", 0))
        seconds = max(seconds, left * others * Rate.parse(rate).spacing_us / 1e6 / found.share)
    return timedelta(seconds=round(seconds))


def _holds(batch: Batch, found: SendingStatus) -> str:
    if batch.state is BatchState.PAUSED:
        return f"a person paused it, until ringproof batch resume {shlex.quote(batch.name)}"
    for pause in found.pauses:
        if pause.lane in {None, Lane.BULK}:
            lane = f" --lane {pause.lane}" if pause.lane else ""
            then = "" if pause.next_look else f"; to go on: ringproof resume{lane}"
            return f"{pause.lane or 'sending'} is paused: {pause.why}{then}"
    if found.closed_until:
        return f"Plivo said 429: nothing is sent before {found.closed_until:%H:%M:%S %Z}"
    going_on = sum(batch.outcomes.get(one, 0) for one in (PENDING, "queued", "sending"))
    waiting = {what: count for what, count in batch.outcomes.items() if HOLDS.get(what)}
    if going_on or not waiting:
        return ""
    most = max(waiting, key=lambda what: waiting[what])
    return f"{waiting[most]:,} rows {HOLDS[most]}"

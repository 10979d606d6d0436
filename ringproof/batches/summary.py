"""Summarize a batch: its counts by outcome and country, its rate, the time left, and what holds it back."""

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from ringproof.batches.costs import Costs
from ringproof.batches.model import Batch, BatchState, check_name, unpack_row
from ringproof.clock import moment
from ringproof.errors import InvalidRequest, UnknownBatch
from ringproof.ledger.control import SendingStatus, sending_status
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.ledger.row_outcomes import LISTS, PENDING, RATE_SECONDS, UNFED, UNFINISHED_BYTES, outcome_of
from ringproof.policy import Rate

ROWS_AT_ONCE: Final = 10_000
"""Rows that a recount reads with one command."""

REFUSED: Final = "waiting:refused"

NEWER_VERSION: Final = "a newer version of Ringproof runs this batch; this version leaves it to a newer worker"
"""What holds a batch back whose state this version does not know."""

WAITS_FOR: Final[Mapping[str, str]] = {
    "waiting:quiet_hours": "wait for the morning where the numbers are",
    "waiting:unreachable": "wait because Plivo could not be reached",
    "waiting:cap": "wait because their numbers have reached a cap",
    REFUSED: "wait because Plivo refused them; ringproof status says more",
    "waiting:cooldown": "wait because their numbers got another code a short while ago",
    "in_doubt": "are in doubt: Plivo may have sent a code, but did not say so",
    "in_doubt:worker_lost": "are in doubt because their worker died: Plivo may have sent a code",
}
"""What rows wait for, by their outcome, if nothing else of the batch goes on."""


def batch_names(ledger: Ledger) -> list[str]:
    """Return the names of all batches, newest first. An ended batch is kept as long as its records are."""
    names: list[str] = ledger.run_script("batch/names", [ledger.keys.batches])
    return names


class Unfinished(NamedTuple):
    """The batches that run or are paused: their names by state, and the summaries of the newest."""

    names: Mapping[BatchState, list[str]]
    newest: list[Batch]


def unfinished_batches(ledger: Ledger, most: int, sending: SendingStatus | None = None) -> Unfinished:
    """Return the batches that run or are paused, with at most so many summaries.

    `sending` is the state of the sending if the caller has read it already.
    """
    known = batch_names(ledger)
    states = ledger.run_all(*(("hget", ledger.keys.batch(name).batch, "state") for name in known))
    names: dict[BatchState, list[str]] = {BatchState.RUNNING: [], BatchState.PAUSED: []}
    for name, state in zip(known, states, strict=True):
        if state in names:
            names[BatchState(state)].append(name)
    unfinished = set().union(*names.values())
    shown = [name for name in known if name in unfinished][:most]
    return Unfinished(names, batch_summaries(ledger, shown, sending))


def batch_summary(ledger: Ledger, name: str) -> Batch | None:
    """Return the summary of a batch, or None if there is no such batch. Takes the same time for any number of rows.

    >>> batch_summary(ledger, "spring").outcomes
    {'code_sent': 36, 'failed:rejected': 2, 'queued': 2}
    """
    return next(iter(batch_summaries(ledger, [check_name(name)])), None)


def existing_batch(ledger: Ledger, name: str) -> Batch:
    """Return the summary of a batch. Raises `UnknownBatch` if there is none, also for a name that none can have."""
    try:
        batch = batch_summary(ledger, name)
    except InvalidRequest:
        batch = None
    if batch is None:
        raise UnknownBatch(name)
    return batch


def batch_summaries(ledger: Ledger, names: Sequence[str], sending: SendingStatus | None = None) -> list[Batch]:
    """Return the summaries of batches of these names, in their order; a name without a batch is left out.

    `sending` is the state of the sending if the caller has read it already. Raises `LedgerUnavailable`.
    """
    feeding, *read = ledger.run_all(
        ("zcard", ledger.keys.feeding), *(command for name in names for command in _count_commands(ledger, name))
    )
    answers = iter(read)
    found = {name: list(islice(answers, 3 + len(LISTS))) for name in names}
    costs = Costs(ledger, {name: fields for name, (fields, *_) in found.items()})
    batches = []
    for name in names:
        fields, counts, countries, *lengths = found[name]
        if not fields:
            continue
        batch = _counted(name, fields, counts, countries, sum(lengths))
        batch = replace(batch, cost=costs.of(batch))
        if batch.state in {BatchState.RUNNING, BatchState.PAUSED}:
            sending = sending or sending_status(ledger)
            held_back_by = _held_back_by(batch, sending, for_budget=fields.get("paused_for") == "budget")
            batch = replace(
                batch,
                rate_per_second=_rate(fields, sending.now),
                time_left=None if held_back_by else _time_left(feeding, counts, lengths, sending),
                held_back_by=held_back_by or _refused_rows(batch, sending),
            )
        elif batch.state is BatchState.NEWER_VERSION:
            batch = replace(batch, held_back_by=NEWER_VERSION)
        batches.append(batch)
    return batches


def recount(ledger: Ledger, name: str) -> tuple[Batch, Batch] | None:
    """Return the kept counts of a batch and a recount of its row bytes, both of one moment: they must be equal.

    Reads all rows. The rate, the time left and what holds the batch back are left out. None if there is no such batch.
    """
    keys = ledger.keys.batch(check_name(name))
    fields, counts, countries, *rest = ledger.run_all(
        *_count_commands(ledger, name), *(("get", key) for key in keys.bytes), of_one_moment=True
    )
    if not fields:
        return None
    lengths, bytes_of_lists = rest[: len(LISTS)], rest[len(LISTS) :]
    kept = _counted(name, fields, counts, countries, sum(lengths))
    outcomes: Counter[str] = Counter()
    by_country: dict[str, Counter[str]] = {}
    unfinished = 0
    for list_key, length, list_bytes in zip(keys.lists, lengths, bytes_of_lists, strict=True):
        row_bytes = (list_bytes or "").ljust(length, UNFED)
        for start in range(0, length, ROWS_AT_ONCE):
            rows = ledger.run("lrange", list_key, start, min(start + ROWS_AT_ONCE, length) - 1)
            for row, byte in zip(rows, row_bytes[start : start + ROWS_AT_ONCE], strict=True):
                outcome = outcome_of(byte)
                outcomes[outcome] += 1
                of_country = by_country.setdefault(unpack_row(row).country, Counter())
                of_country["rows"] += 1
                if byte != UNFED:
                    of_country[outcome.partition(":")[0]] += 1
                unfinished += byte in UNFINISHED_BYTES
    recounted = replace(
        kept,
        rows=outcomes.total(),
        fed=outcomes.total() - outcomes[PENDING],
        unfinished=unfinished,
        outcomes=_without_zeros(outcomes),
        countries={country: _without_zeros(of_country) for country, of_country in sorted(by_country.items())},
    )
    return kept, recounted


def _count_commands(ledger: Ledger, name: str) -> Iterator[tuple[str, ...]]:
    """Yield the commands that read a batch's counts and the lengths of its lists."""
    keys = ledger.keys.batch(name)
    yield from (("hgetall", key) for key in (keys.batch, keys.counts, keys.countries))
    yield from (("llen", key) for key in keys.lists)


def _counted(
    name: str, fields: Mapping[str, str], counts: Mapping[str, str], countries: Mapping[str, str], rows: int
) -> Batch:
    outcomes: Counter[str] = Counter()
    for field, count in counts.items():
        outcomes[field.partition(":")[2]] += int(count)
    fed = outcomes.total()
    outcomes[PENDING] = rows - fed
    by_country: dict[str, Counter[str]] = {}
    for field, count in countries.items():
        country, _, outcome = field.partition(":")
        by_country.setdefault(country, Counter())[outcome] += int(count)
    state = BatchState.of(fields)
    return Batch(
        name=name,
        state=state,
        created_at=moment(int(fields["created_at"])),
        completed_at=moment(int(fields["completed_at"])) if "completed_at" in fields else None,
        rows=rows,
        fed=fed,
        unfinished=rows if state is BatchState.IMPORTING else int(fields.get("open", rows)),
        outcomes=_without_zeros(outcomes),
        countries={country: _without_zeros(of_country) for country, of_country in sorted(by_country.items())},
        rate_per_second=None,
        time_left=None,
        held_back_by="",
        source=fields.get("source", ""),
        resent_as=fields.get("resent_as", ""),
    )


def _without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    return {outcome: count for outcome, count in sorted(counts.items()) if count}


def _rate(fields: Mapping[str, str], now: datetime) -> float | None:
    """Return how many codes a second were sent lately: a mean whose weights fade over ten seconds."""
    if "sent_at" not in fields:
        return None
    last, since = moment(int(fields["sent_at"])), moment(int(fields["sent_since"]))
    weight = float(fields["sent_weight"]) * math.exp((last - now).total_seconds() / RATE_SECONDS)
    age = max(1.0, (now - since).total_seconds())
    return weight / RATE_SECONDS / (1 - math.exp(-age / RATE_SECONDS))


def _time_left(feeding: int, counts: Mapping[str, str], lengths: list[int], sending: SendingStatus) -> timedelta:
    """Return how long the pending and queued rows take at the pace of each channel, shared by the `feeding` batches."""
    batches = max(1, feeding)
    seconds = 0.0
    for channel, length, rate in zip(LISTS, lengths, (sending.rate, sending.call_rate), strict=True):
        fed = sum(int(count) for field, count in counts.items() if field.startswith(f"{channel}:"))
        left = length - fed + int(counts.get(f"{channel}:queued", 0))
        seconds = max(seconds, left * batches * Rate.parse(rate).spacing_us / 1e6 / sending.share)
    return timedelta(seconds=round(seconds))


def _held_back_by(batch: Batch, sending: SendingStatus, *, for_budget: bool) -> str:
    if batch.state is BatchState.PAUSED:
        return _paused_by(batch, for_budget=for_budget)
    for pause in sending.pauses:
        if pause.lane in {None, Lane.BULK}:
            lane = f" --lane {pause.lane}" if pause.lane else ""
            remedy = "" if pause.next_look else f"; to go on: ringproof resume{lane}"
            return f"{pause.lane or 'sending'} is paused: {pause.why}{remedy}"
    if sending.closed_until:
        return f"Plivo answered 429: nothing is sent before {sending.closed_until:%H:%M:%S %Z}"
    going_on = sum(batch.outcomes.get(outcome, 0) for outcome in (PENDING, "queued", "sending"))
    waiting = {outcome: count for outcome, count in batch.outcomes.items() if outcome in WAITS_FOR}
    if going_on or not waiting:
        return ""
    most = max(waiting, key=lambda outcome: waiting[outcome])
    if most == REFUSED and (refused := _refused_rows(batch, sending)):
        return refused
    return f"{waiting[most]:,} rows {WAITS_FOR[most]}"


def _paused_by(batch: Batch, *, for_budget: bool) -> str:
    resume = f"ringproof batch resume {shlex.quote(batch.name)}"
    if for_budget and batch.cost:
        return f"its budget does not pay for another code ({batch.cost}); to go on: {resume} --budget AMOUNT"
    return f"an operator paused the batch; to go on: {resume}"


def _refused_rows(batch: Batch, sending: SendingStatus) -> str:
    """Return which countries of the batch Plivo refuses, and what to do; '' if none of them has waiting rows."""
    names = [one.name for one in sending.refused_destinations if batch.countries.get(one.name, {}).get("waiting")]
    rows = batch.outcomes.get(REFUSED, 0)
    if not names or not rows:
        return ""
    return (
        f"{rows:,} rows wait, until their deadline, because Plivo refuses {', '.join(names)} (403); to send there: "
        "enable it in Plivo's console (Geo Permissions), then ringproof resume"
    )

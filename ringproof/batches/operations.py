"""Batches: rosters whose numbers are asked for at the pace, in turns; what a person and a program do with them."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final

from ringproof import runtime
from ringproof.batches.feeding import PAGE_OF_BYTES, found
from ringproof.batches.importing import Importing, discard, open_batch
from ringproof.batches.model import Batch, BatchRow, BatchState, check_name, unpack
from ringproof.batches.summary import audit, read
from ringproof.clock import moment
from ringproof.errors import InvalidRoster, UnknownBatch
from ringproof.ledger.acceptance import Disposition
from ringproof.ledger.keys import BatchKeys
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Reason
from ringproof.ledger.row_outcomes import BYTES, LISTS, OUTCOMES, UNFED
from ringproof.rosters.roster import Given, Roster, roster_of
from ringproof.rosters.row import Reject, Row

__all__ = [
    "Batch",
    "BatchRow",
    "BatchState",
    "Importing",
    "audit",
    "cancel",
    "import_roster",
    "names",
    "open_batch",
    "pause",
    "read",
    "resume",
    "retry",
    "rows",
]

WINDOW: Final = 1000
"""Rows of an export that are read at once."""

_log = logging.getLogger(__name__)


def import_roster(
    rows: Iterable[object] | Roster,
    batch: str,
    *,
    paused: bool = False,
    mapping: Given | None = None,
    region: str | None = None,
    channel: str = "sms",
    reverify_after_days: int | None = None,
    rejected: Callable[[Reject], object] | None = None,
) -> Batch:
    """Have a code sent to each number of `rows`, at the pace: numbers as text, or mappings such as `{"phone": …}`.

    Nothing is sent before the last row is in. `rejected` is called with each row that cannot be sent to; without it
    their number is logged. Called again after it was cut short, with the same rows, it goes on where it was. Raises
    `InvalidRoster` or `InvalidRequest` as `open_roster` does, `InvalidRoster` if all rows are rejected, too,
    `BatchExists`, `BatchBusy` and `LedgerUnavailable`.
    """
    roster = rows if isinstance(rows, Roster) else roster_of(rows, mapping=mapping, region=region, channel=channel)
    with open_batch(runtime.ledger(), batch, fingerprint=roster.fingerprint, source=roster.name) as importing:
        for row in roster:
            if not isinstance(row, Row):
                if rejected:
                    rejected(row)
            else:
                importing.add(row)
        told = ", ".join(f"{count} {reason}" for reason, count in roster.reasons.most_common())
        if not roster.accepted:
            importing.abandon()
            raise InvalidRoster(roster.name, f"all rows are rejected ({told})", "correct them")
        if roster.reasons and not rejected:
            _log.warning("batch %s: %d rows are not in it: %s", batch, roster.reasons.total(), told)
        return importing.finish(paused=paused, reverify_after_days=reverify_after_days)


def names(ledger: Ledger) -> list[str]:
    """Return the names of all batches, newest first. One that has ended is kept as long as its records are."""
    told: list[str] = ledger.run_script("batch/names", [ledger.keys.batches])
    return told


def pause(ledger: Ledger, name: str) -> Batch:
    """Have nothing begun any more for this batch, within a second. Raises `UnknownBatch`."""
    return _steer(ledger, name, "pause")


def resume(ledger: Ledger, name: str) -> Batch:
    """Let a paused batch go on, within seconds. Raises `UnknownBatch`."""
    return _steer(ledger, name, "resume")


def cancel(ledger: Ledger, name: str) -> Batch:
    """Have nothing begun for this batch any more, ever; no doubt of its is sent again.

    Of one whose import was cut short nothing stays. Raises `UnknownBatch`, and `BatchBusy` while it is imported.
    """
    found = read(ledger, name)
    if found and found.state is BatchState.IMPORTING and discard(ledger, name):
        return replace(found, state=BatchState.CANCELLED)
    return _steer(ledger, name, "cancel")


def _steer(ledger: Ledger, name: str, word: str) -> Batch:
    keys = ledger.keys.batch(check_name(name))
    by_list = zip(keys.lists, keys.bytes, keys.retries, strict=True)
    own = [keys.batch, ledger.keys.feeding, *(key for of_one in by_list for key in of_one), keys.counts, keys.countries]
    batch = read(ledger, name) if ledger.run_script("batch/change_state", own, [name, word, *LISTS]) else None
    if batch is None:
        raise UnknownBatch(name)
    return batch


def retry(ledger: Ledger, name: str, reasons: Collection[str]) -> int:
    """Have rows that failed for one of these reasons asked for anew, as a roster asks; return how many.

    `capped` are also those that a limit kept from being asked for; what waits has not failed.
    A completed batch is running again, and completes again. Killed in the midst of it, it can be repeated. None of a
    batch that is cancelled or being imported. Raises `UnknownBatch`.
    """
    keys = _keys_of(ledger, name)
    outcomes = {f"failed:{reason}" for reason in reasons}
    if Reason.CAPPED in reasons:
        outcomes |= {outcome for outcome in BYTES if outcome.partition(":")[0] == Disposition.CAPPED}
    letters = "".join(BYTES[outcome] for outcome in sorted(outcomes) if outcome in BYTES)
    again = 0
    for nth, channel in enumerate(LISTS):
        start = 0
        while letters and (bytes_ := ledger.run("getrange", keys.bytes[nth], start, start + PAGE_OF_BYTES - 1)):
            for portion in found(ledger, name, channel, start, bytes_, letters):
                of_each = [part for place, row, byte in portion for part in (place, byte, row.country)]
                asked = [keys.batch, ledger.keys.feeding, keys.bytes[nth], keys.retries[nth]]
                again += int(ledger.run_script("batch/retry_rows", asked, [name, channel, *of_each]))
            start += PAGE_OF_BYTES
    return again


def _keys_of(ledger: Ledger, name: str) -> BatchKeys:
    keys = ledger.keys.batch(check_name(name))
    if not ledger.run("exists", keys.batch):
        raise UnknownBatch(name)
    return keys


def rows(ledger: Ledger, name: str) -> Iterator[BatchRow]:
    """Give each row and what became of it, texts first; memory does not grow with them. Raises `UnknownBatch`."""
    keys = _keys_of(ledger, name)
    for nth, channel in enumerate(LISTS):
        start = 0
        while packed := ledger.run("lrange", keys.lists[nth], start, start + WINDOW - 1):
            bytes_ = ledger.run("getrange", keys.bytes[nth], start, start + WINDOW - 1).ljust(len(packed), UNFED)
            yield from _window(ledger, name, channel, start, packed, bytes_)
            start += WINDOW


def _window(ledger: Ledger, name: str, channel: str, start: int, packed: list[str], bytes_: str) -> Iterator[BatchRow]:
    fields = ("batch", "row", "verification_uuid", "code_sent_at", "updated_at")
    unpacked = [unpack(row) for row in packed]
    records = ledger.run_all(*(("hmget", ledger.keys.record(row.number), *fields) for row in unpacked))
    for place, (row, byte, record) in enumerate(zip(unpacked, bytes_, records, strict=True), start):
        batch, known, uuid, sent_at, updated_at = record
        own = batch == name and (known or "").rpartition(":")[0] == f"{channel}:{place}"
        outcome, _, reason = OUTCOMES[byte].partition(":")
        yield BatchRow(
            row.number,
            channel,
            row.alias or None,
            row.subaccount or None,
            outcome,
            reason,
            uuid if own and outcome in {"code_sent", "verified", "expired"} else None,
            moment(int(sent_at)) if own and sent_at else None,
            moment(int(updated_at)) if own and updated_at else None,
        )

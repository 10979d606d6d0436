"""Pause, resume, cancel or retry a batch."""

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal

from ringproof.batches.importing import discard_import
from ringproof.batches.model import Batch, BatchState, check_name
from ringproof.batches.prices import millionths_of
from ringproof.batches.rows import BYTES_AT_ONCE, require_batch, rows_with_bytes
from ringproof.batches.summary import batch_summary
from ringproof.errors import UnknownBatch
from ringproof.ledger.acceptance import Disposition
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.row_outcomes import BYTES, LISTS


def pause(ledger: Ledger, name: str) -> Batch:
    """Stop sending for this batch within a second, until it is resumed. Raises `UnknownBatch`."""
    return _change_state(ledger, name, "pause")


def resume(ledger: Ledger, name: str) -> Batch:
    """Let a paused batch continue within seconds. It stays paused if its budget is spent. Raises `UnknownBatch`."""
    return _change_state(ledger, name, "resume")


def set_budget(ledger: Ledger, name: str, budget: Decimal) -> bool:
    """Give a batch another budget, which its resends share; return False if it has no prices. Raises `UnknownBatch`."""
    require_batch(ledger, name)
    payer = ledger.run("hget", ledger.keys.batch(name).batch, "pays")
    if not payer:
        return False
    return bool(ledger.run_script("batch/set_budget", [ledger.keys.batch(payer).batch], [millionths_of(budget)]))


def cancel(ledger: Ledger, name: str) -> Batch:
    """End all requests of this batch that have not begun, for good; its doubts get no resend.

    A batch whose import was cut short is deleted. Raises `UnknownBatch`, and `BatchBusy` while the batch is imported.
    """
    batch = batch_summary(ledger, name)
    if batch and batch.state is BatchState.IMPORTING and discard_import(ledger, name):
        return replace(batch, state=BatchState.CANCELLED)
    return _change_state(ledger, name, "cancel")


def _change_state(ledger: Ledger, name: str, change: str) -> Batch:
    keys = ledger.keys.batch(check_name(name))
    of_lists = [key for of_list in zip(keys.lists, keys.bytes, keys.retries, strict=True) for key in of_list]
    state = ledger.run_script(
        "batch/change_state",
        [keys.batch, ledger.keys.feeding, *of_lists, keys.counts, keys.countries],
        [name, change, *LISTS],
    )
    batch = batch_summary(ledger, name) if state else None
    if batch is None:
        raise UnknownBatch(name)
    return batch


def retry(ledger: Ledger, name: str, reasons: Collection[str]) -> int:
    """Feed the rows that failed for one of these reasons once more, with new requests; return how many there are.

        >>> retry(ledger, "spring", ["rejected", "too_late"])
        8

    `capped` and `country` include the rows that got no request because of a cap or their country. A waiting row has
    not failed. A completed batch runs again, and completes again. A batch that is cancelled or being imported is not
    retried. If the process dies in between, call it again. Raises `UnknownBatch`.
    """
    require_batch(ledger, name)
    outcomes = {f"failed:{reason}" for reason in reasons}
    refused = {Disposition.CAPPED, Disposition.COUNTRY} & set(map(str, reasons))
    outcomes |= {outcome for outcome in BYTES if outcome.partition(":")[0] in refused}
    wanted = "".join(BYTES[outcome] for outcome in sorted(outcomes) if outcome in BYTES)
    return sum(_retry_list(ledger, name, channel, wanted) for channel in LISTS) if wanted else 0


def _retry_list(ledger: Ledger, name: str, channel: str, wanted: str) -> int:
    """Have the rows of one list fed once more whose byte is one of `wanted`; return how many there are."""
    keys, nth = ledger.keys.batch(name), LISTS.index(channel)
    retried, start = 0, 0
    while row_bytes := ledger.run("getrange", keys.bytes[nth], start, start + BYTES_AT_ONCE - 1):
        for found in rows_with_bytes(ledger, name, channel, start, row_bytes, wanted):
            rows = [part for place, row, byte in found for part in (place, byte, row.country)]
            script_keys = [keys.batch, ledger.keys.feeding, keys.bytes[nth], keys.retries[nth]]
            retried += int(ledger.run_script("batch/retry_rows", script_keys, [name, channel, *rows]))
        start += BYTES_AT_ONCE
    return retried

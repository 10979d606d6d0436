"""Read a batch's rows: each one with its outcome, or those that stand at certain outcomes."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from ringproof.batches.kept_columns import KeptPages, KeptRow
from ringproof.batches.model import BatchRow, StoredRow, check_name, unpack_row
from ringproof.clock import moment
from ringproof.errors import UnknownBatch
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.row_outcomes import LISTS, UNFED, outcome_of

ROWS_AT_ONCE: Final = 1000
"""Rows that one command reads."""

BYTES_AT_ONCE: Final = 100_000
"""Row bytes that one command reads."""


class FoundRow(NamedTuple):
    """A row, its place in its list, and its row byte."""

    place: int
    row: StoredRow
    byte: str


def require_batch(ledger: Ledger, name: str) -> None:
    """Do nothing if there is a batch of this name. Raises `UnknownBatch` if there is none."""
    if not ledger.run("exists", ledger.keys.batch(check_name(name)).batch):
        raise UnknownBatch(name)


def batch_rows(ledger: Ledger, name: str, *, with_columns: bool = False) -> Iterator[BatchRow]:
    """Yield each row with its outcome, texts first; memory does not grow with the batch.

    `with_columns` also reads the columns that the rows had in their roster. Raises `UnknownBatch`.
    """
    require_batch(ledger, name)
    keys = ledger.keys.batch(name)
    for channel, list_key, bytes_key, pages_key in zip(LISTS, keys.lists, keys.bytes, keys.pages, strict=False):
        kept = KeptPages(ledger, pages_key) if with_columns else None
        start = 0
        while packed := ledger.run("lrange", list_key, start, start + ROWS_AT_ONCE - 1):
            row_bytes = ledger.run("getrange", bytes_key, start, start + ROWS_AT_ONCE - 1).ljust(len(packed), UNFED)
            rows = [
                FoundRow(place, unpack_row(row), byte)
                for place, (row, byte) in enumerate(zip(packed, row_bytes, strict=True), start)
            ]
            for found, row in zip(rows, _with_records(ledger, name, channel, rows), strict=True):
                kept_row = kept.row(found.place) if kept else None
                yield _with_columns(row, kept_row) if kept_row else row
            start += ROWS_AT_ONCE


def rejected_rows(ledger: Ledger, name: str) -> Iterator[BatchRow]:
    """Yield the rows that the import rejected, with their reasons and columns, if they were kept."""
    kept = KeptPages(ledger, ledger.keys.batch(name).pages[-1])
    for first in kept.firsts:
        for row in kept.page(first):
            rejected = BatchRow("", "", None, None, "rejected", row.reason, None, None, None)
            yield _with_columns(rejected, row)


def _with_columns(row: BatchRow, kept: KeptRow) -> BatchRow:
    written_as = "" if kept.written_as is None else str(kept.written_as)
    return replace(row, line=kept.line, written_as=written_as, columns=kept.cells, number_column=kept.number_column)


def _with_records(ledger: Ledger, name: str, channel: str, rows: list[FoundRow]) -> Iterator[BatchRow]:
    """Yield the rows. The uuid and the times come from the number's record, if that still belongs to this row."""
    fields = ("batch", "row", "verification_uuid", "code_sent_at", "updated_at", "verified_at")
    records = ledger.run_all(*(("hmget", ledger.keys.record(row.number), *fields) for _, row, _ in rows))
    for (place, row, byte), record in zip(rows, records, strict=True):
        batch, record_row, uuid, sent_at, updated_at, verified_at = record
        is_of_row = batch == name and (record_row or "").rpartition(":")[0] == f"{channel}:{place}"
        outcome, _, reason = outcome_of(byte).partition(":")
        yield BatchRow(
            row.number,
            channel,
            row.alias or None,
            row.subaccount or None,
            outcome,
            reason,
            uuid if is_of_row and outcome in {"code_sent", "verified", "expired"} else None,
            moment(int(sent_at)) if is_of_row and sent_at else None,
            moment(int(updated_at)) if is_of_row and updated_at else None,
            moment(int(verified_at)) if verified_at else None,
            row.country,
        )


def rows_with_bytes(
    ledger: Ledger, name: str, channel: str, start: int, row_bytes: str, wanted: str
) -> Iterator[list[FoundRow]]:
    """Yield the rows whose byte is one of `wanted`, up to 1,000 at a time; `row_bytes` begin at the row `start`.

    Rows of erased numbers are left out.
    """
    list_key = ledger.keys.batch(name).lists[LISTS.index(channel)]
    pattern = re.compile(f"[{re.escape(wanted)}]")
    offset = 0
    while match := pattern.search(row_bytes, offset):
        offset = match.start()
        first = start + offset
        rows = ledger.run("lrange", list_key, first, first + ROWS_AT_ONCE - 1)
        page_bytes = row_bytes[offset : offset + ROWS_AT_ONCE]
        yield [
            FoundRow(place, row, byte)
            for place, (row, byte) in enumerate(zip(map(unpack_row, rows), page_bytes, strict=False), first)
            if byte in wanted and row.number
        ]
        offset += ROWS_AT_ONCE

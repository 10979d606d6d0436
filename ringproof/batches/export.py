"""A batch's rows with what became of them, as CSV or NDJSON; a row at a time, however many there are."""

import csv
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, TextIO

from ringproof.batches.model import BatchRow
from ringproof.clock import iso
from ringproof.phone.masking import mask

COLUMNS: Final = (
    "phone_number",
    "state",
    "reason",
    "channel",
    "alias",
    "subaccount",
    "verification_uuid",
    "code_sent_at",
    "updated_at",
)

BEGINNINGS: Final = (",".join(COLUMNS).encode(), b'{"phone_number": ')
"""How an export begins; nothing else is replaced by one."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def write_csv(rows: Iterable[BatchRow], to: TextIO, *, masked: bool, excel: bool) -> int:
    """Write a header, and a line for each row; return how many.

    `excel` puts an apostrophe before what a spreadsheet would take for a formula: an alias is a stranger's text. It
    does so before a number, too, which a spreadsheet would turn into a quantity; an import drops it.
    """
    count, writer = 0, csv.writer(to, lineterminator="\r\n" if excel else "\n")
    writer.writerow(COLUMNS)
    for count, row in enumerate(rows, 1):  # noqa: B007 - it is told
        fields = [_text(value) for value in _fields(row, masked=masked).values()]
        writer.writerow(["'" + field if excel and field.startswith(_FORMULA) else field for field in fields])
    return count


def write_ndjson(rows: Iterable[BatchRow], to: TextIO, *, masked: bool) -> int:
    """Write an object a line for each row; return how many."""
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - it is told
        to.write(json.dumps(_fields(row, masked=masked), ensure_ascii=False, default=_text) + "\n")
    return count


def _fields(row: BatchRow, *, masked: bool) -> dict[str, Any]:
    number = mask(row.number) if masked else row.number
    told = (
        number,
        row.outcome,
        row.reason or None,
        row.channel,
        row.alias,
        row.subaccount,
        row.uuid,
        row.code_sent_at,
        row.updated_at,
    )
    return dict(zip(COLUMNS, told, strict=True))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return iso(value)
    return "" if value is None else str(value)

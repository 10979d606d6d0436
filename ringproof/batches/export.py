"""Write the rows of a batch with their outcomes, as CSV or NDJSON. Memory does not grow with the batch."""

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
"""The first bytes of an export. An export replaces only a file that begins so."""

_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")


def write_csv(rows: Iterable[BatchRow], to: TextIO, *, masked: bool, excel: bool) -> int:
    """Write a header and one line for each row; return how many rows there were.

    A line is, for example:

        +14155550123,failed,rejected,sms,Front desk,,,,2026-11-28T09:30:00.000+00:00

    `excel` puts an apostrophe before each field that a spreadsheet would take for a formula: an alias may come from a
    stranger. A number gets one, too, because a spreadsheet would turn it into a quantity. An import drops it.
    """
    count, writer = 0, csv.writer(to, lineterminator="\r\n" if excel else "\n")
    writer.writerow(COLUMNS)
    for row in rows:
        fields = [_text(value) for value in _fields(row, masked=masked).values()]
        writer.writerow(["'" + field if excel and field.startswith(_FORMULA_SIGNS) else field for field in fields])
        count += 1
    return count


def write_ndjson(rows: Iterable[BatchRow], to: TextIO, *, masked: bool) -> int:
    """Write one JSON object a line for each row; return how many rows there were."""
    count = 0
    for row in rows:
        to.write(json.dumps(_fields(row, masked=masked), ensure_ascii=False, default=_text) + "\n")
        count += 1
    return count


def _fields(row: BatchRow, *, masked: bool) -> dict[str, Any]:
    values = (
        mask(row.number) if masked else row.number,
        row.outcome,
        row.reason or None,
        row.channel,
        row.alias,
        row.subaccount,
        row.uuid,
        row.code_sent_at,
        row.updated_at,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return iso(value)
    return "" if value is None else str(value)

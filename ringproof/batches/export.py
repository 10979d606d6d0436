"""Write the rows of a batch with their outcomes and their roster's columns, as CSV or NDJSON.

Memory does not grow with the batch.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ringproof.batches.kept_columns import FILE_COLUMN
from ringproof.batches.model import BatchRow
from ringproof.clock import iso
from ringproof.errors import InvalidRequest
from ringproof.phone.masking import mask, mask_value, redact
from ringproof.printable import printable
from ringproof.rosters.columns import EXPORT_COLUMNS

COLUMNS: Final = (
    *EXPORT_COLUMNS,
    "channel",
    "alias",
    "subaccount",
    "verification_uuid",
    "code_sent_at",
    "updated_at",
    "verified_at",
    "country",
    "line",
    "written_as",
)
"""Ringproof's own columns. Those of the roster follow."""

_BEGINNINGS: Final = (",".join(EXPORT_COLUMNS).encode(), b'{"phone_number": ')
"""The first bytes of an export of all columns, as CSV and as NDJSON."""

_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")


def export_columns(names: Sequence[str], chosen: Sequence[str] = ()) -> dict[str, str | None]:
    """Return the columns of an export, each with the roster's column that it has; None for one of Ringproof's own.

    `names` are those of the columns that the batch keeps. If it has rows of several files, `file` names each row's. A
    roster's column with the name of one of Ringproof's gets `file_` before it. `chosen` are the columns to export, in
    this order; without it, all are exported.

        >>> export_columns(["Phone", "state"], ["phone_number", "Phone", "file_state"])
        {'phone_number': None, 'Phone': 'Phone', 'file_state': 'state'}

    Raises `InvalidRequest` for a chosen column that there is not.
    """
    columns: dict[str, str | None] = dict.fromkeys(COLUMNS)
    if FILE_COLUMN in names:
        columns["file"] = FILE_COLUMN
    for name in names:
        if name == FILE_COLUMN:
            continue
        header = name
        while header in columns:
            header = f"file_{header}"
        columns[header] = name
    headers = {header.strip(): header for header in reversed(columns)}
    for choice in chosen:
        if choice not in headers:
            raise InvalidRequest("columns", mask_value(choice), f"choose from {', '.join(map(redact, columns))}")
    return {headers[choice]: columns[headers[choice]] for choice in chosen} if chosen else columns


def beginnings(columns: Mapping[str, str | None]) -> tuple[bytes, ...]:
    """Return the first bytes of an export. An export replaces only a file that begins so.

    A CSV file of chosen columns is recognized by its whole header, if `state` is in it: a roster may have all others.
    """
    if "state" not in columns:
        return _BEGINNINGS
    header = io.StringIO()
    csv.writer(header, lineterminator="").writerow(map(_encodable, columns))
    return (*_BEGINNINGS, *((header.getvalue() + end).encode() for end in ("\n", "\r\n")))


def csv_lines(
    rows: Iterable[BatchRow],
    *,
    masked: bool,
    excel: bool,
    columns: Mapping[str, str | None] = dict.fromkeys(COLUMNS),  # it is never changed
) -> Iterator[str]:
    """Yield a header, and one line for each row.

    A line is, for example:

        +14155550123,failed,rejected,sms,Front desk,,,,2026-11-28T09:30:00.000+00:00,,US,2,(415) 555-0123

    `columns` are those to write, as `export_columns` returns them.

    `excel` puts an apostrophe before each field that a spreadsheet would take for a formula: an alias may come from a
    stranger. A number gets one, too, because a spreadsheet would turn it into a quantity. An import drops it.
    """
    writer: Any = csv.writer(_Line(), lineterminator="\r\n" if excel else "\n")
    headers = map(_shown, columns) if masked else columns
    yield writer.writerow([_harmless(_text(header), excel=excel) for header in headers])
    for row in rows:
        fields = _fields(row, columns, masked=masked)
        yield writer.writerow([_harmless(_text(value), excel=excel) for value in fields.values()])


def ndjson_lines(
    rows: Iterable[BatchRow],
    *,
    masked: bool,
    columns: Mapping[str, str | None] = dict.fromkeys(COLUMNS),  # it is never changed
) -> Iterator[str]:
    """Yield one JSON object a line for each row."""
    for row in rows:
        line = json.dumps(_fields(row, columns, masked=masked), ensure_ascii=False, default=_text)
        yield _encodable(line) + "\n"


class _Line:
    """A file for `csv.writer`, whose `writerow` then returns the line."""

    def write(self, line: str) -> str:
        return line


def _fields(row: BatchRow, columns: Mapping[str, str | None], *, masked: bool) -> dict[str, Any]:
    """Return the fields of a row, by the export's columns. Masked, everything that looks like a number is masked."""
    values = (
        mask(row.number) if masked and row.number else row.number or None,
        row.outcome,
        row.reason or None,
        row.channel or None,
        row.alias,
        row.subaccount,
        row.uuid,
        row.code_sent_at,
        row.updated_at,
        row.verified_at,
        row.country or None,
        row.line,
        mask_value(row.written_as) if masked and row.written_as else row.written_as or None,
    )
    own = dict(zip(COLUMNS, values, strict=True))
    fields = {header: own[header] if name is None else row.columns.get(name) for header, name in columns.items()}
    if not masked:
        return fields
    return {
        _shown(header): value
        if value is None or (columns[header] is None and not isinstance(value, str))
        else _shown(value)
        for header, value in fields.items()
    }


def _shown(value: object) -> str:
    """Return a value as a terminal may show it."""
    return printable(redact(_text(value)))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, str):
        return _encodable(value)
    return "" if value is None else _encodable(json.dumps(value, ensure_ascii=False, default=str))


def _encodable(text: str) -> str:
    """Return a text that UTF-8 can hold: half a surrogate, which JSON may have, is escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _harmless(field: str, *, excel: bool) -> str:
    return "'" + field if excel and field.startswith(_FORMULA_SIGNS) else field

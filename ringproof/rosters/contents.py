"""Split a roster into cells: find its format, its header and its columns, and read row by row."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, dropwhile, islice
from typing import Any, Final, Literal, NamedTuple

from ringproof.errors import InvalidRoster
from ringproof.rosters.cells import kind_of, listed
from ringproof.rosters.columns import REJECT_COLUMNS, ColumnMapping, Columns, guess_columns
from ringproof.rosters.csv_rows import UnclosedQuote, guess_delimiter, read_rows
from ringproof.rosters.header import find_header
from ringproof.rosters.row import Cells, JsonInteger, Reject
from ringproof.rosters.text import LineReader

SAMPLE_ROWS: Final = 50
"""Rows from which the delimiter and the columns are guessed. Real rosters are clear by the second row."""

COLUMN_OF_LONE_VALUES: Final = "phone"
"""The column of rows that are a number and no mapping."""

_ABSENT = object()  # a key that no object has


class Contents(NamedTuple):
    """The columns and cells of a roster, before they are checked."""

    format: Literal["csv", "ndjson", "rows"]
    columns: Columns
    cells: Iterator[Cells | Reject]
    delimiter: str | None = None
    header_line: int | None = None


def read_contents(lines: LineReader, mapping: ColumnMapping | None, region: str | None) -> Contents:
    """Read CSV or NDJSON: the first character decides."""
    stream = iter(lines)
    head = list(islice(stream, SAMPLE_ROWS))
    first_character = next((line.strip()[0] for line in head if line.strip()), None)
    if first_character is None:
        problem = "it is empty" if len(head) < SAMPLE_ROWS else f"its first {SAMPLE_ROWS} lines are empty"
        raise InvalidRoster(lines.name, problem, "give a file with rows")
    whole = chain(head, stream)
    if first_character == "[":
        raise InvalidRoster(lines.name, "it is a JSON array", "write one object a line, as jq -c '.[]' does")
    if first_character == "{":
        return read_objects(_parsed_json(whole), lines.name, mapping, region, is_json=True)
    return _csv(whole, guess_delimiter(head), lines.name, mapping, region)


def _csv(
    lines: Iterator[str], delimiter: str, name: str, mapping: ColumnMapping | None, region: str | None
) -> Contents:
    head: list[str] = []
    sample = list(islice(_filled_rows(_remembered(lines, head), delimiter), SAMPLE_ROWS))
    if not sample:
        raise InvalidRoster(name, "it has no row that is not empty", "give a file with rows")
    reads_rejects = tuple(sample[0][1][: len(REJECT_COLUMNS)]) == REJECT_COLUMNS
    if reads_rejects:
        sample = list(_without_reject_columns(iter(sample)))
    texts = [fields for _, fields in sample]
    mapped = {role: str(column) for role, column in (mapping or {}).items()}
    header, names_columns = find_header(texts, file=name, mapped=mapped, region=region)
    columns = guess_columns(texts[header:], file=name, mapping=mapping, region=region, names_columns=names_columns)
    line = sample[header][0]
    width = len(columns.names) + reads_rejects * len(REJECT_COLUMNS)
    rows = _filled_rows(chain(head, lines), delimiter, width)
    rows = dropwhile(lambda row: row[0] < line + columns.has_header, rows)
    if reads_rejects:
        rows = _without_reject_columns(rows)
    return Contents("csv", columns, _cells_of_csv(rows, columns), delimiter, line if columns.has_header else None)


def _remembered(lines: Iterator[str], head: list[str]) -> Iterator[str]:
    """Yield lines, and add each one to `head`."""
    for line in lines:
        head.append(line)
        yield line


def _filled_rows(lines: Iterator[str], delimiter: str, width: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file from the first one that is not empty."""
    return dropwhile(lambda row: not any(map(str.strip, row[1])), read_rows(lines, delimiter, width))


def _without_reject_columns(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Remove the columns that a rejects file has before those of the roster."""
    for line, fields in rows:
        del fields[: len(REJECT_COLUMNS)]
        yield line, fields


def _cells_of_csv(rows: Iterator[tuple[int, list[str]]], columns: Columns) -> Iterator[Cells | Reject]:
    width = len(columns.names)
    number, alias, channel, subaccount = columns.number, columns.alias, columns.channel, columns.subaccount
    country = columns.country
    for line, fields in rows:
        if isinstance(fields, UnclosedQuote):
            yield Reject.of_row(line, "quotes", fields)
            continue
        if len(fields) != width:
            if any(map(str.strip, fields[width:])):
                yield Reject.of_row(line, "too_many_fields", fields)
                continue
            fields.extend([""] * (width - len(fields)))
        yield Cells(
            line,
            fields,
            fields[number],
            None if alias is None else fields[alias],
            None if channel is None else fields[channel],
            None if subaccount is None else fields[subaccount],
            None if country is None else fields[country],
        )


class _NoJson(str):
    """A line that should have been JSON."""

    __slots__ = ()


def _parsed_json(lines: Iterator[str]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()):
            continue
        try:
            yield number, json.loads(text)
        except (ValueError, RecursionError):  # a line of 64 KiB may be nested 64 Ki deep
            yield number, _NoJson(text)


def read_objects(
    rows: Iterator[tuple[int, object]],
    name: str,
    mapping: ColumnMapping | None,
    region: str | None,
    *,
    is_json: bool,
) -> Contents:
    """Find the columns of objects by their keys. Only the integers of JSON are read as numbers."""
    sample = list(islice(rows, SAMPLE_ROWS))
    if not sample:
        raise InvalidRoster(name, "it has no row", "give it rows")
    if all(isinstance(row, _NoJson) for _, row in sample):
        raise InvalidRoster(
            name, f"line {sample[0][0]} is no JSON, nor are the lines after it", "write one object a line"
        )
    objects = [_without_reject_keys(row) for _, row in sample if isinstance(row, Mapping)]
    keys = list(dict.fromkeys(chain.from_iterable(objects))) or [COLUMN_OF_LONE_VALUES]
    columns = guess_columns(
        [[row.get(key) for key in keys] for row in objects], file=name, keys=keys, mapping=mapping, region=region
    )
    return Contents("ndjson", columns, _cells_of_objects(chain(sample, rows), columns, keys, is_json=is_json))


def _without_reject_keys(row: Mapping[Any, object]) -> Mapping[Any, object]:
    """Return the object without the keys that a rejects file has before those of the roster."""
    if "reason" in row and tuple(islice(row, len(REJECT_COLUMNS))) == REJECT_COLUMNS:
        return {key: value for key, value in row.items() if key not in REJECT_COLUMNS}
    return row


def _cells_of_objects(
    rows: Iterator[tuple[int, object]], columns: Columns, keys: Sequence[Any], *, is_json: bool
) -> Iterator[Cells | Reject]:
    places = (columns.number, columns.alias, columns.channel, columns.subaccount, columns.country)
    number, alias, channel, subaccount, country = (_ABSENT if place is None else keys[place] for place in places)
    for line, row in rows:
        if isinstance(row, Mapping):
            raw = _without_reject_keys(row)
            cell = raw.get(number)
            written = JsonInteger(cell) if is_json and type(cell) is int else cell
            yield Cells(line, raw, written, raw.get(alias), raw.get(channel), raw.get(subaccount), raw.get(country))
        elif isinstance(row, _NoJson):
            yield Reject.of_row(line, "json", {"row": str(row)})
        else:
            written = JsonInteger(row) if is_json and type(row) is int else row
            yield Cells(line, {columns.names[columns.number]: row}, written, None, None, None)


def refusing_unread_numbers(contents: Contents, name: str) -> Iterator[Cells | Reject]:
    """Yield the cells, and refuse the roster at the first number in a telephone's column that is not read.

    Without a number in the first rows it seemed to have none. The user must choose one of the columns.
    """
    columns = contents.columns
    for item in contents.cells:
        raw = item.raw
        for place in columns.unread:
            column = columns.names[place]
            cell = raw.get(column) if isinstance(raw, Mapping) else raw[place] if place < len(raw) else None
            if isinstance(item, Cells) and cell and kind_of(cell, None):
                number = columns.name("number")
                raise InvalidRoster(
                    name,
                    f"2 columns could be the number: {listed([number, column])}; line {item.line} has a number in both",
                    "say which one is: mapping={'number': 'COLUMN'}",
                )
        yield item

"""Open a roster: a file of phone numbers, or rows from Python.

A file is CSV (comma, semicolon, tab) or NDJSON, packed with gzip or not, in UTF-8 or UTF-16. The format and the columns
are guessed from the first 64 KiB and the first 50 rows; `text`, `csv_rows` and `columns` have the rules. The same file
always gives the same guess. A roster is read as a stream: memory does not grow with it.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple, Self

from ringproof.errors import InvalidRoster
from ringproof.rosters.columns import REJECT_COLUMNS, ColumnMapping, Columns, guess_columns
from ringproof.rosters.csv_rows import UnclosedQuote, guess_delimiter, read_rows
from ringproof.rosters.row import Cells, Reject, Row, RowChecker
from ringproof.rosters.text import LineReader

SAMPLE_ROWS: Final = 50
"""Rows from which the delimiter and the columns are guessed. Real rosters are clear by the second row."""

COLUMN_OF_LONE_VALUES: Final = "phone"
"""The column of rows that are a number and no mapping."""

_ABSENT = object()  # a key that no object has


class _Contents(NamedTuple):
    """The cells of a roster, before they are checked."""

    format: Literal["csv", "ndjson", "rows"]
    columns: Columns
    cells: Iterator[Cells | Reject]
    delimiter: str | None = None


class Roster:
    """An open roster, to be iterated over once. It yields a `Row` or a `Reject` for each row, in the file's order.

        >>> with open_roster("people.csv", region="US") as roster:
        ...     numbers = [row.number.e164 for row in roster if isinstance(row, Row)]
        >>> roster.accepted, roster.reasons
        (180, Counter({'no_country': 2}))

    Known from the start: `name`, `format` (csv, ndjson or rows), `encoding`, `delimiter`, `columns`, and the
    `fingerprint` of a file that is no pipe. Of the rows so far: `line` is the last one's, `accepted` counts the rows,
    and `reasons` counts the rejects by reason.
    """

    def __init__(self, name: str, contents: _Contents, checker: RowChecker, lines: LineReader | None = None) -> None:
        self.name = name
        self.format, self.columns, self.delimiter = contents.format, contents.columns, contents.delimiter
        self.encoding = lines.encoding if lines else None
        self.line = self.accepted = 0
        self.reasons: Counter[str] = Counter()
        self._lines, self._opened = lines, ExitStack()
        self._read_as = (contents.columns, checker.region, checker.channel, *(("plus",) if checker.plus else ()))
        self._checker = checker
        outcomes = _checked(contents.cells, checker)
        first = next(outcomes, None)
        if first is None:
            raise InvalidRoster(name, "it has a header and no row", "give a file with rows")
        self._outcomes = self._count(chain((first,), outcomes))

    @property
    def fingerprint(self) -> str | None:
        """A digest of the unpacked file and of how it is read, before the first row; None if it can be read only once.

        Two rosters with the same fingerprint have the same rows.
        """
        contents = self._lines.fingerprint if self._lines else None
        return contents and _digest_of(contents, self._read_as)

    @property
    def cleaned_aliases(self) -> int:
        """How many rows so far have another alias than the file: without line breaks, or cut to 255 characters."""
        return self._checker.cleaned_aliases

    @property
    def lost_plus(self) -> int:
        """How many rejected rows so far look like numbers whose `+` was lost; 0 if they are not the whole column."""
        return self._checker.lost_plus.rows

    @property
    def size(self) -> int | None:
        """How many bytes the file has, packed or not; None if it can be read only once."""
        return self._lines.size if self._lines else None

    @property
    def bytes_read(self) -> int:
        """How many bytes have been read so far, to show the progress."""
        return self._lines.bytes_read if self._lines else 0

    def __iter__(self) -> Iterator[Row | Reject]:
        return self._outcomes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if `open_roster` opened it."""
        self._opened.close()

    def _count(self, outcomes: Iterator[Row | Reject]) -> Iterator[Row | Reject]:
        for outcome in outcomes:
            self.line = outcome.line
            if isinstance(outcome, Row):
                self.accepted += 1
            else:
                self.reasons[outcome.reason] += 1
            yield outcome


def fingerprint_of(rosters: Sequence[Roster]) -> str | None:
    """Return the fingerprint of a batch of these rosters; None if one of them has none."""
    fingerprints = [roster.fingerprint for roster in rosters]
    if None in fingerprints:
        return None
    return fingerprints[0] if len(fingerprints) == 1 else _digest_of(*fingerprints)


def open_roster(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    mapping: ColumnMapping | None = None,
    region: str | None = None,
    channel: str = "sms",
    plus: bool = False,
) -> Roster:
    """Open a roster: a path, `-` for standard input, or a binary stream, which the caller closes.

        >>> with open_roster("people.csv", mapping={"alias": "Name"}, region="US") as roster:
        ...     for outcome in roster:
        ...         print(outcome)
        Row(line=2, number=PhoneNumber(+1•••••••71, US), channel='sms', subaccount=None)
        Reject(line=3, column='Phone', reason='not_a_number', value="'n/a'", remedy='…')

    `mapping` is explained at `guess_columns`. `region` is the country of numbers without one, and `channel` applies to
    rows without one. `plus` reads numbers that begin with 1 to 9 as international ones
    whose `+` was lost.
    No line may have more than 65,536 characters, and no row more than 50 lines.

    Raises `InvalidRoster` if this is no roster. For a file, that happens here, and later only if the file changes
    while it is read. For a pipe, it may also happen where the error occurs. Raises `InvalidRequest` for an unknown
    region or channel, or an unknown role in the mapping.
    """
    with ExitStack() as opened:
        name, stream = _stream(source, opened)
        lines = LineReader(stream, name)
        contents = _contents(lines, mapping, region)
        roster = Roster(name, contents, RowChecker(contents.columns, region, channel, plus=plus), lines)
        roster._opened = opened.pop_all()  # noqa: SLF001 - the roster closes from here on what was opened for it
    return roster


def roster_of(
    rows: Iterable[object],
    *,
    name: str = "rows",
    mapping: ColumnMapping | None = None,
    region: str | None = None,
    channel: str = "sms",
    plus: bool = False,
) -> Roster:
    """Make a roster of rows from Python: numbers as text, or mappings such as `{"phone": …, "alias": …}`.

        >>> [row.number.e164 for row in roster_of(["+14155550123", {"phone": "+14155550124"}])]
        ['+14155550123', '+14155550124']

    The rows are read like those of a file, one at a time: a generator is never made into a list. Raises the errors of
    `open_roster`.
    """
    if isinstance(rows, str | bytes | Mapping):
        raise InvalidRoster(name, f"it is one {type(rows).__name__}", "put rows into a list; open_roster reads a file")
    contents = _objects(enumerate(rows, 1), name, mapping, region)._replace(format="rows")
    return Roster(name, contents, RowChecker(contents.columns, region, channel, plus=plus))


def _digest_of(*parts: object) -> str:
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _checked(cells_or_rejects: Iterator[Cells | Reject], checker: RowChecker) -> Iterator[Row | Reject]:
    check = checker.check
    for item in cells_or_rejects:
        outcome = check(item) if isinstance(item, Cells) else item
        if outcome is not None:
            yield outcome


def _stream(source: str | os.PathLike[str] | BinaryIO, opened: ExitStack) -> tuple[str, BinaryIO]:
    """Return a printable name for the source, and its stream."""
    if source == "-":
        return "standard input", sys.stdin.buffer
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "stream"))
    name = path if path.isprintable() else ascii(path)
    if not isinstance(source, str | os.PathLike):
        return name, source
    try:
        return name, opened.enter_context(Path(path).open("rb"))
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        why = getattr(error, "strerror", None) or error
        raise InvalidRoster(name, f"it cannot be opened: {why}", "name a file that can be read") from error


def _contents(lines: LineReader, mapping: ColumnMapping | None, region: str | None) -> _Contents:
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
        return _objects(_parsed_json(whole), lines.name, mapping, region)
    return _csv(whole, guess_delimiter(head), lines.name, mapping, region)


def _csv(
    lines: Iterator[str], delimiter: str, name: str, mapping: ColumnMapping | None, region: str | None
) -> _Contents:
    rows: Iterator[tuple[int, list[str]]] = dropwhile(
        lambda row: not any(map(str.strip, row[1])), read_rows(lines, delimiter)
    )
    sample = list(islice(rows, SAMPLE_ROWS))
    if not sample:
        raise InvalidRoster(name, "it has no row that is not empty", "give a file with rows")
    if tuple(sample[0][1][: len(REJECT_COLUMNS)]) == REJECT_COLUMNS:
        rows = _without_reject_columns(chain(sample, rows))
        sample = list(islice(rows, len(sample)))
    columns = guess_columns([fields for _, fields in sample], file=name, mapping=mapping, region=region)
    rows = chain(sample[int(columns.has_header) :], rows)
    return _Contents("csv", columns, _cells_of_csv(rows, columns), delimiter)


def _without_reject_columns(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Remove the columns that a rejects file has before those of the roster."""
    for line, fields in rows:
        del fields[: len(REJECT_COLUMNS)]
        yield line, fields


def _cells_of_csv(rows: Iterator[tuple[int, list[str]]], columns: Columns) -> Iterator[Cells | Reject]:
    width = len(columns.names)
    number, alias, channel, subaccount = columns.number, columns.alias, columns.channel, columns.subaccount
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


def _objects(
    rows: Iterator[tuple[int, object]], name: str, mapping: ColumnMapping | None, region: str | None
) -> _Contents:
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
    return _Contents("ndjson", columns, _cells_of_objects(chain(sample, rows), columns, keys))


def _without_reject_keys(row: Mapping[Any, object]) -> Mapping[Any, object]:
    """Return the object without the keys that a rejects file has before those of the roster."""
    if "reason" in row and tuple(islice(row, len(REJECT_COLUMNS))) == REJECT_COLUMNS:
        return {key: value for key, value in row.items() if key not in REJECT_COLUMNS}
    return row


def _cells_of_objects(
    rows: Iterator[tuple[int, object]], columns: Columns, keys: Sequence[Any]
) -> Iterator[Cells | Reject]:
    places = (columns.number, columns.alias, columns.channel, columns.subaccount)
    number, alias, channel, subaccount = (_ABSENT if place is None else keys[place] for place in places)
    for line, row in rows:
        if isinstance(row, Mapping):
            raw = _without_reject_keys(row)
            yield Cells(line, raw, raw.get(number), raw.get(alias), raw.get(channel), raw.get(subaccount))
        elif isinstance(row, _NoJson):
            yield Reject.of_row(line, "json", {"row": str(row)})
        else:
            yield Cells(line, {columns.names[columns.number]: row}, row, None, None, None)

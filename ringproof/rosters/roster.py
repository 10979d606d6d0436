"""Rosters: the files, and the rows from Python, whose numbers are all to be verified.

A file is CSV (comma, semicolon, tab) or NDJSON, packed with gzip or not, in UTF-8 or UTF-16. What it is, and which
column holds what, is guessed from its first 64 KiB and 50 rows, by the rules of `text`, `csv_rows` and
`ringproof.rosters.columns`: the same for the same file. It is read as a stream: memory does not grow with it.
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
from ringproof.rosters.columns import OURS, ColumnMapping, Columns, guess_columns
from ringproof.rosters.csv_rows import Unclosed, guess_delimiter, read_table
from ringproof.rosters.row import Cells, Judge, Reject, Row
from ringproof.rosters.text import Lines

SAMPLE: Final = 50
"""Rows by which delimiter and columns are guessed. Real rosters tell by the second."""

COLUMN_OF_LONE_VALUES: Final = "phone"

_NOWHERE = object()  # a key that no object has


class _Contents(NamedTuple):
    """What is in a roster, before it is judged."""

    format: Literal["csv", "ndjson", "rows"]
    columns: Columns
    cells: Iterator[Cells | Reject]
    delimiter: str | None = None


class Roster:
    """An open roster, to be iterated over once; it gives each `Row` and `Reject`, in the file's order.

    Known from the start: `name`, `format` (csv, ndjson, rows), `encoding`, `delimiter`, `columns`; and of a file, but
    not of a pipe, `fingerprint`. Of what was given out so far: `line`, `accepted`, `reasons` (how many were rejected
    for which).
    """

    def __init__(self, name: str, contents: _Contents, judge: Judge, lines: Lines | None = None) -> None:
        self.name = name
        self.format, self.columns, self.delimiter = contents.format, contents.columns, contents.delimiter
        self.encoding = lines.encoding if lines else None
        self.line = self.accepted = 0
        self.reasons: Counter[str] = Counter()
        self._lines, self._opened = lines, ExitStack()
        self._read_as = (contents.columns, judge.region, judge.channel)
        outcomes = _judged(contents.cells, judge)
        first = next(outcomes, None)
        if first is None:
            raise InvalidRoster(name, "it has a header and no row", "give a file with rows")
        self._given = self._count(chain((first,), outcomes))

    @property
    def fingerprint(self) -> str | None:
        """A digest of all that is in the file, unpacked, and of how it is read; None of what is read once.

        It is known before the first row: the same fingerprint has the same rows.
        """
        contents = self._lines.fingerprint if self._lines else None
        return contents and _digest_of(contents, self._read_as)

    @property
    def size(self) -> int | None:
        """How many bytes the file has, packed or not; None of what is read once."""
        return self._lines.size if self._lines else None

    @property
    def bytes_read(self) -> int:
        """How many bytes were read so far, to tell how far it is."""
        return self._lines.bytes_read if self._lines else 0

    def __iter__(self) -> Iterator[Row | Reject]:
        return self._given

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if it was opened here."""
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
    """Return what tells whether a batch of these rosters is the same again: of one, its own; None if one has none."""
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
) -> Roster:
    """Open a file by its path, standard input for `-`, or a binary stream, which stays its owner's to close.

    `region` and `channel` hold for rows that have none. Raises `InvalidRoster` for what is no roster: of a file here,
    and later only if it changes while it is read; of a pipe also when it is met. Raises `InvalidRequest` for a region,
    channel or mapping that cannot be. No line has more than 65,536 characters, and no row more than 50 lines.
    """
    with ExitStack() as opened:
        name, stream = _stream(source, opened)
        lines = Lines(stream, name)
        contents = _contents(lines, mapping, region)
        roster = Roster(name, contents, Judge(contents.columns, region, channel), lines)
        roster._opened = opened.pop_all()  # noqa: SLF001 - its maker
    return roster


def roster_of(
    rows: Iterable[object],
    *,
    name: str = "rows",
    mapping: ColumnMapping | None = None,
    region: str | None = None,
    channel: str = "sms",
) -> Roster:
    """Make a roster of what a program has: numbers as text, or mappings such as `{"phone": …, "alias": …}`.

    They are read as those of a file are, and as they come: a generator is never a list here. Raises as `open_roster`.
    """
    if isinstance(rows, str | bytes | Mapping):
        raise InvalidRoster(name, f"it is one {type(rows).__name__}", "put rows into a list; open_roster reads a file")
    contents = _objects(enumerate(rows, 1), name, mapping, region)._replace(format="rows")
    return Roster(name, contents, Judge(contents.columns, region, channel))


def _digest_of(*parts: object) -> str:
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _judged(cells: Iterator[Cells | Reject], judge: Judge) -> Iterator[Row | Reject]:
    for found in cells:
        outcome = judge(found) if isinstance(found, Cells) else found
        if outcome is not None:
            yield outcome


def _stream(source: str | os.PathLike[str] | BinaryIO, opened: ExitStack) -> tuple[str, BinaryIO]:
    """Return a name for the source that can be shown, and its stream."""
    if source == "-":
        return "standard input", sys.stdin.buffer
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "stream"))
    name = path if path.isprintable() else ascii(path)
    if not isinstance(source, str | os.PathLike):
        return name, source
    try:
        return name, opened.enter_context(Path(path).open("rb"))
    except (OSError, ValueError) as error:  # the latter for a path with NUL
        why = getattr(error, "strerror", None) or error
        raise InvalidRoster(name, f"it cannot be opened: {why}", "name a file that can be read") from error


def _contents(lines: Lines, mapping: ColumnMapping | None, region: str | None) -> _Contents:
    """Tell a table from objects by the first sign, and read either."""
    stream = iter(lines)
    head = list(islice(stream, SAMPLE))
    sign = next((line.strip()[0] for line in head if line.strip()), None)
    if sign is None:
        told = "it is empty" if len(head) < SAMPLE else f"its first {SAMPLE} lines are empty"
        raise InvalidRoster(lines.name, told, "give a file with rows")
    whole = chain(head, stream)
    if sign == "[":
        raise InvalidRoster(lines.name, "it is a JSON array", "write one object a line, as jq -c '.[]' does")
    if sign == "{":
        return _objects(_parsed(whole), lines.name, mapping, region)
    return _table(whole, guess_delimiter(head), lines.name, mapping, region)


def _table(
    lines: Iterator[str], delimiter: str, name: str, mapping: ColumnMapping | None, region: str | None
) -> _Contents:
    rows: Iterator[tuple[int, list[str]]] = dropwhile(
        lambda row: not any(map(str.strip, row[1])), read_table(lines, delimiter)
    )
    sample = list(islice(rows, SAMPLE))
    if not sample:
        raise InvalidRoster(name, "it has no row that is not empty", "give a file with rows")
    if tuple(sample[0][1][: len(OURS)]) == OURS:
        rows = _without_ours(chain(sample, rows))
        sample = list(islice(rows, len(sample)))
    columns = guess_columns([fields for _, fields in sample], file=name, mapping=mapping, region=region)
    rows = chain(sample[int(columns.header) :], rows)
    return _Contents("csv", columns, _cells_of_table(rows, columns), delimiter)


def _without_ours(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Take from the rows of a rejects file what was put before them."""
    for line, fields in rows:
        del fields[: len(OURS)]
        yield line, fields


def _cells_of_table(rows: Iterator[tuple[int, list[str]]], columns: Columns) -> Iterator[Cells | Reject]:
    width = len(columns.names)
    number, alias, channel, subaccount = columns.number, columns.alias, columns.channel, columns.subaccount
    for line, fields in rows:
        if isinstance(fields, Unclosed):
            yield Reject.of(line, "quotes", fields)
            continue
        if len(fields) != width:
            if any(map(str.strip, fields[width:])):
                yield Reject.of(line, "too_many_fields", fields)
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


def _parsed(lines: Iterator[str]) -> Iterator[tuple[int, object]]:
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
    sample = list(islice(rows, SAMPLE))
    if not sample:
        raise InvalidRoster(name, "it has no row", "give it rows")
    if all(isinstance(row, _NoJson) for _, row in sample):
        raise InvalidRoster(name, f"line {sample[0][0]} is no JSON, nor is what follows", "write one object a line")
    objects = [_without_our_keys(row) for _, row in sample if isinstance(row, Mapping)]
    keys = list(dict.fromkeys(chain.from_iterable(objects))) or [COLUMN_OF_LONE_VALUES]
    columns = guess_columns(
        [[row.get(key) for key in keys] for row in objects], file=name, keys=keys, mapping=mapping, region=region
    )
    return _Contents("ndjson", columns, _cells_of_objects(chain(sample, rows), columns, keys))


def _without_our_keys(row: Mapping[Any, object]) -> Mapping[Any, object]:
    """Take from the object of a rejects file what was put before it."""
    if "reason" in row and tuple(islice(row, len(OURS))) == OURS:
        return {key: value for key, value in row.items() if key not in OURS}
    return row


def _cells_of_objects(
    rows: Iterator[tuple[int, object]], columns: Columns, keys: Sequence[Any]
) -> Iterator[Cells | Reject]:
    roles = (columns.number, columns.alias, columns.channel, columns.subaccount)
    number, alias, channel, subaccount = (_NOWHERE if place is None else keys[place] for place in roles)
    for line, row in rows:
        if isinstance(row, Mapping):
            raw = _without_our_keys(row)
            yield Cells(line, raw, raw.get(number), raw.get(alias), raw.get(channel), raw.get(subaccount))
        elif isinstance(row, _NoJson):
            yield Reject.of(line, "json", {"row": str(row)})
        else:
            yield Cells(line, {columns.names[columns.number]: row}, row, None, None, None)

"""Open a roster: a file of phone numbers, or rows from Python.

A file is CSV (comma, semicolon, tab, bar) or NDJSON, packed with gzip or not, in UTF-8 or UTF-16. The format and the
columns are guessed from the first 64 KiB and the first 50 rows; `text`, `contents` and `columns` have the rules. The
same file always gives the same guess. A roster is read as a stream: memory does not grow with it.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Self

from ringproof.errors import InvalidRoster
from ringproof.rosters.columns import ColumnMapping
from ringproof.rosters.contents import Contents, read_contents, read_objects, refusing_unread_numbers
from ringproof.rosters.row import Cells, Reject, Row, RowChecker
from ringproof.rosters.text import LineReader


class Roster:
    """An open roster, to be iterated over once. It yields a `Row` or a `Reject` for each row, in the file's order.

        >>> with open_roster("people.csv", region="US") as roster:
        ...     numbers = [row.number.e164 for row in roster if isinstance(row, Row)]
        >>> roster.accepted, roster.reasons
        (180, Counter({'no_country': 2}))

    Known from the start: `name`, `format` (csv, ndjson or rows), `encoding`, `delimiter`, `columns`, `header_line`, and
    the `fingerprint` of a file that is no pipe. What stands above the header is passed over. Of the rows so far: `line`
    is the last one's, `accepted` counts the rows, and `reasons` counts the rejects by reason.
    """

    def __init__(self, name: str, contents: Contents, checker: RowChecker, lines: LineReader | None = None) -> None:
        self.name = name
        self.format, self.columns, self.delimiter = contents.format, contents.columns, contents.delimiter
        self.header_line = contents.header_line
        self.encoding = lines.encoding if lines else None
        self.line = self.accepted = 0
        self.reasons: Counter[str] = Counter()
        self._lines, self._opened = lines, ExitStack()
        self._read_as = (contents.columns, checker.region, checker.channel, *(("plus",) if checker.plus else ()))
        self._checker = checker
        cells = refusing_unread_numbers(contents, name) if contents.columns.unread else contents.cells
        outcomes = _checked(cells, checker)
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
        contents = read_contents(lines, mapping, region)
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
    contents = read_objects(enumerate(rows, 1), name, mapping, region, is_json=False)._replace(format="rows")
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

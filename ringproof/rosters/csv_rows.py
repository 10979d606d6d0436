"""Read the rows of a CSV file. A line break in a quoted cell is no new row.

Quotes are in order if each is opened at a cell's start and closed before a delimiter or the line's end, and if the row
has as many fields as the header. A row of several lines is read only then. Otherwise the quote is forgotten: no line
that could belong to its cell becomes a row that is sent to.
"""

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

DELIMITERS: Final = ",;\t|"

MOST_LINES: Final = 50
"""Lines of one row. An address has five; a quote that is still open after 50 lines was never closed."""

_SEP_LINE: Final = re.compile(rf'\s*"?sep=(\\t|[^\s"]|[\t ])"?([{DELIMITERS}]*)\s*', re.IGNORECASE)


class UnclosedQuote(list[str]):
    """The fields of a line with a quote that is never closed, or of a line that may belong to such a quote's cell."""


def guess_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter by which most rows have equally many fields, or else a comma.

        >>> guess_delimiter(["phone;alias", "+14155550123;Doe, John"])
        ';'

    Of two that fit equally well, the first of `DELIMITERS` is returned. Excel's own first line, `sep=;`, decides.
    """
    if lines and (delimiter := _delimiter_in_sep_line(lines[0])):
        return delimiter

    return max(DELIMITERS, key=lambda delimiter: _fit(lines, delimiter))


def _fit(lines: Sequence[str], delimiter: str) -> float:
    """Return how well a delimiter fits, from 0 to 1; at most a half if it puts quotes into the middle of cells."""
    rows: list[list[str]] = []
    is_open = False
    for line in lines:
        part = _split(line, delimiter, is_open=is_open)
        if is_open:
            rows[-1][-1] += part.fields[0]
            rows[-1].extend(part.fields[1:])
        elif line.strip():
            rows.append(part.fields)
        is_open = part.is_open
    widths = Counter(map(len, rows))
    most = max((count for width, count in widths.items() if width > 1), default=0)
    whole = rows[:-1] if is_open else rows  # the last row may end after these lines
    is_in_order = not any(cell.count('"') % 2 for row in whole for cell in row)
    return most / max(1, len(rows)) * (1 if is_in_order else 0.5)


def read_rows(lines: Iterator[str], delimiter: str, width: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield each row's fields, with the number of its first line, counted from 1.

        >>> list(read_rows(iter(["phone,alias", "", '+14155550123,"Doe, John"']), ","))
        [(1, ['phone', 'alias']), (3, ['+14155550123', 'Doe, John'])]

    Empty lines are no rows, nor is Excel's line `sep=;`. A quoted field may have several lines, up to 50 in a row.
    `width` is the header's number of fields; without it, a row of several lines may have any number.

    If quotes are not in order, the row is an `UnclosedQuote`, and so is each line that may stand in its cell: all lines
    to the closing quote, or else those that have not the header's number of fields. So are shorter rows among the next
    50 lines, up to a row with all fields: the quote may have been the other one of its cell. The same holds after a row
    of several lines if one line has all fields by itself. Text after a closing quote belongs to the field.
    """
    first = next(lines, "")
    number = 2 if _delimiter_in_sep_line(first) else 1
    source = _RowLines(lines if number == 2 or not first else chain((first,), lines))
    reader = _reader(iter(source), delimiter, strict=True)
    doubtful_lines = 0
    while True:
        try:
            fields = next(reader)
            is_in_order = len(source.used) == 1 or _has_width(fields, width)
        except StopIteration:
            return
        except csv.Error:
            fields, is_in_order = [], False
        if not is_in_order:
            source.return_all_but_first()
            for at, row in enumerate(_rows_without_quote(source, delimiter, width), number):
                doubtful_lines = _doubtful_lines(row, width, doubtful_lines)
                if row:
                    yield at, row
            reader = _reader(iter(source), delimiter, strict=True)
        elif fields:
            if doubtful_lines and width is not None:
                doubtful_lines = doubtful_lines - 1 if len(fields) < width else 0
                fields = UnclosedQuote(fields) if len(fields) < width else fields
            if len(source.used) > 1 and _may_hold_a_row(source.used, delimiter, width):
                doubtful_lines = MOST_LINES
            yield number, fields
        number += len(source.used)
        source.used.clear()


def _doubtful_lines(row: list[str], width: int | None, before: int) -> int:
    """Return after how many lines a short row may be a row again, after this one."""
    if isinstance(row, UnclosedQuote):
        return MOST_LINES
    return before - 1 if before and width and len(row) < width else 0


def _may_hold_a_row(lines: Sequence[str], delimiter: str, width: int | None) -> bool:
    """Whether one of a row's lines would be a row by itself: the quote before it may have been closed by its own."""
    return width is not None and any(len(_split(line, delimiter).fields) >= width for line in lines[1:])


def _has_width(fields: Sequence[str], width: int | None) -> bool:
    """Whether a row has the header's number of fields; more of them may be empty."""
    return width is None or len(fields) == width or (len(fields) > width and not any(map(str.strip, fields[width:])))


class _RowLines:
    """Lines that the CSV reader takes for one row. All but the first can be returned, and are then read again."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.used: list[str] = []
        self._lines = lines
        self._returned: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        used, returned, lines = self.used, self._returned, self._lines
        while True:
            if used or returned:
                line = self.take()
            elif (line := next(lines, None)) is not None:  # nearly all rows have one line, which is to be quick
                used.append(line)
            if line is None:
                return
            yield line

    def take(self) -> str | None:
        """Return the next line, or None at the file's end and after 50 lines of one row."""
        if len(self.used) == MOST_LINES:
            return None
        line = self._returned.popleft() if self._returned else next(self._lines, None)
        if line is not None:
            self.used.append(line)
        return line

    def return_last(self) -> None:
        """Have the last line of this row read again."""
        self._returned.appendleft(self.used.pop())

    def return_all_but_first(self) -> None:
        """Have all lines of this row but the first read again."""
        while len(self.used) > 1:
            self.return_last()


def _rows_without_quote(source: _RowLines, delimiter: str, width: int | None) -> list[list[str]]:
    """Return a row for each line from a quote that is not in order to the end of what may stand in its cell.

    The quote's own line is in `source.used`, and so is each line that is taken after it.
    """
    opening = _split(source.used[0], delimiter)
    is_open = opening.is_open
    if not is_open:
        return [_read_alone(source.used[0], delimiter)]
    while is_open and (line := source.take()) is not None:
        alone = _split(line, delimiter)
        if alone.has_quotes and not alone.is_open and len(alone.fields) == (width or len(alone.fields)):
            source.return_last()  # a row of its own, with quotes in order: the quote before it was never closed
            break
        is_open = _split(line, delimiter, is_open=True).is_open
    rows = [_read_alone(line, delimiter) for line in source.used]
    if not is_open:
        return [UnclosedQuote(row) for row in rows]
    count = len(opening.fields) + opening.fields[-1].count(delimiter)  # of fields, if the quote is a common letter
    is_incomplete = width is not None and count < width
    if is_incomplete:
        rows[0] = UnclosedQuote(rows[0])
    for at, row in enumerate(rows[1:], 1):
        if row and (is_incomplete or not _has_width(row, width)):
            is_incomplete = is_incomplete and count + len(row) <= (width or 0)
            rows[at] = UnclosedQuote(row)
    return rows


class _Line(NamedTuple):
    """A line that was split without the rest of its row."""

    fields: list[str]
    has_quotes: bool
    is_open: bool


def _split(line: str, delimiter: str, *, is_open: bool = False) -> _Line:
    """Split a line at its delimiters. A quote closes only before a delimiter or the line's end."""
    line = line.rstrip("\n")
    fields, start, at, has_quotes = list[str](), 0, 0, False
    while at <= len(line):
        if is_open:
            at = line.find('"', at)
            if at < 0:
                break
            rest = line[at + 1 :].lstrip(" ")
            if line[at + 1 : at + 2] == '"':
                at += 1
            elif not rest or rest[0] == delimiter:
                is_open = False
            at += 1
            continue
        if at == start and (quote := line[at:].lstrip(" "))[:1] == '"':
            at = len(line) - len(quote) + 1
            is_open = has_quotes = True
            continue
        end = line.find(delimiter, at)
        end = len(line) if end < 0 else end
        fields.append(line[start:end])
        start = at = end + 1
    if is_open:
        fields.append(line[start:])
    return _Line(fields, has_quotes, is_open)


def _reader(lines: Iterator[str], delimiter: str, *, strict: bool = False) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)


def _delimiter_in_sep_line(line: str) -> str | None:
    """Return the delimiter that Excel's line `sep=;` names, in any case, quoted or filled up; None for other lines."""
    match = _SEP_LINE.fullmatch(line)
    if match is None:
        return None
    return match[2][:1] or ("\t" if match[1] == "\\t" else match[1])


def _read_alone(line: str, delimiter: str) -> list[str]:
    """Return the fields of one line; they are complete if the number of its quotes is even."""
    try:
        fields = next(_reader(iter((line.rstrip("\n"),)), delimiter), [])
    except csv.Error:
        return UnclosedQuote([line])
    return UnclosedQuote(fields) if line.count('"') % 2 else fields

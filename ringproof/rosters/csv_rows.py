"""Read the rows of a CSV file. A quote that is not closed costs its own row only."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from ringproof.rosters.columns import kind_of

DELIMITERS: Final = ",;\t"

MOST_LINES: Final = 50
"""Lines of one row. An address has five; a quote that is still open after 50 lines was never closed."""


class UnclosedQuote(list[str]):
    """The fields of a line with a quote that is never closed, as far as they can be separated."""


def guess_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter by which most rows have as many fields as the first row, or else a comma.

        >>> guess_delimiter(["phone;alias", "+14155550123;Doe, John"])
        ';'

    Of two that fit equally well, the first of `DELIMITERS` is returned. Excel's own first line, `sep=;`, decides.
    """
    if lines and (delimiter := _delimiter_in_sep_line(lines[0])):
        return delimiter

    def fit(delimiter: str) -> float:
        try:
            widths = [len(row) for row in _reader(iter(lines), delimiter) if row]
        except csv.Error:  # a field of many lines, between two quotes that are not closed
            return 0
        return widths.count(widths[0]) / len(widths) if widths and widths[0] > 1 else 0

    return max(DELIMITERS, key=fit)


def read_rows(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row's fields, with the number of its first line, counted from 1.

        >>> list(read_rows(iter(["phone,alias", "", '+14155550123,"Doe, John"']), ","))
        [(1, ['phone', 'alias']), (3, ['+14155550123', 'Doe, John'])]

    Empty lines are no rows, nor is Excel's line `sep=;`. A quoted field may have several lines. If its quote is open
    after 50 lines, or if a later line has a phone number, which is most likely the next row's, the row is an
    `UnclosedQuote` of one line, and reading goes on with the next line. Text after a closing
    quote belongs to the field.
    """
    number = 1
    first = next(lines, "")
    if _delimiter_in_sep_line(first):
        number, first = 2, next(lines, "")
    source = _RowLines(chain((first,), lines) if first else lines)
    reader = _reader(iter(source), delimiter, strict=True)
    while True:
        try:
            fields = next(reader)
            has_other_rows = len(source.used) > 1 and _has_number_after_first_line(fields, delimiter)
        except StopIteration:
            return
        except csv.Error:
            fields, has_other_rows = [], True
        if has_other_rows:
            source.return_all_but_first()
            fields = _read_alone(source.used[0], delimiter)
            reader = _reader(iter(source), delimiter, strict=True)
        if fields:
            yield number, fields
        number += len(source.used)
        source.used.clear()


class _RowLines:
    """Lines that the CSV reader takes for one row. All but the first can be returned, and are then read again."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.used: list[str] = []
        self._lines = lines
        self._returned: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        while len(self.used) < MOST_LINES:
            line = self._returned.popleft() if self._returned else next(self._lines, None)
            if line is None:
                return
            self.used.append(line)
            yield line

    def return_all_but_first(self) -> None:
        """Have all lines of this row but the first read again."""
        self._returned.extendleft(reversed(self.used[1:]))
        del self.used[1:]


def _reader(lines: Iterator[str], delimiter: str, *, strict: bool = False) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)


def _delimiter_in_sep_line(line: str) -> str | None:
    """Return the delimiter that Excel's line `sep=;` names, or None if this is no such line."""
    line = line.rstrip("\n")
    return line[-1] if line[:-1] == "sep=" else None


def _has_number_after_first_line(fields: Sequence[str], delimiter: str) -> bool:
    """Whether a field has, after its first line, what looks like a phone number."""
    later_lines = (line for field in fields if "\n" in field for line in field.split("\n")[1:])
    return any(kind_of(part, None) for line in later_lines for part in line.split(delimiter))


def _read_alone(line: str, delimiter: str) -> list[str]:
    """Return the fields of one line; they are complete if the number of its quotes is even."""
    try:
        fields = next(_reader(iter((line.rstrip("\n"),)), delimiter))
    except csv.Error:
        return UnclosedQuote([line])
    return UnclosedQuote(fields) if line.count('"') % 2 else fields

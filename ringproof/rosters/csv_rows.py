"""The rows of a CSV file, of which none is lost to a quote that somebody forgot to close."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from ringproof.rosters.columns import likeness

DELIMITERS: Final = ",;\t"

MOST_LINES: Final = 50
"""Lines of a row. An address has five; a quote that is still open after these was forgotten."""


class Unclosed(list[str]):
    """The fields of a line that opens a quote which nothing closes, as far as they can be told apart."""


def guess_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter by which most rows have as many fields as the first; of equals, the first listed.

    Excel's own first line, `sep=;`, decides. Where nothing is delimited, it is a comma.
    """
    if lines and (told := _told_delimiter(lines[0])):
        return told

    def fit(delimiter: str) -> float:
        try:
            widths = [len(row) for row in _reader(iter(lines), delimiter) if row]
        except csv.Error:  # a field over many lines: what is between two forgotten quotes
            return 0
        return widths.count(widths[0]) / len(widths) if widths and widths[0] > 1 else 0

    return max(DELIMITERS, key=fit)


def read_table(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row's line, counted from 1, and its fields. Empty lines are no rows, nor is Excel's `sep=;`.

    A quoted field may go on over several lines. Whose quote is still open after 50, or whose later lines hold a phone
    number, which most likely is the next row's, is `Unclosed`: one line, and reading goes on with the next.
    What follows on a closing quote belongs to the field.
    """
    number = 1
    first = next(lines, "")
    if _told_delimiter(first):
        number, first = 2, next(lines, "")
    feed = _Feed(chain((first,), lines) if first else lines)
    reader = _reader(iter(feed), delimiter, strict=True)
    while True:
        try:
            fields = next(reader)
            swallowed = len(feed.used) > 1 and _has_swallowed_a_row(fields, delimiter)
        except StopIteration:
            return
        except csv.Error:
            fields, swallowed = [], True
        if swallowed:
            feed.take_back()
            fields = _alone(feed.used[0], delimiter)
            reader = _reader(iter(feed), delimiter, strict=True)
        if fields:
            yield number, fields
        number += len(feed.used)
        feed.used.clear()


class _Feed:
    """Lines, of which one row after another uses some, and may give all but its first back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.used: list[str] = []
        self._lines = lines
        self._back: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        while len(self.used) < MOST_LINES:
            line = self._back.popleft() if self._back else next(self._lines, None)
            if line is None:
                return
            self.used.append(line)
            yield line

    def take_back(self) -> None:
        """Have all lines of this row but the first come again."""
        self._back.extendleft(reversed(self.used[1:]))
        del self.used[1:]


def _reader(lines: Iterator[str], delimiter: str, *, strict: bool = False) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)


def _told_delimiter(line: str) -> str | None:
    line = line.rstrip("\n")
    return line[-1] if line[:-1] == "sep=" else None


def _has_swallowed_a_row(fields: Sequence[str], delimiter: str) -> bool:
    later = (line for field in fields if "\n" in field for line in field.split("\n")[1:])
    return any(likeness(part, None) for line in later for part in line.split(delimiter))


def _alone(line: str, delimiter: str) -> list[str]:
    """Return the fields of a line by itself; it is whole if its quotes are even in number."""
    try:
        fields = next(_reader(iter((line.rstrip("\n"),)), delimiter))
    except csv.Error:
        return Unclosed([line])
    return Unclosed(fields) if line.count('"') % 2 else fields

"""Keep the columns of a roster beside its batch, for the export: in compressed pages.

A page has the rows that one script stores in one list, and the place of its first row finds it. The rejected rows have
pages of their own, with the reasons.
"""

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate, chain, pairwise
from math import isfinite
from typing import Any, Final

from ringproof.ledger.ledger import Ledger
from ringproof.ledger.row_outcomes import LISTS
from ringproof.phone.masking import mask_value
from ringproof.rosters.columns import Columns
from ringproof.rosters.row import RawRow

REJECTED: Final = "rejected"
"""The pages of the rejected rows; the others are named as the lists."""

FILE_COLUMN: Final = ""
"""The column with the name of each row's file, if a batch has several files. No roster's column is named so."""

MOST_NAMES: Final = 1000
"""Names of columns that a batch keeps. Objects may have a name of their own in each row: these must not fill Redis."""

MOST_CHARACTERS: Final = 2_000_000
"""Characters of the rows of one script: rows with long texts must not fill the memory."""

_LEVEL: Final = 1
"""How hard zlib tries: 4 takes twice as long, and saves a tenth."""

_BETWEEN: Final = "\x7f"
"""What stands between the cells of a CSV row: one text is packed in a third of the time of a list."""

Group = dict[str, Any]
"""Rows of a page that have the same columns, as they are kept.

    {"names": ["Phone", "City"], "number": "Phone", "file": None, "lines": [2, 1], "rows": ["+1…\\x7fRome", …]}

A row is the text of its cells; or a list of them, if one has the sign between them in it; or an object with its names.
`lines` has the first row's line, and the difference of each other line to the one before. `reasons` is there for
rejected rows.
"""


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row as the roster had it: its line, its number as written, its cells by column, and why it was rejected.

    `number_column` is the name of the column with the number.
    """

    line: int
    written_as: object = field(repr=False)
    cells: Mapping[str, object] = field(repr=False)
    reason: str
    number_column: str


@dataclass(frozen=True, slots=True)
class _Roster:
    """The columns of the rows that are being added."""

    names: tuple[str, ...]
    number: str
    file: str | None


@dataclass(slots=True)
class _Rows:
    """Rows of a page with the same columns, before they are packed."""

    roster: _Roster
    lines: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    rows: list[object] = field(default_factory=list, repr=False)


class ColumnKeeper:
    """Collects the columns of the rows that the next script stores."""

    def __init__(self) -> None:
        self.characters = 0
        """How many characters the collected rows have."""
        self.rejected = 0
        """How many of them are rejected."""
        self._roster: _Roster | None = None
        self._known_names: set[str] = set()
        self._new_names: list[str] = []
        self._pages: dict[str, list[_Rows]] = {page: [] for page in (*LISTS, REJECTED)}

    def begin_roster(self, columns: Columns, file: str | None) -> None:
        """Keep these columns of the rows that are added from now on, and `file` as one column more."""
        names = unique_names(columns.names)
        self._add_names(names if file is None else (FILE_COLUMN, *names))
        self._roster = _Roster(names, names[columns.number], file)

    def add(self, page: str, line: int, raw: RawRow, reason: str = "") -> None:
        """Add a row: the fields of a CSV row, or an object. Without a roster nothing is kept."""
        roster = self._roster
        if roster is None:
            return
        if type(raw) is list or not isinstance(raw, Mapping):  # the first question is quick, and most rows are lists
            cells: Sequence[str] = raw if len(raw) == len(roster.names) else _fitted(raw, len(roster.names))
            text = _BETWEEN.join(cells)
            self.characters += len(text)
            row: object = text if text.count(_BETWEEN) == len(cells) - 1 else cells
        else:
            row = self._copied(raw)
        rows = self._pages[page]
        if not rows or rows[-1].roster is not roster:
            rows.append(_Rows(roster))
        rows[-1].lines.append(line)
        rows[-1].rows.append(row)
        if reason:
            rows[-1].reasons.append(reason)
            self.rejected += 1

    def take(self) -> tuple[list[bytes], list[str]]:
        """Return the collected pages, packed, and the names that are new in them; begin the next pages.

        The pages are those of each list, and that of the rejected rows; a page without a row is empty.
        """
        pages = [packed(list(map(_group_of, rows))) if rows else b"" for rows in self._pages.values()]
        names, self._new_names = self._new_names, []
        self._pages = {page: [] for page in self._pages}
        self.characters = self.rejected = 0
        return pages, names

    def _copied(self, raw: Mapping[Any, object]) -> Mapping[str, object]:
        """Return a copy of an object: its owner may use it again for the next row. A data frame has NaN for nothing."""
        row = {str(key): cell if type(cell) is not float or isfinite(cell) else None for key, cell in raw.items()}
        if not row.keys() <= self._known_names:
            self._add_names(row)
            row = {name: cell for name, cell in row.items() if name in self._known_names}
        self.characters += sum(len(cell) for cell in row.values() if isinstance(cell, str)) + 16 * len(row)
        return row

    def _add_names(self, names: Sequence[str] | Mapping[str, object]) -> None:
        for name in names:
            if name not in self._known_names and len(self._known_names) < MOST_NAMES:
                self._known_names.add(name)
                self._new_names.append(name)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of columns, with a number after each that occurs again, or that is empty.

    >>> unique_names(["Phone", "", "Phone"])
    ('Phone', 'column_2', 'Phone_2')
    """
    unique: dict[str, None] = {}
    for place, name in enumerate(names, 1):
        wanted = candidate = name or f"column_{place}"
        nth = 1
        while candidate in unique:
            nth += 1
            candidate = f"{wanted}_{nth}"
        unique[candidate] = None
    return tuple(unique)


class KeptPages:
    """Reads the pages of one list, or of the rejected rows; it remembers the page that was read last."""

    def __init__(self, ledger: Ledger, key: str) -> None:
        self._ledger, self._key = ledger, key
        self.firsts = sorted(map(int, ledger.run("hkeys", key)))
        self._first, self._rows = -1, list[KeptRow]()

    def row(self, place: int) -> KeptRow | None:
        """Return the row at a place, or None if its columns were not kept."""
        nth = bisect_right(self.firsts, place) - 1
        if nth < 0:
            return None
        rows = self.page(self.firsts[nth])
        offset = place - self.firsts[nth]
        return rows[offset] if offset < len(rows) else None

    def page(self, first: int) -> list[KeptRow]:
        """Return the rows of the page that begins at a place; none if the batch expired meanwhile."""
        if self._first != first:
            page = read_page(self._ledger, self._key, first)
            self._first = first
            self._rows = list(chain.from_iterable(map(_rows_of, unpacked(page)))) if page else []
        return self._rows


def read_page(ledger: Ledger, key: str, first: int) -> bytes | None:
    """Read a page as it is kept."""
    page: bytes | None = ledger.run("execute_command", "HGET", key, first, NEVER_DECODE=True)
    return page


def kept_names(ledger: Ledger, name: str) -> list[str]:
    """Return the names of a batch's kept columns, in the order in which the rosters have them."""
    names: list[str] = ledger.run("zrange", ledger.keys.batch(name).columns, 0, -1)
    return names


def unpacked(page: bytes) -> list[Group]:
    """Return the groups of a page."""
    groups: list[Group] = json.loads(zlib.decompress(page))
    return groups


def packed(groups: Sequence[Group]) -> bytes:
    """Return groups as a page. Rows from Python may have any object in them: its text is kept."""
    return zlib.compress(_json(groups).encode("utf-8", "backslashreplace"), _LEVEL)


def cells_of(group: Group, row: Any) -> dict[str, Any]:
    """Return the cells of a kept row by the names of their columns."""
    cells = row if isinstance(row, dict) else dict(zip(group["names"], _cells_in(row), strict=True))
    return cells if group["file"] is None else cells | {FILE_COLUMN: group["file"]}


def _cells_in(row: Any) -> Sequence[Any]:
    cells: Sequence[Any] = row.split(_BETWEEN) if isinstance(row, str) else row
    return cells


def _group_of(rows: _Rows) -> Group:
    group = {**asdict(rows.roster), "lines": _differences(rows.lines), "rows": rows.rows}
    return group | {"reasons": rows.reasons} if rows.reasons else group


def _differences(lines: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *lines])]


def _fitted(fields: Sequence[str], width: int) -> Sequence[str]:
    """Return as many fields as there are columns. A rejected row may have fewer, or more: the last one has the rest."""
    if len(fields) < width:
        return [*fields, *[""] * (width - len(fields))]
    if any(fields[width:]):
        return [*fields[: width - 1], ",".join(fields[width - 1 :])]
    return fields[:width]


def _rows_of(group: Group) -> Iterator[KeptRow]:
    lines, number = list(accumulate(group["lines"])), group["number"]
    reasons = group.get("reasons") or [""] * len(lines)
    for line, reason, row in zip(lines, reasons, group["rows"], strict=True):
        cells = cells_of(group, row)
        yield KeptRow(line, cells.get(number), cells, reason, number)


def _json(groups: Sequence[Group]) -> str:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
    try:
        return encode(groups)
    except (TypeError, ValueError, RecursionError):  # an object that contains itself, or that has no text
        return encode([{**group, "rows": [_plain_row(row) for row in group["rows"]]} for group in groups])


def _plain_row(row: object) -> object:
    return {name: _plain(cell) for name, cell in row.items()} if isinstance(row, dict) else row


def _plain(cell: object) -> object:
    return cell if cell is None or isinstance(cell, str | int | float) else mask_value(cell)

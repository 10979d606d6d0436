"""Keep the columns of a roster beside its batch: in compressed pages, which an export reads and an erasure rewrites.

A page has the rows that one script stores in one list, so that its first row's place finds it. Inside a page the cells
of one column stand together, which halves what they take. The page of the rejected rows has their reasons, too.
"""

import json
import unicodedata
import zlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from typing import Any, Final, NamedTuple

from ringproof.errors import InvalidRequest
from ringproof.ledger.ledger import Ledger
from ringproof.phone.masking import mask_value
from ringproof.phone.number import parse
from ringproof.phone.number_plan import find_plan
from ringproof.rosters.columns import Columns
from ringproof.rosters.row import RawRow

MOST_NAMES: Final = 1000
"""Names of columns that a batch keeps. Objects may have a name of their own in each row: these must not fill Redis."""

MOST_CHARACTERS: Final = 2_000_000
"""Characters of a page, after which the import stores it: rows with long texts must not fill the memory."""

_TAIL: Final = 6
"""Last digits of a number by which pages without it are passed over quickly."""

_LONG: Final = 7
"""Digits of a national number that are enough to find it among other digits."""

_LEVEL: Final = 4
"""How hard zlib tries: 6 takes twice as long, and saves a tenth."""

_ASCII_BUT_DIGITS: Final = bytes(byte for byte in range(128) if not 48 <= byte <= 57)


class KeptRow(NamedTuple):
    """A row as the roster had it: its line, its number as written, its cells by column, and why it was rejected.

    `number_column` is the column that has the number.
    """

    line: int
    written_as: object
    cells: Mapping[str, object]
    reason: str
    number_column: str


@dataclass(slots=True)
class _Group:
    """Rows of a page with the same columns."""

    names: Sequence[str]
    number: str
    lines: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    rows: list[RawRow] = field(default_factory=list)


class PageWriter:
    """Collects the rows of one page."""

    def __init__(self) -> None:
        self.rows = self.characters = 0
        self._groups: list[_Group] = []
        self._group: _Group | None = None

    def add(self, line: int, raw: RawRow, names: Sequence[str], number: str, reason: str = "") -> None:
        """Add a row: the fields of a CSV row with the names of their columns, or an object."""
        group = self._group
        if group is None or group.names is not names or group.number != number:
            group = self._group = _Group(names, number)
            self._groups.append(group)
        group.lines.append(line)
        group.reasons.append(reason)
        group.rows.append(raw)
        self.rows += 1
        self.characters += sum(map(len, raw)) if type(raw) is list else _size(raw)

    def pack(self) -> bytes:
        """Return the page as Redis keeps it; nothing if it has no row."""
        return _packed(list(map(_columns_of, self._groups))) if self.rows else b""


def unique_names(columns: Columns) -> tuple[str, ...]:
    """Return the names of a roster's columns, with a number after each that occurs again, or that is empty.

    `("Phone", "", "Phone")` becomes `("Phone", "column_2", "Phone_2")`.
    """
    names: dict[str, None] = {}
    for place, name in enumerate(columns.names, 1):
        wanted = unique = name or f"column_{place}"
        nth = 1
        while unique in names:
            nth += 1
            unique = f"{wanted}_{nth}"
        names[unique] = None
    return tuple(names)


class KeptPages:
    """Reads the pages of one list, or of the rejected rows; it remembers the page that was read last."""

    def __init__(self, ledger: Ledger, key: str) -> None:
        self._ledger, self._key = ledger, key
        self.firsts = sorted(map(int, ledger.run("hkeys", key)))
        self._read: tuple[int, list[KeptRow]] = (-1, [])

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
        if self._read[0] != first:
            packed = read_page(self._ledger, self._key, first)
            self._read = (first, list(chain.from_iterable(map(_rows_of, _unpacked(packed)))) if packed else [])
        return self._read[1]


def read_page(ledger: Ledger, key: str, first: int) -> bytes | None:
    """Read a page as it is kept."""
    page: bytes | None = ledger.run("execute_command", "HGET", key, first, NEVER_DECODE=True)
    return page


def kept_names(ledger: Ledger, name: str) -> list[str]:
    """Return the names of a batch's kept columns, in the order in which the rosters have them."""
    names: list[str] = ledger.run("zrange", ledger.keys.batch(name).columns, 0, -1)
    return names


def erase_in_columns(ledger: Ledger, name: str, number: str, places: Sequence[Collection[int]]) -> bool:
    """Erase a number in the kept columns of a batch; return whether it was there.

    `places` has the number's own rows, by list: all of their cells are erased. So are those of a rejected row with this
    number. From another row only the cell that has the number is erased: it may be a contact's second number.
    """
    keys = ledger.keys.batch(name)
    finder = NumberFinder(number)
    erased = False
    for key, own in zip(keys.pages, (*places, None), strict=True):
        for first in map(int, ledger.run("hkeys", key)):
            while page := read_page(ledger, key, first):
                groups = _erased_page(page, finder, own if own is None else [place - first for place in own])
                if groups is None:
                    break
                if ledger.run_script("batch/replace_page", [key], [first, page, _packed(groups)]):
                    erased = True
                    break
    for column in kept_names(ledger, name):
        if finder.is_in(column):
            ledger.run("zrem", keys.columns, column)
            erased = True
    return erased


class NumberFinder:
    """Finds a number in texts, however it is written."""

    def __init__(self, number: str) -> None:
        self._number = number
        self._digits = number.removeprefix("+")
        self._tail = self._digits[-_TAIL:]
        length_and_plan = find_plan(self._digits[:3])
        self._national = self._digits[length_and_plan[0] :] if length_and_plan else self._digits
        try:
            self._country: str | None = parse(number).country
        except InvalidRequest:
            self._country = None

    def may_be_in(self, text: bytes) -> bool:
        """Return whether a long text may have the number; False is certain."""
        return self._tail in _digits_of(text)

    def is_in(self, cell: object) -> bool:
        """Return whether a cell has the number: in full, or as people write it in its own country."""
        text = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
        digits = _digits_of(text.encode("utf-8", "replace"))
        if self._tail not in digits:
            return False
        if self._digits in digits or (len(self._national) >= _LONG and self._national in digits):
            return True
        try:
            return parse(text, self._country).e164 == self._number
        except InvalidRequest:
            return False


def _digits_of(text: bytes) -> str:
    """Return the digits of a text in UTF-8, those of other scripts as 0 to 9."""
    rest = text.translate(None, _ASCII_BUT_DIGITS).decode("utf-8", "replace")
    if rest.isascii():
        return rest
    return "".join(str(unicodedata.decimal(letter)) for letter in rest if letter.isdecimal())


def _erased_page(page: bytes, finder: NumberFinder, own: Sequence[int] | None) -> list[dict[str, Any]] | None:
    """Return a page's groups without the number, or None if it is not there.

    `own` are the places of its own rows in the page, or None if these are rejected rows, which have no number.
    """
    text = zlib.decompress(page)
    if not (may_be_in := finder.may_be_in(text)) and not own:
        return None
    groups: list[dict[str, Any]] = json.loads(text)
    changed = False
    if may_be_in:
        for group in groups:
            changed = _erase_cells(group, finder, are_rejected=own is None) or changed
    start = 0
    for group in groups:
        for place in own or ():
            if 0 <= place - start < len(group["lines"]):
                changed = _erase_row(group, place - start) or changed
        start += len(group["lines"])
    return groups if changed else None


def _erase_cells(group: dict[str, Any], finder: NumberFinder, *, are_rejected: bool) -> bool:
    """Erase the number in the names and cells of a group, and in full a rejected row that has it as its number.

    The number of any other row is known: it is another one, even if it is written with the same digits.
    """
    changed = False
    for column, (name, cells) in enumerate(zip(group["names"], group["cells"], strict=True)):
        if name == group["number"] and not are_rejected:
            continue
        for place, cell in enumerate(cells):
            if cell is not None and finder.is_in(cell):
                cells[place] = None
                changed = True
                if name == group["number"]:
                    _erase_row(group, place)
        if finder.is_in(name):
            group["names"][column] = f"column_{column + 1}"
            changed = True
    return changed


def _erase_row(group: dict[str, Any], place: int) -> bool:
    is_there = any(cells[place] is not None for cells in group["cells"])
    for cells in group["cells"]:
        cells[place] = None
    return is_there


def _columns_of(group: _Group) -> dict[str, Any]:
    """Return a group as it is kept: the differences of its lines, and its cells by column."""
    names = [str(name) for name in group.names]
    if isinstance(group.rows[0], Mapping):
        rows: list[Mapping[Any, Any]] = group.rows  # type: ignore[assignment]  # a roster has rows of one kind
        keys = list(dict.fromkeys(chain.from_iterable(rows)))
        names = [str(key) for key in keys]
        cells = [[row.get(key) for row in rows] for key in keys]
    else:
        width = len(names)
        cells = [list(cells) for cells in zip(*(_fitted(row, width) for row in group.rows), strict=True)]
    return {
        "names": names,
        "number": group.number,
        "lines": [after - before for before, after in pairwise([0, *group.lines])],
        "cells": cells,
        **({"reasons": group.reasons} if any(group.reasons) else {}),
    }


def _fitted(row: RawRow, width: int) -> Sequence[Any]:
    """Return as many fields as there are columns. A rejected row may have fewer, or more: the last one has the rest."""
    fields: Sequence[Any] = row  # type: ignore[assignment]  # a CSV row
    if len(fields) == width:
        return fields
    if len(fields) < width:
        return [*fields, *[""] * (width - len(fields))]
    if any(fields[width:]):
        return [*fields[: width - 1], ",".join(map(str, fields[width - 1 :]))]
    return fields[:width]


def _rows_of(group: Mapping[str, Any]) -> list[KeptRow]:
    names, number = group["names"], group["number"]
    lines = accumulate(group["lines"])
    reasons = group.get("reasons") or [""] * len(group["lines"])
    cells = zip(*group["cells"], strict=True) if names else [()] * len(group["lines"])
    kept = []
    for line, reason, row in zip(lines, reasons, cells, strict=True):
        by_name = dict(zip(names, row, strict=True))
        kept.append(KeptRow(line, by_name.get(number), by_name, reason, number))
    return kept


def _size(row: RawRow) -> int:
    if not isinstance(row, Mapping):
        return sum(map(len, row))
    return sum(len(cell) for cell in row.values() if isinstance(cell, str)) + 16 * len(row)


def _packed(groups: Sequence[Mapping[str, Any]]) -> bytes:
    """Return groups as JSON, compressed. Rows from Python may have any object in them: its text is kept."""
    return zlib.compress(_json(groups).encode("utf-8", "backslashreplace"), _LEVEL)


def _json(groups: Sequence[Mapping[str, Any]]) -> str:
    write: Callable[..., str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
    try:
        return write(groups)
    except (TypeError, ValueError, RecursionError):  # an object that contains itself, or that has no text
        plain = [{**group, "cells": [[_plain(cell) for cell in cells] for cells in group["cells"]]} for group in groups]
        return write(plain)


def _plain(cell: object) -> object:
    return cell if cell is None or isinstance(cell, str | int | float) else mask_value(cell)


def _unpacked(page: bytes) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = json.loads(zlib.decompress(page))
    return groups

"""Erase a number in the columns that batches keep of their rosters."""

import json
import unicodedata
import zlib
from collections.abc import Collection, Sequence
from itertools import zip_longest
from sys import maxsize
from typing import Final

from ringproof.batches.kept_columns import FILE_COLUMN, Group, cells_of, kept_names, packed, read_page, unpacked
from ringproof.errors import InvalidRequest
from ringproof.ledger.ledger import Ledger
from ringproof.phone.number import parse
from ringproof.phone.number_plan import find_plan

_TAIL: Final = 6
"""Last digits of a number by which pages without it are passed over quickly."""

_LONG: Final = 7
"""Digits of a national number that are enough to find it among other digits."""

_ASCII_BUT_DIGITS: Final = bytes(byte for byte in range(128) if not 48 <= byte <= 57)


def erase_in_columns(ledger: Ledger, name: str, number: str, places: Sequence[Collection[int]]) -> bool:
    """Erase a number in the kept columns of a batch; return whether it was there.

    `places` has the number's own rows, by list: all of their cells are erased. So are those of a rejected row with this
    number. From another row only the cell that has the number is erased: it may be a contact's second number.
    """
    keys = ledger.keys.batch(name)
    finder = NumberFinder(number)
    erased = False
    for key, own in zip(keys.pages, (*places, None), strict=True):
        firsts = sorted(map(int, ledger.run("hkeys", key)))
        for first, after in zip_longest(firsts, firsts[1:], fillvalue=maxsize):
            here = None if own is None else [place - first for place in own if first <= place < after]
            while page := read_page(ledger, key, first):
                if not (here or finder.may_be_in(page)) or (groups := _erased_page(page, finder, here)) is None:
                    break
                if ledger.run_script("batch/replace_page", [key], [first, page, packed(groups)]):
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

    def may_be_in(self, page: bytes) -> bool:
        """Return whether a page may have the number; False is certain."""
        return self._tail in _digits_of(zlib.decompress(page))

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


def _erased_page(page: bytes, finder: NumberFinder, own: Collection[int] | None) -> list[Group] | None:
    """Return a page's groups without the number, or None if it is not there.

    `own` are the places of its own rows in the page, or None if these are rejected rows, which have no number.
    """
    groups, start, changed = unpacked(page), 0, False
    for group in groups:
        own_rows = None if own is None else {place - start for place in own}
        changed = _erase_in_group(group, finder, own_rows) or changed
        start += len(group["rows"])
    return groups if changed else None


def _erase_in_group(group: Group, finder: NumberFinder, own: Collection[int] | None) -> bool:
    """Erase the number in the rows, the columns' names and the file's name of a group; return whether it was there.

    All cells of its own rows are erased, and of rejected rows that have it as their number. The number of any other row
    is known: it is another one, even if it is written with the same digits.
    """
    number, changed = group["number"], False
    for place, row in enumerate(group["rows"]):
        cells = cells_of(group, row)
        cells.pop(FILE_COLUMN, None)
        found = {
            name
            for name, cell in cells.items()
            if cell is not None and (own is None or name != number) and finder.is_in(cell)
        }
        if (own and place in own) or number in found:
            found = {name for name, cell in cells.items() if cell is not None}
        if found or (isinstance(row, dict) and any(map(finder.is_in, row))):
            kept = {name: None if name in found else cell for name, cell in cells.items()}
            is_object = isinstance(row, dict)
            group["rows"][place] = _without(kept, finder) if is_object else list(kept.values())
            changed = True
    names = [name if not finder.is_in(name) else f"column_{at}" for at, name in enumerate(group["names"], 1)]
    if names != group["names"]:
        if finder.is_in(number):
            group["number"] = names[group["names"].index(number)]
        group["names"], changed = names, True
    if group["file"] is not None and finder.is_in(group["file"]):
        group["file"], changed = "", True
    return changed


def _without(cells: dict[str, object], finder: NumberFinder) -> dict[str, object]:
    return {name: cell for name, cell in cells.items() if not finder.is_in(name)}

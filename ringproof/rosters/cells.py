"""Recognise what a cell of a roster is, to find its columns."""

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from ringproof.errors import InvalidNumber
from ringproof.phone.masking import mask_value
from ringproof.phone.number import parse

LISTED_COLUMNS: Final = 12
"""Columns that an error names."""

_DATE: Final = re.compile(r"(?:19|20)\d\d([-./])\d\d?\1\d\d?|\d\d?([-./])\d\d?\2(?:19|20)\d\d")


_NO_NUMBER: Final = frozenset(
    [
        "na",
        "n/a",
        "#n/a",
        "none",
        "null",
        "nil",
        "nan",
        "unknown",
        "no",
        "no phone",
        "tbd",
        "keine",
        "keiner",
        "k.a",
        "unbekannt",
        "ninguno",
        "sin teléfono",
        "s/n",
        "nenhum",
        "aucun",
        "non",
        "nessuno",
        "n.d",
        "geen",
        "n.v.t",
        "нет",
        "无",
        "無",
        "なし",
        "없음",
    ]
)


class CellKind(IntEnum):
    """What a cell is: a valid phone number, text with a number's digits and form, or anything else."""

    OTHER = 0
    DIGITS = 1
    NUMBER = 2


def is_empty(cell: object) -> bool:
    """Whether a cell has nothing in it but blanks."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def has_no_number(cell: object) -> bool:
    """Whether a cell says that there is no number: it is empty, has signs alone such as `-`, or says `n/a`."""
    if cell is None:
        return True
    if not isinstance(cell, str):
        return False
    text = cell.strip().casefold()
    return not any(map(str.isalnum, text)) or text.strip("().<>-[] ") in _NO_NUMBER


def kind_of(cell: object, region: str | None) -> CellKind:
    """Return what a cell is; `region` is the country of numbers without one."""
    if not isinstance(cell, str) or sum(map(str.isdecimal, cell)) < 7 or _DATE.fullmatch(cell.strip()):
        return CellKind.OTHER
    try:
        parse(cell, region)
    except InvalidNumber as error:
        return CellKind.OTHER if error.reason in {"not_a_number", "letters", "too_long"} else CellKind.DIGITS
    return CellKind.NUMBER


def listed(names: Sequence[str]) -> str:
    """Return the columns' names for an error, masked: without a header, they may be numbers."""
    more = f" and {len(names) - LISTED_COLUMNS:,} more" if len(names) > LISTED_COLUMNS else ""
    return ", ".join(map(mask_value, names[:LISTED_COLUMNS])) + more

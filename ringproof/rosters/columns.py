"""Find the columns of a roster: by the mapping, by the names in the header, or by the cells that are phone numbers."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NoReturn

from ringproof.errors import InvalidNumber, InvalidRequest, InvalidRoster
from ringproof.phone.masking import mask_value
from ringproof.phone.number import parse

REJECT_COLUMNS: Final = ("line", "column", "reason")
"""The first columns of a rejects file. They are left out when the file is imported."""

EXPORT_COLUMNS: Final = ("phone_number", "state", "reason")
"""The first columns of a batch's export. If it is imported, its own columns count, not those of the first roster."""

MOST_COLUMNS: Final = 1_000
"""A spreadsheet with more columns is no roster; most likely it has a column for each number."""

LISTED_COLUMNS: Final = 12
"""Columns that an error names."""

ColumnMapping = Mapping[str, str | int]
"""The columns of a roster by what they hold, by name or number: `{"number": "Phone", "alias": 3}`."""


def _plain(name: str) -> str:
    """Return a column's name in lower case, without accents and signs."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name).casefold()))


def _plain_names(text: str) -> frozenset[str]:
    return frozenset(map(_plain, text.split(",")))


HEADER_NAMES: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    "number": (
        _plain_names(
            "phone, phone number, phone no, phone nr, mobile, mobile phone, mobile number, mobile no, cell, cell phone,"
            "cell number, telephone, telephone number, telephone no, tel, tel no, msisdn, e164, caller id, gsm,"
            "Telefon, Telefonnummer, Rufnummer, Handy, Handynummer, Mobil, Mobilnummer, teléfono, número de teléfono,"
            "celular, móvil, telefone, número de telefone, telemóvel, cellulare, téléphone, numéro de téléphone,"
            "portable, telefoon, telefoonnummer, 电话, 电话号码, 手机, 手机号, 電話番号, 携帯電話, 전화번호"
        ),
        _plain_names("number, numero, Nummer"),
    ),
    "alias": (_plain_names("alias"), _plain_names("label, friendly name")),
    "channel": (_plain_names("channel"),),
    "subaccount": (_plain_names("subaccount, subaccount id"),),
}
"""Header names by what the column holds, in lower case, without accents and signs.

The second set of a role counts only if no column has a name of the first. A column with people's names is not used as
the alias unless the mapping says so: an alias goes to Plivo.
"""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a roster's columns, and the places of those that are read; None if there is no such column.

    Without a header, a column that is read is named `phone`, `alias` and so on, and any other `column_3`.
    """

    names: tuple[str, ...]
    has_header: bool
    number: int
    alias: int | None = None
    channel: int | None = None
    subaccount: int | None = None

    def name(self, role: str) -> str:
        """Return the name of the column that holds the number, alias, channel or subaccount."""
        place = getattr(self, role)
        return self.names[place] if isinstance(place, int) else role


class CellKind(IntEnum):
    """What a cell is: a valid phone number, text with a number's digits and form, or anything else."""

    OTHER = 0
    DIGITS = 1
    NUMBER = 2


def guess_columns(
    rows: Sequence[Sequence[object]],
    *,
    file: str,
    keys: Sequence[str] | None = None,
    mapping: ColumnMapping | None = None,
    region: str | None = None,
) -> Columns:
    """Return the columns of a roster, by its first rows; `keys` are the columns' names if the rows are objects.

        >>> guess_columns([["Name", "Phone"], ["Zoë", "+14155550123"]], file="people.csv")
        Columns(names=('Name', 'Phone'), has_header=True, number=1, alias=None, channel=None, subaccount=None)

    `mapping` gives columns by what they hold, such as `{"number": "Phone", "alias": "3"}`; 3 is the third column,
    unless a column is named 3. Other columns are found by header name, then by content: at least half of the cells
    look like phone numbers. Two candidates are an error. The first row is a header if no cell in it looks like a
    number.

    Raises `InvalidRoster` if no column or more than one may hold the numbers, if a mapped column is missing, and for
    more than 1,000 columns. Raises `InvalidRequest` if `mapping` has an unknown role.
    """
    first = [str(cell) for cell in (rows[0] if keys is None else keys)]
    if len(first) > MOST_COLUMNS:
        raise InvalidRoster(
            file,
            f"it has {len(first):,} columns",
            f"give it a row for each number, and at most {MOST_COLUMNS:,} columns",
        )
    mapped = {role: str(name) for role, name in (mapping or {}).items()}
    if tuple(first[: len(EXPORT_COLUMNS)]) == EXPORT_COLUMNS:
        own = {"number": "phone_number", **{role: role for role in ("alias", "channel", "subaccount")}}
        mapped = {role: name for role, name in own.items() if name in first} | mapped
    has_header = (
        keys is not None
        or any(name in first and not name.isdecimal() for name in mapped.values())
        or not any(kind_of(cell, region) for cell in first)
    )
    below = rows[1:] if has_header and keys is None else rows
    header = first if has_header else ()
    places = {role: _mapped_place(role, name, header, len(first), file) for role, name in mapped.items()}
    if has_header:
        places = _places_by_name(first, file, set(places.values())) | places
    if "number" not in places:
        places["number"] = _number_by_content(below, first, file, region)
        # The first row may be a row with a bad number, which the import must reject; but "Phone 2" is a header.
        has_header = has_header and (keys is not None or sum(map(str.isdecimal, first[places["number"]])) < 3)
    if has_header:
        names = first
    else:
        roles = {place: "phone" if role == "number" else role for role, place in places.items()}
        names = [roles.get(place, f"column_{place + 1}") for place in range(len(first))]
    return Columns(tuple(names), has_header, **places)


def _mapped_place(role: str, name: str, header: Sequence[str], width: int, file: str) -> int:
    """Return the place of the column that a mapping names."""
    if role not in HEADER_NAMES:
        raise InvalidRequest(
            "mapping", mask_value(role), f"map one of {', '.join(HEADER_NAMES)} to the name of a column"
        )
    places: list[int] = []
    for spelling in (str, _plain):
        places = places or [place for place, field in enumerate(header) if spelling(field) == spelling(name)]
    if not places and name.isdecimal() and name.isascii() and 1 <= int(name[:9]) <= width:
        places = [int(name[:9]) - 1]
    if len(places) == 1:
        return places[0]
    columns = f"it has {_listed(header)}" if header else f"it has no header, and {width:,} columns"
    how_many = "more than one column is" if places else "no column is"
    raise InvalidRoster(
        file, f"{how_many} named {mask_value(name)}; {columns}", "map a column that the file has, by its name or number"
    )


def _places_by_name(header: Sequence[str], file: str, taken: Collection[int]) -> dict[str, int]:
    """Return the places of the columns whose names are known."""
    plain = [_plain(name) for name in header]
    places: dict[str, int] = {}
    for role, sets_of_names in HEADER_NAMES.items():
        for names in sets_of_names:
            candidates = [place for place, name in enumerate(plain) if name in names and place not in taken]
            if len(candidates) > 1:
                _refuse_choice(role, [header[place] for place in candidates], file)
            if candidates:
                places[role] = candidates[0]
                break
    return places


def _number_by_content(rows: Sequence[Sequence[object]], first: Sequence[str], file: str, region: str | None) -> int:
    """Return the place of the one column in which at least half of the cells are numbers, or look like numbers."""
    kinds_by_column = [
        [kind_of(cell, region) for row in rows for cell in row[place : place + 1] if not _is_empty(cell)]
        for place in range(len(first))
    ]
    for least in (CellKind.NUMBER, CellKind.DIGITS):
        candidates = [
            place
            for place, kinds in enumerate(kinds_by_column)
            if 0 < len(kinds) <= 2 * sum(kind >= least for kind in kinds)
        ]
        if len(candidates) > 1:
            _refuse_choice("number", [first[place] for place in candidates], file)
        if candidates:
            return candidates[0]
    raise InvalidRoster(
        file,
        f"no column has phone numbers, by name or content; it has {_listed(first)}",
        "say which column has them: mapping={'number': 'COLUMN'}",
    )


def _is_empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def kind_of(cell: object, region: str | None) -> CellKind:
    """Return what a cell is; `region` is the country of numbers without one."""
    if not isinstance(cell, str) or sum(map(str.isdecimal, cell)) < 7:
        return CellKind.OTHER
    try:
        parse(cell, region)
    except InvalidNumber as error:
        return CellKind.OTHER if error.reason in {"not_a_number", "letters", "too_long"} else CellKind.DIGITS
    return CellKind.NUMBER


def _listed(names: Sequence[str]) -> str:
    """Return the columns' names for an error, masked: without a header, they may be numbers."""
    more = f" and {len(names) - LISTED_COLUMNS:,} more" if len(names) > LISTED_COLUMNS else ""
    return ", ".join(map(mask_value, names[:LISTED_COLUMNS])) + more


def _refuse_choice(role: str, names: Sequence[str], file: str) -> NoReturn:
    raise InvalidRoster(
        file,
        f"{len(names)} columns could be the {role}: {_listed(names)}",
        f"say which one is: mapping={{'{role}': 'COLUMN'}}",
    )

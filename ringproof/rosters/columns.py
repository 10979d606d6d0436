"""Which column of a roster holds what: as it is told, or else by the header's names, or else by the numbers."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from ringproof.errors import InvalidNumber, InvalidRequest, InvalidRoster
from ringproof.phone.masking import mask_value
from ringproof.phone.number import parse

OURS: Final = ("line", "column", "reason")
"""The columns that come first in a file of rejects, and are left out when it is read again."""

MOST_COLUMNS: Final = 1_000
"""Spreadsheets with more are no rosters but something turned by 90 degrees."""


ColumnMapping = Mapping[str, str | int]
"""The columns of a roster by what they hold, by name or number: `{"number": "Phone", "alias": 3}`."""


def _plain(name: str) -> str:
    """Return a column's name without case, accents and signs."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name).casefold()))


def _names(text: str) -> frozenset[str]:
    return frozenset(map(_plain, text.split(",")))


NAMES: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    "number": (
        _names(
            "phone, phone number, phone no, phone nr, mobile, mobile phone, mobile number, mobile no, cell, cell phone,"
            "cell number, telephone, telephone number, telephone no, tel, tel no, msisdn, e164, caller id, gsm,"
            "Telefon, Telefonnummer, Rufnummer, Handy, Handynummer, Mobil, Mobilnummer, teléfono, número de teléfono,"
            "celular, móvil, telefone, número de telefone, telemóvel, cellulare, téléphone, numéro de téléphone,"
            "portable, telefoon, telefoonnummer, 电话, 电话号码, 手机, 手机号, 電話番号, 携帯電話, 전화번호"
        ),
        _names("number, numero, Nummer"),
    ),
    "alias": (_names("alias"), _names("label, friendly name")),
    "channel": (_names("channel"),),
    "subaccount": (_names("subaccount, subaccount id"),),
}
"""Header names by what they hold, without case, accents and signs; the later ones count if there is none of the first.

A person's name goes to nobody unless it is told to be the alias.
"""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a roster's columns, and where in them stands what is read; None is nowhere.

    Without a header, `phone` and so on are the names of what is read, and `column_3` of others.
    """

    names: tuple[str, ...]
    header: bool
    number: int
    alias: int | None = None
    channel: int | None = None
    subaccount: int | None = None

    def name(self, role: str) -> str:
        """Return the name of the column that holds this."""
        place = getattr(self, role)
        return self.names[place] if isinstance(place, int) else role


def guess_columns(
    rows: Sequence[Sequence[object]],
    *,
    file: str,
    keys: Sequence[str] | None = None,
    mapping: ColumnMapping | None = None,
    region: str | None = None,
) -> Columns:
    """Tell which column holds what, from a file's first rows; `keys` are their names where they come with names.

    `mapping` has columns by what they hold: `{"number": "Phone", "alias": "3"}`; 3 is the third, unless one has that
    name. What it leaves open is guessed by `NAMES`; for want of such a name, the number is where half of the fields are
    good numbers, or at least have a number's digits. The first row is a header if no number is in it.
    Nothing is chosen of two that are alike.

    Raises `InvalidRoster` if no column holds numbers, or more than one could, and for too many; `InvalidRequest` for
    a mapping of something unknown.
    """
    first = [str(field) for field in (rows[0] if keys is None else keys)]
    if len(first) > MOST_COLUMNS:
        raise InvalidRoster(
            file,
            f"it has {len(first):,} columns",
            f"give it a row for each number, and at most {MOST_COLUMNS:,} columns",
        )
    told = {role: str(name) for role, name in (mapping or {}).items()}
    header = (
        keys is not None
        or any(name in first and not name.isdecimal() for name in told.values())
        or not any(likeness(field, region) for field in first)
    )
    below = rows[1:] if header and keys is None else rows
    places = {role: _told(role, name, first if header else (), len(first), file) for role, name in told.items()}
    if header:
        places = _named(first, file, set(places.values())) | places
    if "number" not in places:
        places["number"] = _by_content(below, first, file, region)
        # A first row without a number may be a bad one, which must come back as such; but "Phone 2" is a header.
        header = header and (keys is not None or sum(map(str.isdecimal, first[places["number"]])) < 3)
    if header:
        names = first
    else:
        roles = {place: "phone" if role == "number" else role for role, place in places.items()}
        names = [roles.get(place, f"column_{place + 1}") for place in range(len(first))]
    return Columns(tuple(names), header, **places)


def _told(role: str, name: str, header: Sequence[str], width: int, file: str) -> int:
    """Return the place of the column that a mapping names."""
    if role not in NAMES:
        raise InvalidRequest("mapping", mask_value(role), f"map one of {', '.join(NAMES)} to the name of a column")
    found: list[int] = []
    for same in (str, _plain):
        found = found or [place for place, field in enumerate(header) if same(field) == same(name)]
    if not found and name.isdecimal() and name.isascii() and 1 <= int(name[:9]) <= width:
        found = [int(name[:9]) - 1]
    if len(found) == 1:
        return found[0]
    has = f"it has {_list(header)}" if header else f"it has no header, and {width:,} columns"
    told = "more than one column is" if found else "no column is"
    raise InvalidRoster(file, f"{told} named {mask_value(name)}; {has}", "map one that it has, by its name or number")


def _named(header: Sequence[str], file: str, taken: Collection[int]) -> dict[str, int]:
    """Return the places of columns that are known by their names."""
    plain = [_plain(name) for name in header]
    places: dict[str, int] = {}
    for role, names in NAMES.items():
        for known in names:
            found = [place for place, name in enumerate(plain) if name in known and place not in taken]
            if len(found) > 1:
                _refuse_choice(role, [header[place] for place in found], file)
            if found:
                places[role] = found[0]
                break
    return places


def _by_content(rows: Sequence[Sequence[object]], first: Sequence[str], file: str, region: str | None) -> int:
    """Return the place of the one column that holds numbers."""
    likenesses = [
        [likeness(field, region) for row in rows for field in row[place : place + 1] if not _is_blank(field)]
        for place in range(len(first))
    ]
    for enough in (2, 1):
        found = [
            place
            for place, fields in enumerate(likenesses)
            if 0 < len(fields) <= 2 * sum(likeness >= enough for likeness in fields)
        ]
        if len(found) > 1:
            _refuse_choice("number", [first[place] for place in found], file)
        if found:
            return found[0]
    raise InvalidRoster(
        file,
        f"no column has phone numbers, by name or content; it has {_list(first)}",
        "say which one it is: mapping={'number': 'COLUMN'}",
    )


def _is_blank(field: object) -> bool:
    return field is None or (isinstance(field, str) and not field.strip())


def likeness(field: object, region: str | None) -> int:
    """Return 2 for a good number, 1 for what at least has a number's digits and form, 0 for all else."""
    if not isinstance(field, str) or sum(map(str.isdecimal, field)) < 7:
        return 0
    try:
        parse(field, region)
    except InvalidNumber as error:
        return int(error.reason not in {"not_a_number", "letters", "too_long"})
    return 2


def _list(names: Sequence[str]) -> str:
    """Return the names of columns as they may be shown: without a header, they may be numbers."""
    more = f" and {len(names) - 12:,} more" if len(names) > 12 else ""
    return ", ".join(map(mask_value, names[:12])) + more


def _refuse_choice(role: str, names: Sequence[str], file: str) -> NoReturn:
    raise InvalidRoster(
        file,
        f"{len(names)} columns could be the {role}: {_list(names)}",
        f"say which one is: mapping={{'{role}': 'COLUMN'}}",
    )

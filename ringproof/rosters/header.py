"""The names that people give to the columns of a roster, and which row of a file is the header."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import takewhile
from typing import Final

from ringproof.errors import InvalidRoster
from ringproof.rosters.cells import CellKind, is_empty, kind_of

HEADER_ROWS: Final = 20
"""Rows in which the header is looked for. A report has some lines of titles above its table, and hardly more."""


def plain(name: str) -> str:
    """Return a column's name in lower case, without accents and signs."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name).casefold()))


def _plain_names(text: str) -> frozenset[str]:
    return frozenset(map(plain, text.split(",")))


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
    "country": (
        _plain_names(
            "country code, country iso, iso country, iso country code, country iso code, iso 2, iso2, iso code,"
            "country short, Ländercode, Länderkürzel, Landeskürzel, Länderkennung, código de país, código del país,"
            "código do país, code pays, codice paese, landcode, 国家代码, 国コード, 국가 코드"
        ),
        _plain_names(
            "dial code, dialing code, dialling code, country dial code, calling code, country calling code, phone code,"
            "phone country code, country prefix, phone prefix, Vorwahl, Ländervorwahl, Landesvorwahl, prefijo,"
            "prefijo de país, indicatif, indicatif pays, prefisso, landnummer, 区号, 国番号, 국가번호"
        ),
        _plain_names("country, country region, nation, Land, país, pays, paese, 国家, 国, 국가"),
    ),
}
"""Header names by what the column holds, in lower case, without accents and signs.

The next set of a role counts only if no column has a name of an earlier one. A column with people's names is not used
as the alias unless the mapping says so: an alias goes to Plivo.
"""


def _any_of(text: str) -> re.Pattern[str]:
    return re.compile("|".join(sorted(_plain_names(text))))


_PHONE_LIKE: Final = _any_of(
    "phone, mobile, mobil, cellular, cell number, msisdn, e164, whatsapp, gsm, Telefon, Rufnummer, Handy, teléfono,"
    "celular, móvil, telefone, telemóvel, cellulare, téléphone, portable, telefoon, 电话, 手机, 電話, 携帯, 전화, 휴대"
)
_PHONE_WORDS: Final = frozenset({"tel", "cell", "mob", "ph"})
_NOT_OF_THE_CONTACT: Final = _any_of("fax, address, Adresse, adresa, dirección, endereço, indirizzo, 地址, 住所, 주소")


def is_phone_like(name: str) -> bool:
    """Whether a column's name says that it has phone numbers, such as `SMS Phone Number`, `Tel. 2` or `Handy privat`.

    Fax numbers are none, and a telephone of an address is not the contact's own.
    """
    words = set(re.split(r"[\W\d_]+", name.casefold()))
    return not _NOT_OF_THE_CONTACT.search(plain(name)) and bool(_PHONE_LIKE.search(plain(name)) or words & _PHONE_WORDS)


def roles_of(cells: Sequence[object]) -> dict[str, int]:
    """Return which roles the cells of a row name, each with its first place."""
    names = [plain(cell) if isinstance(cell, str) else "" for cell in cells]
    roles: dict[str, int] = {}
    for role, sets_of_names in HEADER_NAMES.items():
        for known in sets_of_names:
            places = [place for place, name in enumerate(names) if name in known]
            if places:
                roles[role] = places[0]
                break
    return roles


def find_header(
    rows: Sequence[Sequence[str]], *, file: str, mapped: Mapping[str, str], region: str | None
) -> tuple[int, bool]:
    """Return the place of the header among a file's first rows, and whether it names a column that is known.

        >>> rows = [["Contacts 2026", ""], ["Name", "Phone"], ["Zoë", "+14155550123"]]
        >>> find_header(rows, file="people.csv", mapped={}, region=None)
        (1, True)

    The header is the row above the numbers that names the number's column; of several, the one that names most. If no
    row names it, the header is the row that names another column. If no row does, titles are passed over, which are
    rows of one cell above a table; the next row may be a header or not.

    Raises `InvalidRoster` if two rows name columns, or if a number stands above the header.
    """
    wanted = {plain(name) for role, name in mapped.items() if not name.isdecimal()}
    wanted_number = plain(mapped.get("number", ""))
    roles = [roles_of(row) for row in rows[:HEADER_ROWS]]
    names_number = [
        "number" in named or (wanted_number in wanted and wanted_number in map(plain, row))
        for row, named in zip(rows, roles, strict=False)
    ]
    first_number = next((at for at, row in enumerate(rows[:HEADER_ROWS]) if _has_number(row, region)), len(roles))
    end = first_number
    if not any(names_number[:end]):  # a title may have a number in it, and so may the name of a column
        end = 1 + next((at for at in range(end, len(roles)) if _is_above_numbers(rows, at, roles[at], region)), end - 1)
    naming = [at for at in range(end) if names_number[at]] or [
        at for at in range(end) if roles[at].keys() - {"country"} or wanted & set(map(plain, rows[at]))
    ]
    if not naming:
        has_table = max(map(len, rows)) > 1
        titles = (
            takewhile(lambda row: sum(not is_empty(cell) for cell in row) < 2, rows[: end - 1]) if has_table else ()
        )
        return len(list(titles)), False
    header = max(naming, key=lambda at: (len(roles[at]) + len(wanted & set(map(plain, rows[at]))), -at))
    _refuse_what_is_lost(rows, header, first_number, roles[:end], set(mapped), file=file, region=region)
    return header, True


def _has_number(row: Sequence[object], region: str | None) -> bool:
    return any(kind_of(cell, region) for cell in row)


def _is_above_numbers(rows: Sequence[Sequence[str]], at: int, roles: Mapping[str, int], region: str | None) -> bool:
    """Whether a row with a number in it is a header all the same: it names a column, and has no number."""
    place = roles.get("number")
    if place is None:
        is_named = bool(roles.keys() - {"country"})
        return is_named and all(kind_of(cell, region) < CellKind.NUMBER for cell in rows[at])
    return any(kind_of(cell, region) for row in rows[at + 1 :] for cell in row[place : place + 1])


def _refuse_what_is_lost(
    rows: Sequence[Sequence[str]],
    header: int,
    first_number: int,
    roles: Sequence[Mapping[str, int]],
    mapped: AbstractSet[str],
    *,
    file: str,
    region: str | None,
) -> None:
    """Raise `InvalidRoster` if reading from the header on drops a number, or a column that another row names."""
    remedy = "write all names of columns into one row, and delete the rows above it"
    place = roles[header].get("number")
    if place is not None and any(
        kind_of(cell, region) for row in rows[first_number:header] for cell in row[place : place + 1]
    ):
        raise InvalidRoster(file, f"row {header + 1} is a header, and a row above it has a number", remedy)
    for at, named in enumerate(roles):
        if lost := sorted(named.keys() - roles[header].keys() - mapped - {"country"}):
            raise InvalidRoster(
                file, f"row {header + 1} is the header, but row {at + 1} names the column of the {lost[0]}", remedy
            )

"""Find the columns of a roster: by the mapping, by the names in the header, or by the cells that are phone numbers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from ringproof.errors import InvalidRequest, InvalidRoster
from ringproof.phone.masking import mask_value
from ringproof.rosters.cells import CellKind, has_no_number, is_empty, kind_of, listed
from ringproof.rosters.country import region_of
from ringproof.rosters.header import HEADER_NAMES, is_phone_like, plain

REJECT_COLUMNS: Final = ("line", "column", "reason")
"""The first columns of a rejects file. They are left out when the file is imported."""

EXPORT_COLUMNS: Final = ("phone_number", "state", "reason")
"""The first columns of a batch's export."""

EXPORTED_ROLES: Final = {
    "number": "phone_number",
    **{role: role for role in ("alias", "channel", "subaccount", "country")},
}
"""The columns that count if an export is imported: its own, not those of the first roster."""

MOST_COLUMNS: Final = 1_000
"""A spreadsheet with more columns is no roster; most likely it has a column for each number."""

ColumnMapping = Mapping[str, str | int]
"""The columns of a roster by what they hold, by name or number: `{"number": "Phone", "alias": 3}`."""


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
    country: int | None = None
    unread: tuple[int, ...] = ()
    """Columns with the name of a telephone, and with no number in the first rows."""

    def name(self, role: str) -> str:
        """Return the name of the column that holds the number, alias, channel, subaccount or country."""
        place = getattr(self, role)
        return self.names[place] if isinstance(place, int) else role


def guess_columns(
    rows: Sequence[Sequence[object]],
    *,
    file: str,
    keys: Sequence[str] | None = None,
    mapping: ColumnMapping | None = None,
    region: str | None = None,
    names_columns: bool = False,
) -> Columns:
    """Return the columns of a roster, by its first rows; `keys` are the columns' names if the rows are objects.

        >>> guess_columns([["Name", "Phone"], ["Zoë", "+14155550123"]], file="people.csv").number
        1

    `mapping` gives columns by what they hold, such as `{"number": "Phone", "alias": "3"}`; 3 is the third column,
    unless a column is named 3. Other columns are found by header name, then by content: at least half of the cells
    look like phone numbers, without those that are empty or say `n/a`. Two candidates are an error. The first row is
    a header if it `names_columns`, as `find_header` knows, or if its cell in the numbers' column is no number and no
    attempt at one.

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
        mapped = {role: name for role, name in EXPORTED_ROLES.items() if name in first} | mapped
    has_header = keys is not None or names_columns
    is_open = not has_header  # only the column of the numbers shows whether the first row is a header
    below = rows if keys is not None else rows[1:]
    header = first if has_header or not any(kind_of(cell, region) for cell in first) else ()
    places = {role: _mapped_place(role, name, header, len(first), file) for role, name in mapped.items()}
    unread: tuple[int, ...] = ()
    if has_header:
        places |= _places_by_name(first, file, places)
    if "number" not in mapped:
        names = first if has_header or not _is_number_or_attempt(first, region) else [""] * len(first)
        number, unread = _place_of_numbers(names, below, places.get("number"), set(places.values()), file, region)
        if number is None:
            number = _number_by_content(below, rows if keys is None else below, first, file, region)
        places["number"] = number
    if is_open:
        has_header = not _is_number_or_attempt(first[places["number"] : places["number"] + 1], region)
    if has_header and "country" not in places:
        country = _place_of_countries(first, below, set(places.values()))
        places |= {} if country is None else {"country": country}
    if has_header:
        names = first
    else:
        roles = {place: "phone" if role == "number" else role for role, place in places.items()}
        names = [roles.get(place, f"column_{place + 1}") for place in range(len(first))]
    return Columns(tuple(names), has_header, **places, unread=unread if has_header else ())


def _is_number_or_attempt(cells: Sequence[str], region: str | None) -> bool:
    """Whether a cell is a number, or a bad one such as 12345, which must be rejected: but "Phone 2026" is a name."""
    return any(
        kind_of(cell, region) or (sum(map(str.isdecimal, cell)) >= 3 and not cell.strip()[:1].isalpha())
        for cell in cells
    )


def _place_of_numbers(
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    named: int | None,
    taken: Collection[int],
    file: str,
    region: str | None,
) -> tuple[int | None, tuple[int, ...]]:
    """Return the place of the numbers by the names, and the places of telephones without a number in these rows.

    `named` is the column with a name that says it all. Raises `InvalidRoster` if another telephone has numbers, too.
    """
    telephones = [place for place, name in enumerate(names) if place not in taken and is_phone_like(name)]
    with_numbers = [place for place in telephones if _has_numbers(rows, place, region)]
    candidates = sorted({*with_numbers, *([] if named is None else [named])})
    if len(candidates) > 1:
        _refuse_choice("number", [names[place] for place in candidates], file)
    return (candidates[0] if candidates else None), tuple(place for place in telephones if place not in with_numbers)


def _has_numbers(rows: Sequence[Sequence[object]], place: int, region: str | None) -> bool:
    """Whether a cell of a column is a number, or half of its cells look like numbers."""
    cells = [cell for row in rows for cell in row[place : place + 1] if not has_no_number(cell)]
    kinds = [kind_of(str(cell) if type(cell) is int else cell, region) for cell in cells]
    return CellKind.NUMBER in kinds or 0 < len(kinds) <= 2 * sum(map(bool, kinds))


def _place_of_countries(header: Sequence[str], rows: Sequence[Sequence[object]], taken: Collection[int]) -> int | None:
    """Return the place of the column of countries, if half of its cells are ISO letters or calling codes."""
    for known in HEADER_NAMES["country"]:
        for place, name in enumerate(header):
            if plain(name) not in known or place in taken:
                continue
            cells = [str(cell) for row in rows for cell in row[place : place + 1] if not is_empty(cell)]
            if 0 < len(cells) <= 2 * sum(region_of(cell) is not None for cell in cells):
                return place
    return None


def _mapped_place(role: str, name: str, header: Sequence[str], width: int, file: str) -> int:
    """Return the place of the column that a mapping names."""
    if role not in HEADER_NAMES:
        raise InvalidRequest(
            "mapping", mask_value(role), f"map one of {', '.join(HEADER_NAMES)} to the name of a column"
        )
    places: list[int] = []
    for spelling in (str, plain):
        places = places or [place for place, field in enumerate(header) if spelling(field) == spelling(name)]
    if not places and name.isdecimal() and name.isascii() and 1 <= int(name[:9]) <= width:
        places = [int(name[:9]) - 1]
    if len(places) == 1:
        return places[0]
    columns = f"it has {listed(header)}" if header else f"it has no header, and {width:,} columns"
    how_many = "more than one column is" if places else "no column is"
    raise InvalidRoster(
        file, f"{how_many} named {mask_value(name)}; {columns}", "map a column that the file has, by its name or number"
    )


def _places_by_name(header: Sequence[str], file: str, mapped: Mapping[str, int]) -> dict[str, int]:
    """Return the places of the columns whose names are known, for what the mapping leaves open."""
    taken = set(mapped.values())
    plain_names = [plain(name) for name in header]
    places: dict[str, int] = {}
    for role, sets_of_names in HEADER_NAMES.items():
        for names in sets_of_names if role != "country" and role not in mapped else ():
            candidates = [place for place, name in enumerate(plain_names) if name in names and place not in taken]
            if len(candidates) > 1:
                _refuse_choice(role, [header[place] for place in candidates], file)
            if candidates:
                places[role] = candidates[0]
                break
    return places


def _number_by_content(
    below: Sequence[Sequence[object]],
    rows: Sequence[Sequence[object]],
    first: Sequence[str],
    file: str,
    region: str | None,
) -> int:
    """Return the place of the one column in which at least half of the cells are numbers, or look like numbers.

    The first row is left out, as it may be a header, unless the other rows show nothing.
    """
    for some_rows in (below, rows):
        kinds_by_column = [
            [kind_of(cell, region) for row in some_rows for cell in row[place : place + 1] if not has_no_number(cell)]
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
        f"no column has phone numbers, by name or content; it has {listed(first)}",
        "say which column has them: mapping={'number': 'COLUMN'}",
    )


def _refuse_choice(role: str, names: Sequence[str], file: str) -> NoReturn:
    raise InvalidRoster(
        file,
        f"{len(names)} columns could be the {role}: {listed(names)}",
        f"say which one is: mapping={{'{role}': 'COLUMN'}}",
    )

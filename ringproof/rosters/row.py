"""Check one row of a roster: it becomes a `Row` with a number to send a code to, or a `Reject` with a reason."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.phone.caller_id import check_alias, check_subaccount, clean_alias
from ringproof.phone.masking import mask_value
from ringproof.phone.number import PhoneNumber, channel_for, check_channel, check_region, parse
from ringproof.rosters.cells import has_no_number
from ringproof.rosters.columns import Columns
from ringproof.rosters.country import region_of
from ringproof.rosters.lost_plus import LostPlus

REMEDIES: Final[Mapping[str, str]] = {
    "too_many_fields": "the row has more fields than columns; put quotes around a field with the delimiter in it",
    "quotes": "a quote is opened here and not closed; close it, or leave it out",
    "nul": "the row has a NUL byte; export the file again",
    "empty": "the row has no number; nothing is to be corrected if this contact has none",
    "integer": 'a JSON integer that is no number, or two; write it as text, such as "+14155550123"',
    "json": 'the line is no JSON; write one object a line, such as {"phone": "+14155550123"}',
}
"""What to do about a row that is rejected as a whole, by the reason."""

RawRow = Sequence[Any] | Mapping[Any, Any]
"""A row as it was read: the fields of a CSV row, or an object."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row with a number to send a code to.

        >>> Row(2, parse("+14155550123"), "sms", alias="Front desk").number.e164
        '+14155550123'

    `line` is the line where the row begins, counted from 1; a row from Python has its place in the iterable.
    `raw` is the row as it was, with all of its columns.
    """

    line: int
    number: PhoneNumber
    channel: Literal["sms", "call"]
    alias: str | None = field(default=None, repr=False)
    subaccount: str | None = None
    raw: RawRow = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is not sent to.

        >>> Reject(3, "Phone", "not_a_number", "'n/a'", "write it as +14155550123", ["n/a", "Zoë"])
        Reject(line=3, column='Phone', reason='not_a_number', value="'n/a'", remedy='write it as +14155550123')

    `reason` is one word, and `value` is the wrong cell of `column`, masked. Both `column` and `value` are empty if the
    whole row is wrong. `remedy` says what to do. `raw` is the row as it was, with its number.
    """

    line: int
    column: str
    reason: str
    value: str
    remedy: str
    raw: RawRow = field(repr=False)

    @classmethod
    def of_row(cls, line: int, reason: str, raw: RawRow) -> "Reject":
        """Reject a whole row for one of the reasons in `REMEDIES`."""
        return cls(line, "", reason, "", REMEDIES[reason], raw)


class JsonInteger(str):
    """The digits of a JSON integer, which can have no `+` and no zero before them."""

    __slots__ = ()


class Cells(NamedTuple):
    """The cells of a row that are read, before they are checked; None for a cell that the row does not have."""

    line: int
    raw: RawRow
    number: object
    alias: object
    channel: object
    subaccount: object
    country: object = None


class RowChecker:
    """Checks cells. `region` and `channel` apply to rows that have none of their own; `plus` is that of `parse`.

    `cleaned_aliases` counts the rows so far whose alias had to be changed. Raises `InvalidRequest` if there is no such
    region or channel.
    """

    def __init__(self, columns: Columns, region: str | None, channel: str, *, plus: bool = False) -> None:
        self._columns = columns
        self.region = check_region(region) if region else None
        self.channel = check_channel(channel)
        self.cleaned_aliases = 0
        self.plus, self.lost_plus = plus, LostPlus()

    def check(self, cells: Cells) -> Row | Reject | None:
        """Return the row, or the reject; None if all fields are empty, as at the end of many a spreadsheet."""
        line, raw, written_number, alias, channel_cell, subaccount, country = cells
        channel = _stripped(channel_cell)
        try:
            region = self.region if country is None else self._region_of(country)
            if type(written_number) is JsonInteger:
                number = _parse_integer(written_number, region, plus=self.plus)
                if number is None:
                    value = mask_value(written_number)
                    return Reject(line, self._columns.name("number"), "integer", value, REMEDIES["integer"], raw)
            else:
                number = parse(written_number, region, plus=self.plus)
            self.lost_plus.count_accepted(written_number, number)
            reached_by = channel_for(number, self.channel if channel is None else check_channel(channel))
            checked_subaccount = check_subaccount(_stripped(subaccount))
        except InvalidRequest as error:
            if isinstance(error, InvalidNumber) and error.reason != "landline_sms" and not self.plus:
                self.lost_plus.count_rejected(written_number)
            return self._reject(cells, error)
        return Row(line, number, reached_by, self._alias(_stripped(alias)), checked_subaccount, raw)

    def _alias(self, cell: object) -> str | None:
        """Return the alias, cleaned if it has to be: no row is lost for its alias."""
        try:
            return check_alias(cell)
        except InvalidRequest:
            if isinstance(cell, int | float) and not isinstance(cell, bool) and -1e15 < cell < 1e15:
                return f"{cell:.15g}"  # a data frame makes 7.0 of a 7
            self.cleaned_aliases += 1
            return clean_alias(cell)

    def _region_of(self, country: object) -> str | None:
        """Return the region of a row; None for a country that cannot be read, as the home region may be another."""
        text = str(country) if isinstance(country, str | int) else ""
        return region_of(text) if text.strip() or not isinstance(country, str) else self.region

    def _reject(self, cells: Cells, error: InvalidRequest) -> Reject | None:
        line, raw = cells.line, cells.raw
        texts = [cell for cell in (raw.values() if isinstance(raw, Mapping) else raw) if isinstance(cell, str)]
        if isinstance(raw, list) and not any(map(str.strip, texts)):
            return None
        if any("\0" in text for text in texts):
            return Reject.of_row(line, "nul", raw)
        if isinstance(error, InvalidNumber) and has_no_number(cells.number):
            return Reject(line, self._columns.name("number"), "empty", "", REMEDIES["empty"], raw)
        role, reason = ("number", error.reason) if isinstance(error, InvalidNumber) else (error.field, error.field)
        return Reject(line, self._columns.name(role), reason, error.value, error.remedy, raw)


def _parse_integer(digits: str, region: str | None, *, plus: bool) -> PhoneNumber | None:
    """Return the only number that the digits can be, of the region or with a calling code; None if there is none."""
    if not digits.isdecimal():  # a number below zero
        return None
    readings: set[PhoneNumber] = set()
    for text in (digits, "+" + digits) if region and not plus else ("+" + digits,):
        try:
            readings.add(parse(text, region))
        except InvalidNumber as error:
            if error.reason == "ambiguous":
                return None
    return readings.pop() if len(readings) == 1 else None


def _stripped(cell: object) -> object:
    """Return a text without the spaces around it, or None if nothing is left; return any other cell as it is.

    A data frame has NaN in a cell without a value.
    """
    if isinstance(cell, str):
        return cell.strip() or None
    return None if isinstance(cell, float) and math.isnan(cell) else cell

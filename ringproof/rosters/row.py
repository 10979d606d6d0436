"""One row of a roster: a number that a code can be sent to, or why none can."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.phone.caller_id import check_alias, check_subaccount
from ringproof.phone.number import PhoneNumber, check_channel, check_region, parse, route
from ringproof.rosters.columns import Columns

REMEDIES: Final[Mapping[str, str]] = {
    "too_many_fields": "more fields than columns; put quotes around a field that has the delimiter in it",
    "quotes": "a quote is opened here that is not closed; close it, or leave it out",
    "nul": "a NUL byte is in it; export the file again",
    "json": 'no JSON; write one object a line, such as {"phone": "+14155550123"}',
}
"""What to do about a row in which something else is wrong than its number, alias, channel or subaccount."""

Raw = Sequence[Any] | Mapping[Any, Any]
"""A row as it was read: fields, or an object."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that a code can be sent to; `line` is where it begins, counted from 1; of rows from Python, its ordinal."""

    line: int
    number: PhoneNumber
    channel: Literal["sms", "call"]
    alias: str | None = field(default=None, repr=False)
    subaccount: str | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that nothing is sent to, for `reason`, a word; what is wrong in `column` is shown masked in `value`.

    Without a column it is the whole row. `raw` is the row as it was, numbers and all.
    """

    line: int
    column: str
    reason: str
    value: str
    remedy: str
    raw: Raw = field(repr=False)

    @classmethod
    def of(cls, line: int, reason: str, raw: Raw) -> "Reject":
        """Reject a whole row for one of the `REMEDIES`."""
        return cls(line, "", reason, "", REMEDIES[reason], raw)


class Cells(NamedTuple):
    """What is in a row for us, before anything is made of it; None is not given."""

    line: int
    raw: Raw
    number: object
    alias: object
    channel: object
    subaccount: object


class Judge:
    """Makes of cells what they are; `region` and `channel` stand in where a row has none, and can be read here.

    Raises `InvalidRequest` if there is no such region or channel.
    """

    def __init__(self, columns: Columns, region: str | None, channel: str) -> None:
        self._columns = columns
        self.region = check_region(region) if region else None
        self.channel = check_channel(channel)

    def __call__(self, cells: Cells) -> Row | Reject | None:
        """Return the row, or why it is none; None if its fields are all empty, as at the end of many a table."""
        line, raw, written, alias, channel, subaccount = cells
        wanted = _text(channel)
        if isinstance(wanted, str):
            wanted = wanted.lower()  # a spreadsheet makes it Call
        try:
            number = parse(written, self.region)
            return Row(
                line,
                number,
                route(number, self.channel if wanted is None else check_channel(wanted)),
                check_alias(_text(alias)),
                check_subaccount(_text(subaccount)),
            )
        except InvalidRequest as error:
            return self._reject(line, raw, error)

    def _reject(self, line: int, raw: Raw, error: InvalidRequest) -> Reject | None:
        fields = [field for field in (raw.values() if isinstance(raw, Mapping) else raw) if isinstance(field, str)]
        if isinstance(raw, list) and not any(map(str.strip, fields)):
            return None
        if any("\0" in field for field in fields):
            return Reject.of(line, "nul", raw)
        role, reason = ("number", error.reason) if isinstance(error, InvalidNumber) else (error.field, error.field)
        return Reject(line, self._columns.name(role), reason, error.value, error.remedy, raw)


def _text(cell: object) -> object:
    """Return a text without the blanks around it, and None for what is empty then; all else as it is."""
    return cell.strip() or None if isinstance(cell, str) else cell

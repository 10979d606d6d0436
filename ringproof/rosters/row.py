"""Check one row of a roster: it becomes a `Row` with a number to send a code to, or a `Reject` with a reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.phone.caller_id import check_alias, check_subaccount
from ringproof.phone.number import PhoneNumber, channel_for, check_channel, check_region, parse
from ringproof.rosters.columns import Columns

REMEDIES: Final[Mapping[str, str]] = {
    "too_many_fields": "the row has more fields than columns; put quotes around a field with the delimiter in it",
    "quotes": "a quote is opened here and not closed; close it, or leave it out",
    "nul": "the row has a NUL byte; export the file again",
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


class Cells(NamedTuple):
    """The cells of a row that are read, before they are checked; None for a cell that the row does not have."""

    line: int
    raw: RawRow
    number: object
    alias: object
    channel: object
    subaccount: object


class RowChecker:
    """Checks cells. `region` and `channel` apply to rows that have none of their own.

    Raises `InvalidRequest` if there is no such region or channel.
    """

    def __init__(self, columns: Columns, region: str | None, channel: str) -> None:
        self._columns = columns
        self.region = check_region(region) if region else None
        self.channel = check_channel(channel)

    def check(self, cells: Cells) -> Row | Reject | None:
        """Return the row, or the reject; None if all fields are empty, as at the end of many a spreadsheet."""
        line, raw, written_number, alias, channel_cell, subaccount = cells
        channel = _stripped(channel_cell)
        if isinstance(channel, str):
            channel = channel.lower()  # a spreadsheet turns call into Call
        try:
            number = parse(written_number, self.region)
            return Row(
                line,
                number,
                channel_for(number, self.channel if channel is None else check_channel(channel)),
                check_alias(_stripped(alias)),
                check_subaccount(_stripped(subaccount)),
                raw,
            )
        except InvalidRequest as error:
            return self._reject(line, raw, error)

    def _reject(self, line: int, raw: RawRow, error: InvalidRequest) -> Reject | None:
        texts = [cell for cell in (raw.values() if isinstance(raw, Mapping) else raw) if isinstance(cell, str)]
        if isinstance(raw, list) and not any(map(str.strip, texts)):
            return None
        if any("\0" in text for text in texts):
            return Reject.of_row(line, "nul", raw)
        role, reason = ("number", error.reason) if isinstance(error, InvalidNumber) else (error.field, error.field)
        return Reject(line, self._columns.name(role), reason, error.value, error.remedy, raw)


def _stripped(cell: object) -> object:
    """Return a text without the spaces around it, or None if nothing is left; return any other cell as it is."""
    return cell.strip() or None if isinstance(cell, str) else cell

"""Recognise a column of international numbers whose `+` was lost, as spreadsheets lose it."""

from typing import Final

from ringproof.phone.number import PhoneNumber, looks_like_lost_plus

WHOLE_COLUMN: Final = 9
"""Such numbers to each national one at least: among fewer, `plus` might spoil more numbers than it mends."""

_FIRST_DIGITS: Final = "123456789"


class LostPlus:
    """Counts the rejected numbers of a roster that `plus` would read, and the accepted ones that it would change."""

    def __init__(self) -> None:
        self._lost = self._national = 0

    def count_accepted(self, written: object, number: PhoneNumber) -> None:
        """Count a number that was accepted without `plus`."""
        if isinstance(written, str) and written[:1] in _FIRST_DIGITS and written:
            has_other_digits = written[0] != number.e164[1]  # it mostly has, and that is quickly seen
            self._national += has_other_digits or "".join(filter(str.isdecimal, written)) != number.e164[1:]

    def count_rejected(self, written: object) -> None:
        """Count a number that was rejected without `plus`. It costs a second reading."""
        self._lost += looks_like_lost_plus(written)

    @property
    def rows(self) -> int:
        """How many rows `plus` would read; 0 if they are not the whole column."""
        return self._lost if self._lost >= WHOLE_COLUMN * self._national else 0

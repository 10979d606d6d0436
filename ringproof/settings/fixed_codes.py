"""Test numbers: `RINGPROOF_TEST_NUMBERS` has each with its fixed code, and Plivo is never asked about them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from ringproof.errors import InvalidNumber
from ringproof.network.this_machine import is_this_machine
from ringproof.secret_str import SecretStr

if TYPE_CHECKING:
    from ringproof.settings import Settings

VARIABLE: Final = "RINGPROOF_TEST_NUMBERS"
ALLOW_LIVE: Final = "RINGPROOF_TEST_NUMBERS_LIVE"
SHAPE: Final = "numbers in E.164, each with its code of 4 to 8 digits: +15005550006=123456,+15005550007=4321"

MOST: Final = 100
"""The scripts look for a number in the list of them."""

_E164: Final = re.compile(r"\+[1-9][0-9]{1,14}")
_CODE: Final = re.compile(r"[0-9]{4,8}")


class WrongFixedCodesError(ValueError):
    """What is wrong with a list of test numbers, without any of its numbers and codes."""


@dataclass(frozen=True, slots=True)
class FixedCodes:
    """The test numbers with their codes."""

    pairs: tuple[tuple[str, SecretStr], ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `+15005550006=123456,+15005550007=4321`. Raises `WrongFixedCodesError`.

        >>> FixedCodes.parse("+15005550006=123456").numbers
        ('+15005550006',)
        """
        codes: dict[str, SecretStr] = {}
        entries = [entry.strip() for entry in text.split(",")]
        if len(entries) > MOST:
            raise WrongFixedCodesError(f"there are more than {MOST} numbers")
        for nth, entry in enumerate(entries, 1):
            number, equals, code = (part.strip() for part in entry.partition("="))
            if not _is_e164(number):
                raise WrongFixedCodesError(f"number {nth} is not a valid number in E.164")
            if not equals or not _CODE.fullmatch(code):
                raise WrongFixedCodesError(f"the code of number {nth} is not 4 to 8 digits")
            if number in codes:
                raise WrongFixedCodesError(f"number {nth} is there twice")
            codes[number] = SecretStr(code)
        return cls(tuple(codes.items()))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers, in E.164."""
        return tuple(number for number, _ in self.pairs)

    def code_of(self, number: str) -> SecretStr | None:
        """Return the code of a number; None if it is no test number."""
        return dict(self.pairs).get(number)


def problems(current: "Settings") -> Iterator[str]:
    """Yield what is wrong with test numbers beside a live account: anybody who knows a code could verify the number."""
    host = urlsplit(current.plivo_base_url).hostname
    if current.test_numbers.pairs and not current.test_numbers_live and not is_this_machine(host):
        yield (
            f"{VARIABLE}: the account is live, because PLIVO_BASE_URL is not this machine: who knows a fixed code "
            f"verifies its number without Plivo. Leave it out, or set {ALLOW_LIVE}=yes"
        )


def _is_e164(number: str) -> bool:
    from ringproof.phone.number import parse  # noqa: PLC0415  # few installations have any

    try:
        return _E164.fullmatch(number) is not None and parse(number).e164 == number
    except InvalidNumber:
        return False

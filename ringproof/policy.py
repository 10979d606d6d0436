"""The rate of requests to Plivo, over all workers together, and the policy that all scripts follow."""

import math
import re
from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Self

MOST_DAYS: Final = 3650
"""Ten years until the next verification: a larger number is a mistake."""

JITTER = timedelta(milliseconds=60)
"""Room between slots for arrival jitter (50 ms) and a late thread (10 ms).

In a simulation of Plivo's strict sliding window, no request is refused with it, from 1/2s to 300/5s. With 20 ms up to
18 % are.
"""


# With six digits and three decimals each, the microseconds of any window and slot are exact in Lua's doubles.
_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)/(\d{1,6}(?:\.\d{1,3})?)s", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `number` requests in any window of `window_seconds`."""

    number: int
    window_seconds: Fraction

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `300/5s`, `2/1s`, or `0.5/1s`, which is `1/2s`.

        >>> Rate.parse("300/5s").spacing_us
        16867

        Raises ValueError for anything else: zero, a negative, another unit, no number, more than six
        digits or three decimals.
        """
        match = _RATE.fullmatch(text.strip())
        number, window = (Fraction(part) for part in match.groups()) if match else (Fraction(), Fraction())
        if not number or not window:
            raise ValueError("write a rate as requests per seconds, such as 300/5s, 2/1s or 0.5/1s")
        return cls(number.numerator, window * number.denominator)

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return math.ceil(self.window_seconds * 1_000_000)

    @property
    def spacing_us(self) -> int:
        """Microseconds between two slots: (window + JITTER) / number, rounded up."""
        jitter_us = JITTER // timedelta(microseconds=1)
        return math.ceil((self.window_seconds * 1_000_000 + jitter_us) / self.number)

    def __str__(self) -> str:
        window = Decimal(self.window_seconds.numerator) / self.window_seconds.denominator
        return f"{self.number}/{window:f}s"


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that the scripts follow. Workers write them to `{PREFIX}:policy` when they start.

    So every web app follows the workers' settings. Before a first worker has started, these defaults apply.
    """

    rate: Rate = Rate(300, Fraction(5))  # Plivo's documented limit per account
    call_rate: Rate = Rate(2, Fraction(1))  # Plivo's for outbound calls
    cooldown_ms: int = 60_000
    record_ms: int = 90 * 86_400_000
    max_codes_per_day: int = 5
    max_calls_per_week: int = 10
    range_codes_per_hour: int = 20  # 0: no limit
    max_wrong_codes: int = 10  # so many lock a number: two codes with five tries each
    country_codes_per_hour: int = 1000  # 0: no limit
    people_codes_per_day: int = 20_000  # 0: no limit
    requester_codes_per_hour: int = 20  # 0: no limit
    requester_codes_per_day: int = 100  # 0: no limit
    breaker_percent: int = 10  # 0: no breaker
    breaker_codes: int = 100
    countries: tuple[str, ...] = ()  # as RINGPROOF_COUNTRIES names them; none: all countries
    quiet_hours: str = ""  # as `QuietHours` writes them, such as 21:00-08:00; empty: none
    reverify_ms: int = 0  # 0: never
    reverify_mode: str = "check"  # or "send"
    test_numbers: tuple[str, ...] = ()  # E.164; their codes are known to workers alone

    def __post_init__(self) -> None:
        """Raise ValueError for a negative number: the scripts cannot work with it."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{field.name} is negative")

    def mapping(self) -> dict[str, str | int]:
        """Return the fields as the scripts read them."""
        written = {"rate", "call_rate", "countries", "test_numbers"}
        fields_of_scripts: dict[str, str | int] = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in written
        }
        return (
            fields_of_scripts
            | rate_fields(self.rate, self.call_rate)
            | {"countries": ",".join(self.countries), "jitter_us": JITTER // timedelta(microseconds=1)}
            | {"test_numbers": "".join(f"{number}," for number in self.test_numbers)}
        )


def rate_fields(rate: Rate | None, call_rate: Rate | None) -> dict[str, str | int]:
    """Return one or both rates as the scripts read them."""
    written: dict[str, str | int] = {}
    for prefix, one in (("", rate), ("call_", call_rate)):
        if one:
            written |= {
                f"{prefix}rate": str(one),
                f"{prefix}window_us": one.window_us,
                f"{prefix}spacing_us": one.spacing_us,
            }
    return written

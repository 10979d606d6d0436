"""The list of who gets codes: countries, networks without a country, and personal numbers."""

from collections.abc import Collection
from typing import Final

from ringproof.phone.number import PhoneNumber, check_region, is_personal
from ringproof.phone.number_plan import NETWORKS, NumberKind

PLIVO_SERVES: Final = (
    "Plivo means this API for the United States; in other countries it may not work reliably, and in India it does not "
    "apply"
)
"""What Plivo's documentation says of the resource."""


def parse_countries(text: str) -> frozenset[str]:
    """Read a list of countries.

    >>> sorted(parse_countries("us, CA,+881,personal"))
    ['+881', 'CA', 'US', 'personal']

    Raises ValueError for an unknown name, and for personal numbers of no country.
    """
    names = frozenset(_destination(name.strip()) for name in text.split(","))
    if names == {NumberKind.PERSONAL}:
        raise ValueError("personal numbers of no country")
    return names


def left_out_as(number: PhoneNumber, countries: Collection[str]) -> str | None:
    """Return why a list of countries leaves a number out: `network`, `country` or `personal`; None if it gets codes.

    An empty list stands for `all`. lua/lib/countries.lua decides in the same way by the list in Redis.

    >>> from ringproof.phone.number import parse
    >>> left_out_as(parse("+4915123456789"), {"US", "CA"})
    'country'
    """
    names = countries or {"all"}
    network = number.e164[:4]
    if network in NETWORKS:
        return None if network in names else "network"
    if "all" not in names and number.country not in names:
        return "country"
    return "personal" if "personal" not in names and is_personal(number.e164) else None


def _destination(name: str) -> str:
    if name.lower() in {"all", NumberKind.PERSONAL}:
        return name.lower()
    return name if name in NETWORKS else check_region(name)

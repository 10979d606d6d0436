"""The list of who gets codes: countries, networks without a country, and personal numbers."""

from typing import Final

from ringproof.phone.number import check_region
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


def _destination(name: str) -> str:
    if name.lower() in {"all", NumberKind.PERSONAL}:
        return name.lower()
    return name if name in NETWORKS else check_region(name)

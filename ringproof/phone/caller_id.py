"""Check the two values that Plivo stores with a verified number: its alias and its subaccount."""

import re
from typing import Final

from ringproof.errors import InvalidRequest
from ringproof.phone.masking import mask_value

ALIAS_LENGTH: Final = 255
"""Most characters of an alias. Plivo documents no limit; its console accepts 255."""

SUBACCOUNT = re.compile(r"SA[A-Za-z0-9]{18}", re.ASCII)


def check_alias(alias: object) -> str | None:
    """Return the alias if Plivo accepts it; None stays None. Raises `InvalidRequest` for any other value."""
    if alias is None:
        return None
    if isinstance(alias, str) and 1 <= len(alias) <= ALIAS_LENGTH and alias.isprintable() and alias.strip():
        return alias
    raise InvalidRequest("alias", mask_value(alias), f"1 to {ALIAS_LENGTH} printable characters, or leave it out")


def check_subaccount(subaccount: object) -> str | None:
    """Return the subaccount's auth id; None stays None. Raises `InvalidRequest` for any other value."""
    if subaccount is None:
        return None
    if isinstance(subaccount, str) and SUBACCOUNT.fullmatch(subaccount):
        return subaccount
    raise InvalidRequest("subaccount", mask_value(subaccount), "a subaccount's auth id, 20 characters: SA…")

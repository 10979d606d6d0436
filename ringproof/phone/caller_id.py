"""What Plivo keeps with a verified caller ID beside its number: an alias, and the subaccount that it is for."""

import re
from typing import Final

from ringproof.errors import InvalidRequest
from ringproof.phone.masking import mask_value

ALIAS_LENGTH: Final = 255
"""Characters of an alias. Plivo documents no limit; this is what its console takes."""

SUBACCOUNT = re.compile(r"SA[A-Za-z0-9]{18}", re.ASCII)


def check_alias(alias: object) -> str | None:
    """Return an alias that Plivo takes, or None for none. Raises `InvalidRequest`."""
    if alias is None:
        return None
    if isinstance(alias, str) and 1 <= len(alias) <= ALIAS_LENGTH and alias.isprintable() and alias.strip():
        return alias
    raise InvalidRequest("alias", mask_value(alias), f"1 to {ALIAS_LENGTH} printable characters, or leave it out")


def check_subaccount(subaccount: object) -> str | None:
    """Return the auth id of a subaccount, or None for none. Raises `InvalidRequest`."""
    if subaccount is None:
        return None
    if isinstance(subaccount, str) and SUBACCOUNT.fullmatch(subaccount):
        return subaccount
    raise InvalidRequest("subaccount", mask_value(subaccount), "a subaccount's auth id, 20 characters: SA…")

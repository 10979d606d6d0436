"""Commands that texts advise: for an account, each of them names it."""

import re
from typing import Final

OF_AN_ACCOUNT: Final = (
    *("audit", "batch", "cancel", "confirm", "doctor", "door", "erase", "health", "import", "initiate", "limits", "ls"),
    *("metrics", "page", "pause", "remove", "resume", "reverify", "status", "sync", "webhook"),
)
"""The commands that are about an account: ringproof worker is about all of them."""

_ADVISED: Final = re.compile(rf"\bringproof (?=(?:{'|'.join(OF_AN_ACCOUNT)})\b)")

account: str | None = None
"""The account that this process' command line names: what the command advises is about the same one."""


def for_account(text: str, name: str | None) -> str:
    """Return a text whose commands name an account; None leaves it as it is.

    >>> for_account("go on: ringproof resume --lane bulk", "acme")
    'go on: ringproof --account acme resume --lane bulk'
    """
    return _ADVISED.sub(f"ringproof --account {name} ", text) if name else text

"""The address of Plivo's API, as an operator names it."""

import re
from typing import Final
from urllib.parse import urlsplit

from ringproof.network.this_machine import is_this_machine

REMEDY: Final = (
    "this machine without TLS, but PLIVO_AUTH_TOKEN looks like a real one; for the sandbox set "
    "PLIVO_AUTH_TOKEN=sandbox, for Plivo no PLIVO_BASE_URL, and for a relay of yours write https:// with "
    "PLIVO_CA_BUNDLE"
)
"""What an error says about an address that exposes the token."""

_REAL_TOKEN: Final = re.compile(r"[A-Za-z0-9]{40}")
"""A token as Plivo's console shows it. The sandbox takes any."""


def check(url: str) -> str:
    """Return the address without a slash at its end. Raises ValueError unless it has TLS or is this machine."""
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.port == 0 or parts.fragment:
        raise ValueError("no such scheme, host or port")
    if "@" in url or parts.query or " " in url or not url.isprintable():
        raise ValueError("with a login or a query, or not escaped")
    if parts.scheme == "http" and not is_this_machine(parts.hostname):
        raise ValueError("without TLS")
    return url.rstrip("/")


def exposes(url: str, token: str) -> bool:
    """Whether any program of this machine might get a real token in place of Plivo: nothing shows who listens there."""
    return url.lower().startswith("http://") and _REAL_TOKEN.fullmatch(token) is not None

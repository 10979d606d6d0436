"""The address that webhooks are sent to, and the secrets that they are signed with, as an operator names them."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from ringproof.network.public_address import is_public
from ringproof.network.this_machine import is_this_machine

ALLOW_PRIVATE: Final = "RINGPROOF_WEBHOOK_ALLOW_PRIVATE"

SECRETS: Final = (
    "one secret, or two with a comma while the receiver changes from one to the other; each is whsec_ and 24 to 64 "
    "random bytes in base64: echo whsec_$(openssl rand -base64 32)"
)
"""What an error about wrong secrets says."""

_SECRET_BYTES: Final = range(24, 65)
"""As the specification of Standard Webhooks has it."""


def check(url: str) -> str:
    """Return the address. Raises ValueError unless it has TLS or is this machine."""
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.port == 0 or parts.fragment:
        raise ValueError("no such scheme, host or port")
    if "@" in url or " " in url or not url.isprintable() or not url.isascii():
        raise ValueError("with a login, or not escaped")
    if parts.scheme == "http" and not is_this_machine(parts.hostname):
        raise ValueError("without TLS")
    return url


def is_secret(text: str) -> bool:
    """Whether a text is a secret as Standard Webhooks writes it."""
    encoded = text.removeprefix("whsec_")
    try:
        padded = encoded + "=" * (-len(encoded) % 4)  # the library that signs takes a secret without its padding, too
        return encoded != text and len(base64.b64decode(padded, validate=True)) in _SECRET_BYTES
    except binascii.Error:
        return False


def problems(given: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the variables of webhooks together, if there is an address at all."""
    if "RINGPROOF_WEBHOOK_URL" not in given:
        return
    if "RINGPROOF_WEBHOOK_SECRETS" not in given:
        yield f"RINGPROOF_WEBHOOK_SECRETS: missing; a receiver tells by it that a webhook is genuine: {SECRETS}"
    if given.get(ALLOW_PRIVATE) != "true" and is_private(given["RINGPROOF_WEBHOOK_URL"]):
        yield f"RINGPROOF_WEBHOOK_URL: the address is private; to allow it, set {ALLOW_PRIVATE}=true"


def is_private(url: str) -> bool:
    """Whether a URL names a private address itself. That of a host's name is known when one connects."""
    try:
        host = urlsplit(url).hostname or ""
        return not is_this_machine(host) and not is_public(str(ip_address(host)))
    except ValueError:
        return False

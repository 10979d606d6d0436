"""The headers of every answer that a browser shows: the live page's, and those of the sandbox's inbox."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)
"""The browser loads nothing but this page's own files, and shows it in no other page. A stricter Referrer-Policy would
hide from this server that its own page has sent a form.
"""

NOT_STORED: Final[Mapping[str, str]] = MappingProxyType({"Cache-Control": "no-store"})
"""A browser keeps no page: the next person at it would see it."""

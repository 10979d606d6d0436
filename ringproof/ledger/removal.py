"""Removals at Plivo: those that this installation's own command has ordered, and what the ledger forgets after one.

A removal at Plivo cannot be undone. So a message alone orders none: the number waits in Redis under a random handle,
and the message carries the handle. Another application that shares the broker can send messages of any name.
"""

import re
import secrets
from typing import Final

from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger

_HANDLE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")


def order_removal(ledger: Ledger, number: str) -> str:
    """Leave a number that is to be removed for 15 minutes, and return its handle. Raises `LedgerUnavailable`."""
    handle = secrets.token_urlsafe(16)
    ledger.run("set", ledger.keys.removal(handle), number, px=ms(ledger.durations.token))
    return handle


def ordered_removal(ledger: Ledger, handle: object) -> str | None:
    """Return the number under a handle, as often as the message is delivered; None if no removal was ordered."""
    if not isinstance(handle, str) or not _HANDLE.fullmatch(handle):
        return None
    number: str | None = ledger.run("get", ledger.keys.removal(handle))
    return number


def end_removal(ledger: Ledger, handle: str) -> None:
    """Forget a removal that was carried out, so that nobody has the number removed once more."""
    ledger.run("delete", ledger.keys.removal(handle))


def forget_verified(ledger: Ledger, number: str) -> bool:
    """Forget that Plivo has a number as verified, and its re-verifications; return False if it is not verified here.

    The record stays as long as one that has expired, with the reason `removed`. A request that is under way goes on.
    """
    return bool(ledger.run_script("number/forget_verified", [ledger.keys.record(number)], [number]))

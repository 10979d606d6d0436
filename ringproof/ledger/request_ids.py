"""Opaque ids of requests: for a URL, which must not show a number, and for programs that must not learn one.

An id is a UUID, derived from the number, its request and who asks, by a secret key of this installation. So the same
request has the same id for the same caller, whichever process answers, and another id for another caller. Redis keeps
what an id stands for, and erasing a number deletes that.
"""

import hmac
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Self

from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.secret_str import SecretStr

_OF_NUMBER: Final = 4
"""Bytes of an id that depend on the number alone: by them, all ids of a number are found to be deleted."""


@dataclass(frozen=True, slots=True)
class IdentifiedRequest:
    """What an id stands for.

    `owner` names the credential that asked. `is_own`: its call made the request; otherwise the request is another's,
    which stands for the call.
    """

    number: str = field(repr=False)
    request: int
    owner: str
    is_own: bool

    @classmethod
    def unpack(cls, packed: str) -> Self:
        """Return what `pack` wrote."""
        number, request, owner, is_own = packed.split("/")
        return cls(number, int(request), owner, is_own == "own")

    def pack(self) -> str:
        """Return it as Redis keeps it: `+14155550123/1764374400/MA…/own`."""
        return f"{self.number}/{self.request}/{self.owner}/{'own' if self.is_own else 'anothers'}"


def secret_key(ledger: Ledger) -> SecretStr:
    """Return the installation's key for ids. It is random, and lives in Redis as long as the records do."""
    key = ledger.run("get", ledger.keys.request_ids)
    if key is None:
        ledger.run("set", ledger.keys.request_ids, SecretStr(secrets.token_hex(32)), nx=True)
        key = ledger.run("get", ledger.keys.request_ids)  # the first of two processes has set it
    return SecretStr(key)


def identify(ledger: Ledger, request: IdentifiedRequest, *, asker: str = "", keep: timedelta) -> str:
    """Return the id of a request for one who asks, and keep what it stands for.

        >>> identify(ledger, IdentifiedRequest("+14155550123", 1764374400, "MA…", True), keep=timedelta(days=90))
        '6f0c2a51-3c1b-8d7e-9a40-1b6f0d3c5e77'

    `asker` tells apart those for whom one owner asks. A request that was once its owner's own stays so.
    """
    key = secret_key(ledger)
    of_number = _digest(key, request.number)[:_OF_NUMBER]
    of_request = _digest(key, f"{request.number}/{request.request}/{request.owner}/{asker}")
    request_id = str(uuid.UUID(bytes=_versioned(of_number + of_request[: 16 - _OF_NUMBER])))
    entry = ledger.keys.request_id(request_id)
    if not ledger.run("set", entry, request.pack(), px=ms(keep), nx=not request.is_own):
        ledger.run("pexpire", entry, ms(keep))
    return request_id


def identified(ledger: Ledger, request_id: str, *, keep: timedelta) -> IdentifiedRequest | None:
    """Return what an id stands for, and keep it for so long from now on; None if it is unknown or was forgotten."""
    packed = ledger.run("getex", ledger.keys.request_id(request_id), px=ms(keep))
    return IdentifiedRequest.unpack(packed) if packed else None


def pattern_of_ids(ledger: Ledger, number: str) -> str:
    """Return the pattern of the keys of all ids of a number."""
    return ledger.keys.request_id(f"{_digest(secret_key(ledger), number)[:_OF_NUMBER].hex()}-*")


def keyed_digest(ledger: Ledger, text: str) -> str:
    """Return 64 characters that differ for each text, and tell nothing about it without the installation's key."""
    return _digest(secret_key(ledger), text).hex()


def _digest(key: SecretStr, text: str) -> bytes:
    return hmac.digest(key.get_secret_value().encode(), text.encode(), "sha256")


def _versioned(digest: bytes) -> bytes:
    """Return 16 bytes as those of a UUID of version 8, whose other bits are free (RFC 9562)."""
    marked = bytearray(digest)
    marked[6] = marked[6] & 0x0F | 0x80
    marked[8] = marked[8] & 0x3F | 0x80
    return bytes(marked)

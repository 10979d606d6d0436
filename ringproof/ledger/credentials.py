"""The credentials of the front door: who may call it, and for what. Redis keeps a hash of each token, and no token."""

import hashlib
import hmac
import json
import secrets
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from ringproof.clock import epoch_ms, moment
from ringproof.errors import InvalidRequest
from ringproof.ledger.ledger import Ledger
from ringproof.phone.masking import mask_value
from ringproof.secret_str import SecretStr

TOKEN_BYTES: Final = 30
"""240 random bits: nobody can try them out, so that a fast hash is enough."""

MOST: Final = 1000
"""Credentials of one installation. Each check of a token compares it with all of them."""

LONGEST_NAME: Final = 64


class Scope(StrEnum):
    """What a credential is for."""

    VERIFY = "verify"  # to have codes sent and checked, and to change or delete verified numbers
    BATCH = "batch"  # to import rosters, and to steer their batches
    READ = "read"  # to learn about numbers: which are verified, and what became of a batch or a request


@dataclass(frozen=True, slots=True)
class Credential:
    """One application's right to call the front door. `digest` is the SHA-256 of its token, in hexadecimal."""

    name: str
    auth_id: str
    digest: str
    scopes: frozenset[Scope]
    created_at: datetime

    def __repr__(self) -> str:
        return f"Credential({self.name!r}, scopes={','.join(sorted(self.scopes))})"


class Issued(NamedTuple):
    """A new credential with its token, which nobody can read again."""

    credential: Credential
    token: SecretStr


def issue(ledger: Ledger, name: str, scopes: Collection[Scope] = tuple(Scope)) -> Issued:
    """Make a credential of a name that no other has. Raises `InvalidRequest` for the name."""
    if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()):
        raise InvalidRequest("credential", mask_value(name), f"1 to {LONGEST_NAME} printable characters, such as shop")
    known = credentials(ledger)
    if len(known) >= MOST:
        raise InvalidRequest(
            "credential", name, f"there are {MOST} credentials; revoke one with: ringproof door revoke NAME"
        )
    characters = string.ascii_uppercase + string.digits
    auth_id = "MA" + "".join(secrets.choice(characters) for _ in range(18))
    token = SecretStr(secrets.token_urlsafe(TOKEN_BYTES))
    credential = Credential(name, auth_id, _digest(token), frozenset(scopes), ledger.now())
    stored = {
        "auth_id": auth_id,
        "digest": credential.digest,
        "scopes": sorted(credential.scopes),
        "created_at": epoch_ms(credential.created_at),
    }
    if not ledger.run("hsetnx", ledger.keys.credentials, name, json.dumps(stored)):
        raise InvalidRequest("credential", name, "a credential has this name; revoke it first, or choose another")
    return Issued(credential, token)


def credentials(ledger: Ledger) -> list[Credential]:
    """Return all credentials, by name."""
    packed: dict[str, str] = ledger.run("hgetall", ledger.keys.credentials)
    return [_unpack(name, json.loads(stored)) for name, stored in sorted(packed.items())]


def revoke(ledger: Ledger, name: str) -> bool:
    """Revoke a credential. Returns False if none has this name."""
    return bool(ledger.run("hdel", ledger.keys.credentials, name))


def find(known: Sequence[Credential], token: SecretStr, auth_id: str | None = None) -> Credential | None:
    """Return the credential of a token, and of an auth id if there is one; None if no credential is right.

    It takes the same time whether the auth id is known or not, and wherever a wrong token differs.
    """
    digest = _digest(token)
    right = [
        hmac.compare_digest(one.digest, digest)
        & (auth_id is None or hmac.compare_digest(one.auth_id.encode(), auth_id.encode()))
        for one in known
    ]
    return known[right.index(True)] if any(right) else None


def _digest(token: SecretStr) -> str:
    return hashlib.sha256(token.get_secret_value().encode()).hexdigest()


def _unpack(name: str, stored: dict[str, object]) -> Credential:
    scopes = stored["scopes"]
    assert isinstance(scopes, list)  # noqa: S101  # `issue` wrote it
    return Credential(
        name,
        str(stored["auth_id"]),
        str(stored["digest"]),
        frozenset(map(Scope, scopes)),
        moment(int(str(stored["created_at"]))),
    )

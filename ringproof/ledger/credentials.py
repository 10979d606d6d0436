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


_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Credential:
    """One application's right to call the front door. `digest` is the SHA-256 of its token, in hexadecimal.

    `account` is the account in whose ledger it acts; None: the default account.
    """

    name: str
    auth_id: str
    digest: str
    scopes: frozenset[Scope]
    created_at: datetime
    account: str | None = None

    def __repr__(self) -> str:
        return f"Credential({self.name!r}, scopes={','.join(sorted(self.scopes))})"


class Issued(NamedTuple):
    """A new credential with its token, which nobody can read again."""

    credential: Credential
    token: SecretStr


def issue(ledger: Ledger, name: str, scopes: Collection[Scope] = tuple(Scope), *, account: str | None = None) -> Issued:
    """Make a credential of a name that no other has. Raises `InvalidRequest` for the name.

    The credentials of all accounts are kept in the default account's ledger, which is `ledger`.
    """
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
    credential = Credential(name, auth_id, _digest(token), frozenset(scopes), ledger.now(), account)
    stored = {
        "auth_id": auth_id,
        "digest": credential.digest,
        "scopes": sorted(credential.scopes),
        "created_at": epoch_ms(credential.created_at),
    }
    if account:
        # A front door of 0.1.0 knows no accounts: no token has this digest, so that it lets nobody into another ledger.
        stored |= {"digest": "", "account": account, "account_digest": credential.digest}
    if not ledger.run("hsetnx", ledger.keys.credentials, name, json.dumps(stored)):
        raise InvalidRequest("credential", name, "a credential has this name; revoke it first, or choose another")
    return Issued(credential, token)


def credentials(ledger: Ledger) -> list[Credential]:
    """Return all credentials, by name. One that this version cannot read is left out, and stays in Redis."""
    packed: dict[str, str] = ledger.run("hgetall", ledger.keys.credentials)
    read = (_unpack(name, stored) for name, stored in sorted(packed.items()))
    return [credential for credential in read if credential]


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


def _unpack(name: str, stored: str) -> Credential | None:
    """Unpack a credential; None for what this version cannot read. A scope that it does not know gives no right."""
    try:
        fields = json.loads(stored)
        account = fields.get("account")
        return Credential(
            name,
            str(fields["auth_id"]),
            str(fields["account_digest"] if account else fields["digest"]),
            frozenset(map(Scope, _SCOPES.intersection(fields["scopes"]))),
            moment(int(fields["created_at"])),
            str(account) if account else None,
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None

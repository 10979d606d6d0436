"""The sessions of the live page: who has logged in with which credential. Redis keeps a hash of each token."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.secret_str import SecretStr

LASTS: Final = timedelta(hours=12)
"""A working day. After it a person logs in again."""

TOKEN_BYTES: Final = 30
"""240 random bits: nobody can try them out, so that a fast hash is enough."""


@dataclass(frozen=True, slots=True)
class PageSession:
    """What a person has logged in with: the auth id of a credential, and the digest of the credential's token."""

    auth_id: str
    digest: str


def new_token() -> SecretStr:
    """Return a token for a session."""
    return SecretStr(secrets.token_urlsafe(TOKEN_BYTES))


def begin(ledger: Ledger, token: SecretStr, session: PageSession) -> None:
    """Keep a session for 12 hours. Nobody can read its token from Redis. Raises `LedgerUnavailable`."""
    packed = json.dumps({"auth_id": session.auth_id, "digest": session.digest})
    ledger.run("set", ledger.keys.page_session(_digest(token)), packed, px=ms(LASTS))


def find(ledger: Ledger, token: SecretStr) -> PageSession | None:
    """Return the session of a token; None if there is none, or if it has ended. Raises `LedgerUnavailable`."""
    packed = ledger.run("get", ledger.keys.page_session(_digest(token)))
    return PageSession(**json.loads(packed)) if packed else None


def end(ledger: Ledger, token: SecretStr) -> None:
    """End the session of a token. Raises `LedgerUnavailable`."""
    ledger.run("delete", ledger.keys.page_session(_digest(token)))


def _digest(token: SecretStr) -> str:
    return hashlib.sha256(token.get_secret_value().encode()).hexdigest()

"""`Idempotency-Key`: a request that is sent again, with the same key, has no second code sent.

The ledger remembers its answer under a token, and so decides about calls at the same moment, too. Here the token is
derived from the key and the credential, and a body that differs is refused. Redis keeps digests, and no body.
"""

from datetime import timedelta
from http import HTTPStatus
from typing import Final

from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.request_ids import keyed_digest
from worker.web.api.problems import Refused

KEPT: Final = timedelta(hours=24)
"""How long a key is remembered: a client that has crashed repeats its calls within that."""


def token_of(ledger: Ledger, auth_id: str, key: str, body: str) -> str:
    """Return the ledger's token for a credential's key. Raises `Refused` if the key came with another body before."""
    token = keyed_digest(ledger, f"{auth_id} {key}")
    entry, digest = ledger.keys.idempotency(token), keyed_digest(ledger, body)
    if not ledger.run("set", entry, digest, nx=True, px=ms(KEPT)) and ledger.run("get", entry) not in {digest, None}:
        detail = "this Idempotency-Key came with another body before; choose a new key for each request"
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
    return token


def forget(ledger: Ledger, token: str) -> None:
    """Forget a key whose request was refused: nothing was queued, and asking again with it is right."""
    ledger.run("delete", ledger.keys.idempotency(token), ledger.keys.token(token))

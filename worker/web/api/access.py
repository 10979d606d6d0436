"""Who may call an operation: each request needs a credential's token, and the scope that the operation names."""

import math
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ringproof.errors import LedgerUnavailable
from ringproof.ledger.credentials import Credential
from ringproof.ledger.credentials import Scope as Right
from ringproof.secret_str import SecretStr
from worker.plivo_http.bounded_body import BoundedBody
from worker.web.api.problems import Refused, problem_of, respond, respond_refused
from worker.web.site import Site

OPEN_TO_ALL: Final = frozenset({"/docs", "/openapi.json"})
"""They say what is served, and nothing about a number."""

STREAMED: Final = "/batches"
"""The path whose bodies are read as they come."""

LARGEST_BODY: Final = 1 << 16
"""Bytes of a JSON body. One with all fields at their longest has five thousand."""

_BEARER = HTTPBearer(auto_error=False, description="The token of `ringproof door add NAME`, with its scopes.")


class Access:
    """Lets a request in that has a credential, at the credential's rate, before anything of it is read."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._locks = app, site.locks
        self._bounded = BoundedBody(app, LARGEST_BODY, _too_large)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its credential in `request.state.credential`, or refuse it."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        app = self._app if path == STREAMED else self._bounded
        if path not in OPEN_TO_ALL:
            answer = await self._refuse(scope)
            if answer:
                await answer(scope, receive, send)
                return
        await app(scope, receive, send)

    async def _refuse(self, scope: Scope) -> Response | None:
        kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        try:
            is_bearer = kind.lower() == "bearer"
            credential = await self._locks.holder(SecretStr(token.strip() if is_bearer else ""))
        except LedgerUnavailable as error:
            return respond(problem_of(error))
        if credential is None:
            detail = "no credential has this token; send Authorization: Bearer TOKEN, of ringproof door add"
            challenge = {"WWW-Authenticate": 'Bearer realm="ringproof"'}
            return respond_refused(Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, challenge))
        if seconds := self._locks.seconds_until_free(credential):
            detail = "this credential calls more often than RINGPROOF_DOOR_RATE; ask again after Retry-After"
            later = {"Retry-After": str(math.ceil(seconds))}
            return respond_refused(Refused(HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", detail, later))
        scope.setdefault("state", {})["credential"] = credential
        return None


def _too_large(reason: str) -> Response:
    return respond_refused(Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", reason))


def _caller(
    request: Request,
    needed: SecurityScopes,
    _token: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Credential:
    """Return the credential of a request that has one of the operation's scopes. Raises `Refused` otherwise."""
    credential: Credential = request.state.credential
    if credential.scopes.isdisjoint(needed.scopes):
        detail = f"this credential has not the scope {' or '.join(needed.scopes)}; make one with ringproof door add"
        raise Refused(HTTPStatus.FORBIDDEN, "missing_scope", detail)
    return credential


async def _site(request: Request) -> Site:
    """Return the site of the caller's account. Raises `UnknownAccount`."""
    site: Site = request.app.state.site
    credential: Credential = request.state.credential
    return await site.of(credential.account)


def expect_json(request: Request) -> None:
    """Raise `Refused` unless the body is said to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        detail = "the body must be JSON; send Content-Type: application/json"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", detail)


Verifier = Annotated[Credential, Security(_caller, scopes=[Right.VERIFY])]
VerifierOrReader = Annotated[Credential, Security(_caller, scopes=[Right.VERIFY, Right.READ])]
Reader = Annotated[Credential, Security(_caller, scopes=[Right.READ])]
Importer = Annotated[Credential, Security(_caller, scopes=[Right.BATCH])]
ImporterOrReader = Annotated[Credential, Security(_caller, scopes=[Right.BATCH, Right.READ])]
Here = Annotated[Site, Depends(_site)]

"""One request to Plivo's resource: who calls, and which operation answers in time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from ringproof.errors import LedgerUnavailable, RingproofError
from ringproof.ledger.credentials import Credential, Scope
from worker.plivo_http.answers import CHALLENGE, RefusalError
from worker.plivo_http.bounded_body import BodyTooLargeError, whole_body
from worker.plivo_http.request import AUTH_ID, PlivoRequest
from worker.web.door import caller_ids
from worker.web.door.call import Call
from worker.web.door.complete import complete
from worker.web.door.initiate import initiate
from worker.web.door.refusals import refusal_of, soon, with_reason, wrong
from worker.web.site import Site

OUTCOME_SECONDS: Final = 3.0
"""How long a call waits for the outcome of its request."""

ANSWER_SECONDS: Final = 3.5
"""Each answer begins within 4 s: Plivo's clients for Python and PHP give up after 5, connecting included."""

LARGEST_BODY: Final = 64 * 1024
"""Bytes. The longest alias, as escaped emoji, has 3 KB."""

Operation = Callable[[Site, Call], Awaitable[Response]]

OPERATIONS: Final[Mapping[str, tuple[Operation, frozenset[Scope]]]] = MappingProxyType(
    {
        "initiate": (initiate, frozenset({Scope.VERIFY})),
        "complete": (complete, frozenset({Scope.VERIFY})),
        "get": (caller_ids.get, frozenset({Scope.READ})),
        "list": (caller_ids.list_, frozenset({Scope.READ})),
        "update": (caller_ids.update, frozenset({Scope.VERIFY, Scope.READ})),  # its answer is that of get
        "delete": (caller_ids.delete, frozenset({Scope.VERIFY})),
    }
)
"""The operations of the resource, each with the scopes that a caller needs for it."""

_log = logging.getLogger(__name__)


class DoorRoute(BaseRoute):
    """Serves all of /v1, so that nobody else answers there in another form: a path with a line break in it, too."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def matches(self, scope: AsgiScope) -> tuple[Match, AsgiScope]:
        """Take each request to /v1."""
        is_there = scope["type"] == "http" and f"{scope['path']}/".startswith("/v1/")
        return (Match.FULL if is_there else Match.NONE), {}

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = time.monotonic()
        request = PlivoRequest.read(scope)
        caller = "nobody"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                credential = await self._admit(request)
                caller = credential.name
                body = await whole_body(scope, receive, LARGEST_BODY) if request.method == "POST" else b""
                if body is None:
                    return
                request = replace(request, body=body)
                operation, _ = OPERATIONS[request.operation or ""]
                site = await self._site.of(credential.account)
                answer = await operation(site, Call(request, credential, begun + OUTCOME_SECONDS))
        except RefusalError as refusal:
            answer = with_reason(refusal).answer
        except BodyTooLargeError as too_large:
            answer = wrong("too_large", str(too_large)).answer
        except RingproofError as refused:
            if isinstance(refused, LedgerUnavailable):
                _log.warning("%s of %s: %s", request.operation, caller, refused)
            answer = refusal_of(refused).answer
        except TimeoutError:
            answer = soon("unanswered", "there is no answer yet; ask again in a moment to learn it").answer
        except Exception:  # noqa: BLE001  # each of Plivo's clients would repeat a 500, or misread it
            _log.exception("%s of %s failed", request.operation, caller)
            answer = soon("fault", "the server has failed; its log says why").answer
        took_ms = (time.monotonic() - begun) * 1000
        _log.info("%s of %s: %d %.0f ms", request.operation or "other", caller, answer.status_code, took_ms)
        await answer(scope, receive, send)

    async def _admit(self, request: PlivoRequest) -> Credential:
        """Return who calls. Raises `RefusalError` for a caller who may not, or a request that no operation answers."""
        if not request.operations:
            raise RefusalError(404, "not found")
        token = request.token
        is_well_formed = token is not None and AUTH_ID.fullmatch(request.auth_id)
        credential = await self._site.locks.holder(token, request.auth_id) if token and is_well_formed else None
        if credential is None:
            raise RefusalError(401, "authentication failed", CHALLENGE)
        if request.operation is None:
            allowed = {"Allow": ", ".join(request.operations)}
            raise RefusalError(405, HTTPStatus(405).phrase.lower(), allowed)
        if wait := self._site.locks.seconds_until_free(credential):
            raise soon("too_many_requests", "this credential makes too many requests; ask again later", wait)
        _, needed = OPERATIONS[request.operation]
        if missing := needed - credential.scopes:
            raise RefusalError(409, f"this credential has not the scope {', '.join(sorted(missing))}", reason="scope")
        return credential

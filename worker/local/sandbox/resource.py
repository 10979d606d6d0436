"""Plivo's VerifiedCallerId resource over HTTP, faithful to the field and the slash, on the sandbox's state.

All six operations, and everything that Plivo's seven SDKs send is taken.

Where nothing is documented this is invented, and no client should lean on it: every `error` text; the
statuses of a refused completion (state.py); 400 for a list's `limit` over 20; a list's filters, which are for
the very country, subaccount or alias; an update without a field, which is taken; the body of a delete's 200; the
order of refusals, which is limit, path, credentials, method, an initiate's body, misfortune, any other body. A
completion succeeds with an initiate's switch of status, but never with 202, which Plivo does not give there. A
path of another account than the credentials' is 401 and not 404: every request would share that mistake, and a
client that took it for "no such number" would give up all its numbers.
"""

import asyncio
import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from worker.local.sandbox.answers import (
    CHALLENGE,
    Answer,
    Wire,
    api_id,
    error,
    instead_of_doing,
    instead_of_the_answer,
)
from worker.local.sandbox.state import Arrival, RefusalError, SandboxState
from worker.local.sandbox.switches import is_whole, plus_number

AUTH_ID = re.compile(r"(MA|SA)[A-Za-z0-9]{18}")
LARGEST_PAGE = 20
LARGEST_OFFSET = 10**9  # an offset beyond every list, and within what a list can be sliced by
FILTERS = ("country", "subaccount", "alias")

_COLLECTION = MappingProxyType({"POST": "initiate", "GET": "list"})
_VERIFICATION = MappingProxyType({"POST": "complete"})
_NUMBER = MappingProxyType({"GET": "get", "POST": "update", "DELETE": "delete"})
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, repr=False)
class _Asked:
    """One request, taken apart; `operations` are what its path can be asked, by method: maybe nothing."""

    method: str
    auth_id: str
    tail: list[str]
    operations: Mapping[str, str]
    operation: str | None
    authorization: bytes
    user_agent: str
    query_string: bytes
    body: bytes

    @classmethod
    def read(cls, scope: Scope, body: bytes) -> Self:
        """Read it from ASGI; a slash at the end of the path makes no difference."""
        match scope["path"].removesuffix("/").split("/"):
            case ["", "v1", "Account", auth_id, "VerifiedCallerId", *tail]:
                operations = _operations(tail)
            case _:
                auth_id, tail, operations = "", [], _NOTHING
        headers = dict(scope["headers"])
        return cls(
            method=scope["method"],
            auth_id=auth_id,
            tail=tail,
            operations=operations,
            operation=operations.get(scope["method"]),
            authorization=headers.get(b"authorization", b""),
            user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
            query_string=scope["query_string"],
            body=body,
        )


class VerifiedCallerIdResource:
    """An ASGI application for all of /v1. `credentials` None takes any well-formed auth id with any token.

    `wire` finds the connections that misfortunes cut.
    """

    def __init__(self, state: SandboxState, credentials: tuple[str, str] | None, wire: Wire) -> None:
        self._state, self._credentials, self._wire = state, credentials, wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; it arrives after its latency, and is then served even if its client is gone."""
        body = await _body(receive)
        if body is None:  # the client went before it had said everything
            return
        latency = self._state.switches.latency_seconds()
        if latency:
            await asyncio.sleep(latency)
        asked = _Asked.read(scope, body)
        arrival = self._state.arrive(asked.method, asked.operation or "other", asked.user_agent)
        answer: Answer
        try:
            self._admit(arrival, asked)
            answer = self._answer(arrival, asked)
        except RefusalError as refusal:
            answer = error(refusal.status, refusal.error, refusal.headers)
        arrival.status = answer.status_code
        await answer(scope, receive, send)

    def _admit(self, arrival: Arrival, asked: _Asked) -> None:
        wait = self._state.admit(arrival)
        if wait:
            told = {"Retry-After": str(math.ceil(wait))} if self._state.switches.retry_after else None
            raise RefusalError(429, "too many requests", told)
        if not asked.operations:
            raise RefusalError(404, "not found")
        if not self._knows(_user_and_token(asked.authorization), asked.auth_id):
            raise RefusalError(401, "authentication failed", CHALLENGE)
        if asked.operation is None:
            raise RefusalError(405, "method not allowed", {"Allow": ", ".join(asked.operations)})

    def _knows(self, presented: tuple[str, str] | None, auth_id: str) -> bool:
        if presented is None or presented[0] != auth_id:
            return False
        if self._credentials is not None:
            return presented == self._credentials
        return AUTH_ID.fullmatch(auth_id) is not None and presented[1] != ""

    def _answer(self, arrival: Arrival, asked: _Asked) -> Answer:
        number, perform = self._understood(asked)
        misfortune = self._state.befall(arrival, number)
        lost = misfortune and instead_of_doing(misfortune, self._wire)
        if lost:
            return lost
        try:
            taken = perform()
        except RefusalError as refusal:
            taken = error(refusal.status, refusal.error, refusal.headers)
        return instead_of_the_answer(misfortune, self._wire, taken) if misfortune else taken

    def _understood(self, asked: _Asked) -> tuple[str | None, Callable[[], Response]]:
        """The number that it is about, None for a list or if nobody has it, and what is to be done."""
        name = asked.tail[-1] if asked.tail else ""
        match asked.operation:
            case "initiate":
                return self._initiation(_object(asked.body))
            case "complete":
                return self._state.number_of(name), lambda: self._complete(name, _object(asked.body))
            case "list":
                return None, lambda: self._list(asked.auth_id, asked.query_string)
        number = plus_number(name) or ""
        match asked.operation:
            case "update":
                return number, lambda: self._update(number, _object(asked.body))
            case "delete":
                return number, lambda: self._delete(number)
            case _:
                return number, lambda: self._get(number)

    def _initiation(self, body: Mapping[str, Any]) -> tuple[str, Callable[[], Response]]:
        number = body.get("phone_number")
        if not isinstance(number, str) or (number := plus_number(number)) is None:
            raise RefusalError(400, "phone_number must be a number in E.164 format")
        channel = _optional_text(body, "channel") or "sms"
        if channel not in ("sms", "call"):
            raise RefusalError(400, "channel must be sms or call")
        alias, subaccount = _optional_text(body, "alias"), _optional_text(body, "subaccount")
        return number, partial(self._initiate, number, channel, alias, subaccount)

    def _initiate(self, number: str, channel: str, alias: str, subaccount: str) -> Response:
        sent = self._state.send(number, channel, alias, subaccount)
        message = f"Verification code is sent to number {number} which is valid for 15 minutes"
        return JSONResponse(
            {"api_id": api_id(), "message": message, "verification_uuid": sent.verification_uuid},
            self._state.switches.success_status,
        )

    def _complete(self, verification_uuid: str, body: Mapping[str, Any]) -> Response:
        otp = body.get("otp")
        if not isinstance(otp, str) or not otp:  # a number has lost its leading zeros
            raise RefusalError(400, "otp is required, as a string")
        sent, caller_id = self._state.complete(verification_uuid, otp)
        answer = {
            "alias": caller_id.alias,
            "api_id": api_id(),
            "channel": sent.channel,
            "country": caller_id.country,
            "created_at": caller_id.created_at(digits=9),
            "phone_number": caller_id.phone_number,
            "verification_uuid": verification_uuid,
        }
        return JSONResponse(answer, min(self._state.switches.success_status, 201))

    def _get(self, number: str) -> Response:
        caller_id = self._state.verified(number)
        return JSONResponse({"api_id": api_id(), **caller_id.as_json()})

    def _update(self, number: str, body: Mapping[str, Any]) -> Response:
        caller_id = self._state.update(number, _optional_text(body, "alias"), _optional_text(body, "subaccount"))
        return JSONResponse({"api_id": api_id(), **caller_id.as_json()})

    def _delete(self, number: str) -> Response:
        self._state.delete(number)
        if self._state.switches.delete_status == 204:
            return Response(status_code=204)
        return JSONResponse({"api_id": api_id(), "message": "deleted"})

    def _list(self, auth_id: str, query_string: bytes) -> Response:
        query = parse_qs(query_string.decode("latin-1"))
        wanted = {name: query[name][-1] for name in FILTERS if name in query}
        limit = _whole(query, "limit", LARGEST_PAGE) or LARGEST_PAGE
        offset = _whole(query, "offset", LARGEST_OFFSET)
        found, total = self._state.page(limit, offset, wanted)
        collection = f"/v1/Account/{auth_id}/VerifiedCallerId/"

        def page(first: int) -> str:
            return f"{collection}?{urlencode({**wanted, 'limit': limit, 'offset': first})}"

        meta = {
            "limit": limit,
            "next": page(offset + limit) if offset + limit < total else None,
            "offset": offset,
            "previous": page(max(0, offset - limit)) if offset else None,
            "total_count": total,
        }
        objects = [
            {**one.as_json(), "resource_uri": f"{collection}{one.phone_number.removeprefix('+')}"} for one in found
        ]
        return JSONResponse({"api_id": api_id(), "meta": meta, "objects": objects})


def _operations(tail: list[str]) -> Mapping[str, str]:
    """What can be asked there, by method; nothing if there is no such path."""
    match tail:
        case []:
            return _COLLECTION
        case ["Verification", _]:
            return _VERIFICATION
        case [_]:
            return _NUMBER
        case _:
            return _NOTHING


async def _body(receive: Receive) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


@lru_cache(maxsize=1024)
def _user_and_token(authorization: bytes) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, token = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, token) if colon else None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusalError(400, "the body is not valid JSON") from None
    if not isinstance(parsed, dict):
        raise RefusalError(400, "the body is not a JSON object")
    return parsed


def _optional_text(body: Mapping[str, Any], name: str) -> str:
    """An optional field; null, "" and 0 are what some SDKs send for one that was left out."""
    value = body.get(name)
    if not value:
        return ""
    if not isinstance(value, str):
        raise RefusalError(400, f"{name} must be a string")
    return value


def _whole(query: Mapping[str, list[str]], name: str, highest: int) -> int:
    text = query.get(name, ["0"])[-1]
    value = int(text) if re.fullmatch("[0-9]{1,10}", text) else None
    if value is None or not is_whole(value, 0, highest):
        raise RefusalError(400, f"{name} must be a whole number up to {highest}")
    return value

"""Plivo's VerifiedCallerId resource over HTTP, on the sandbox's state, with Plivo's own fields and slashes.

It has all six operations, and accepts everything that Plivo's seven SDKs and curl send: null, "" or 0 for a field that
is left out, unknown fields, a channel in capitals, and any body of a GET or a DELETE.

Plivo does not document the following. It is invented here, and no client should rely on it:

- every `error` text, and the statuses of a refused completion (state.py);
- 400 for a list's `limit` over 20; a list's filters, which match the whole country, subaccount or alias;
- an update without a field, which is accepted; the body of a delete's 200;
- the order of refusals: limit, path, credentials, method, an initiate's body, misfortune, any other body.

A completion's success has the status that the switch gives an initiate, but never 202, which Plivo does not use there.
A path with another account than that of the credentials is 401, not 404. Every request would have that mistake, and a
client that reads 404 as "no such number" would give up all its numbers.
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
LARGEST_OFFSET = 10**9  # beyond every list, but small enough for a slice
FILTERS = ("country", "subaccount", "alias")

_LEFT_OUT = ("", "0", "null")

_COLLECTION = MappingProxyType({"POST": "initiate", "GET": "list"})
_VERIFICATION = MappingProxyType({"POST": "complete"})
_NUMBER = MappingProxyType({"GET": "get", "POST": "update", "DELETE": "delete"})
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, repr=False)
class _ParsedRequest:
    """One request, split into its parts. `operations` are those of its path, by method; none for an unknown path."""

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
        """Parse an ASGI request; a slash at the end of the path makes no difference."""
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
    """Serve all of /v1, as an ASGI application. `credentials` None: accept any well-formed auth id with any token.

    `wire` finds the connections that misfortunes reset or close.
    """

    def __init__(self, state: SandboxState, credentials: tuple[str, str] | None, wire: Wire) -> None:
        self._state, self._credentials, self._wire = state, credentials, wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. It arrives after its latency, and is then served even if its client is gone."""
        body: bytes = (await receive())["body"]  # the whole one: see BoundedBody
        latency = self._state.switches.latency_seconds()
        if latency:
            await asyncio.sleep(latency)
        request = _ParsedRequest.read(scope, body)
        arrival = self._state.arrive(request.method, request.operation or "other", request.user_agent)
        answer: Answer
        try:
            self._admit(arrival, request)
            answer = self._answer(arrival, request)
        except RefusalError as refusal:
            answer = error(refusal.status, refusal.error, refusal.headers)
        arrival.status = answer.status_code
        await answer(scope, receive, send)

    def _admit(self, arrival: Arrival, request: _ParsedRequest) -> None:
        wait = self._state.admit(arrival)
        if wait:
            headers = {"Retry-After": str(math.ceil(wait))} if self._state.switches.retry_after else None
            raise RefusalError(429, "too many requests", headers)
        if not request.operations:
            raise RefusalError(404, "not found")
        if not self._is_authorized(_user_and_token(request.authorization), request.auth_id):
            raise RefusalError(401, "authentication failed", CHALLENGE)
        if request.operation is None:
            raise RefusalError(405, "method not allowed", {"Allow": ", ".join(request.operations)})

    def _is_authorized(self, presented: tuple[str, str] | None, auth_id: str) -> bool:
        if presented is None or presented[0] != auth_id:
            return False
        if self._credentials is not None:
            return presented == self._credentials
        return AUTH_ID.fullmatch(auth_id) is not None and presented[1] != ""

    def _answer(self, arrival: Arrival, request: _ParsedRequest) -> Answer:
        number, perform = self._plan(request)
        misfortune = self._state.take_misfortune(arrival, number)
        not_done = misfortune and instead_of_doing(misfortune, self._wire)
        if not_done:
            return not_done
        try:
            true_answer = perform()
        except RefusalError as refusal:
            true_answer = error(refusal.status, refusal.error, refusal.headers)
        return instead_of_the_answer(misfortune, self._wire, true_answer) if misfortune else true_answer

    def _plan(self, request: _ParsedRequest) -> tuple[str | None, Callable[[], Response]]:
        """Return the request's number, and the function that performs it. A list and an unknown uuid have no number."""
        name = request.tail[-1] if request.tail else ""
        match request.operation:
            case "initiate":
                return self._initiation(_object(request.body))
            case "complete":
                return self._state.number_of(name), lambda: self._complete(name, _object(request.body))
            case "list":
                return None, lambda: self._list(request.auth_id, request.query_string)
        number = plus_number(name) or ""
        match request.operation:
            case "update":
                return number, lambda: self._update(number, _object(request.body))
            case "delete":
                return number, lambda: self._delete(number)
            case _:
                return number, lambda: self._get(number)

    def _initiation(self, body: Mapping[str, Any]) -> tuple[str, Callable[[], Response]]:
        number = body.get("phone_number")
        if not isinstance(number, str) or (number := plus_number(number)) is None:
            raise RefusalError(400, "phone_number must be a number in E.164 format")
        channel = _optional_text(body, "channel").lower() or "sms"
        if channel not in ("sms", "call"):
            raise RefusalError(400, "channel must be sms or call")
        alias, subaccount = _optional_text(body, "alias"), _subaccount(body)
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
            "subaccount": caller_id.subaccount,
            "verification_uuid": verification_uuid,
        }
        return JSONResponse(answer, min(self._state.switches.success_status, 201))

    def _get(self, number: str) -> Response:
        caller_id = self._state.verified(number)
        return JSONResponse({"api_id": api_id(), **caller_id.as_json()})

    def _update(self, number: str, body: Mapping[str, Any]) -> Response:
        caller_id = self._state.update(number, _optional_text(body, "alias"), _subaccount(body))
        return JSONResponse({"api_id": api_id(), **caller_id.as_json()})

    def _delete(self, number: str) -> Response:
        self._state.delete(number)
        if self._state.switches.delete_status == 204:
            # Without a type, Ruby's SDK raises NoMethodError.
            return Response(status_code=204, media_type="application/json")
        return JSONResponse({"api_id": api_id(), "message": "deleted"})

    def _list(self, auth_id: str, query_string: bytes) -> Response:
        query = _query(query_string)
        wanted = {name: query[name] for name in FILTERS if name in query}
        limit = _whole(query, "limit", LARGEST_PAGE) or LARGEST_PAGE
        offset = _whole(query, "offset", LARGEST_OFFSET)
        entries, total = self._state.page(limit, offset, wanted)
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
            {**entry.as_json(), "resource_uri": f"{collection}{entry.phone_number.removeprefix('+')}"}
            for entry in entries
        ]
        return JSONResponse({"api_id": api_id(), "meta": meta, "objects": objects})


def _operations(tail: list[str]) -> Mapping[str, str]:
    """Return the operations of a path by their methods; none if there is no such path."""
    match tail:
        case []:
            return _COLLECTION
        case ["Verification", _]:
            return _VERIFICATION
        case [_]:
            return _NUMBER
        case _:
            return _NOTHING


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
    """Return an optional field; some SDKs send null, "" or 0 for a field that was left out."""
    value = body.get(name)
    if not value:
        return ""
    if not isinstance(value, str):
        raise RefusalError(400, f"{name} must be a string")
    return value


def _subaccount(fields: Mapping[str, Any]) -> str:
    """Return the subaccount, also under the name that the sample of Node's SDK sends."""
    nodes = fields.get("sub_account")
    return _optional_text(fields, "subaccount") or (nodes if isinstance(nodes, str) else "")


def _query(query_string: bytes) -> Mapping[str, str]:
    """Return the parameters that are not left out; of one that comes twice, the last."""
    query = {name: values[-1] for name, values in parse_qs(query_string.decode("latin-1")).items()}
    query = {name: value for name, value in query.items() if value not in _LEFT_OUT}
    if "sub_account" in query:
        query.setdefault("subaccount", query["sub_account"])
    return query


def _whole(query: Mapping[str, str], name: str, highest: int) -> int:
    text = query.get(name, "0")
    value = int(text) if re.fullmatch("[0-9]{1,10}", text) else None
    if value is None or not is_whole(value, 0, highest):
        raise RefusalError(400, f"{name} must be a whole number up to {highest}")
    return value

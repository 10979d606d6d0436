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
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from worker.local.sandbox.misfortune_answers import Answer, Wire, instead_of_doing, instead_of_the_answer
from worker.local.sandbox.state import Arrival, SandboxState
from worker.plivo_http.answers import (
    CHALLENGE,
    FILTERS,
    LARGEST_OFFSET,
    LARGEST_PAGE,
    RefusalError,
    api_id,
    deleted,
    page,
)
from worker.plivo_http.request import AUTH_ID, PlivoRequest, optional_text, plus_number, subaccount_in, whole_in


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
        answer = self.answer_to(PlivoRequest.read(scope, body))
        await answer(scope, receive, send)

    def answer_to(self, request: PlivoRequest) -> Answer:
        """Serve a request that has arrived, and return its answer."""
        arrival = self._state.arrive(request.method, request.operation or "other", request.user_agent)
        answer: Answer
        try:
            self._admit(arrival, request)
            answer = self._answer(arrival, request)
        except RefusalError as refusal:
            answer = refusal.answer
        arrival.status = answer.status_code
        return answer

    def _admit(self, arrival: Arrival, request: PlivoRequest) -> None:
        wait = self._state.admit(arrival)
        if wait:
            headers = {"Retry-After": str(math.ceil(wait))} if self._state.switches.retry_after else None
            raise RefusalError(429, "too many requests", headers)
        if not request.operations:
            raise RefusalError(404, "not found")
        if not self._is_authorized(request):
            raise RefusalError(401, "authentication failed", CHALLENGE)
        if request.operation is None:
            raise RefusalError(405, "method not allowed", {"Allow": ", ".join(request.operations)})

    def _is_authorized(self, request: PlivoRequest) -> bool:
        if request.token is None:
            return False
        token = request.token.get_secret_value()
        if token in self._state.switches.unknown_tokens:
            return False
        if self._credentials is not None:
            return (request.auth_id, token) == self._credentials
        return AUTH_ID.fullmatch(request.auth_id) is not None and token != ""

    def _answer(self, arrival: Arrival, request: PlivoRequest) -> Answer:
        number, perform = self._plan(request)
        misfortune = self._state.take_misfortune(arrival, number)
        not_done = misfortune and instead_of_doing(misfortune, self._wire)
        if not_done:
            return not_done
        try:
            true_answer = perform()
        except RefusalError as refusal:
            true_answer = refusal.answer
        return instead_of_the_answer(misfortune, self._wire, true_answer) if misfortune else true_answer

    def _plan(self, request: PlivoRequest) -> tuple[str | None, Callable[[], Response]]:
        """Return the request's number, and the function that performs it. A list and an unknown uuid have no number."""
        name = request.name
        match request.operation:
            case "initiate":
                return self._initiation(request.fields)
            case "complete":
                return self._state.number_of(name), lambda: self._complete(name, request.fields)
            case "list":
                return None, lambda: self._list(request.auth_id, request.query)
        number = plus_number(name) or ""
        match request.operation:
            case "update":
                return number, lambda: self._update(number, request.fields)
            case "delete":
                return number, lambda: self._delete(number)
            case _:
                return number, lambda: self._get(number)

    def _initiation(self, body: Mapping[str, Any]) -> tuple[str, Callable[[], Response]]:
        number = body.get("phone_number")
        if not isinstance(number, str) or (number := plus_number(number)) is None:
            raise RefusalError(400, "phone_number must be a number in E.164 format")
        channel = optional_text(body, "channel").lower() or "sms"
        if channel not in ("sms", "call"):
            raise RefusalError(400, "channel must be sms or call")
        alias, subaccount = optional_text(body, "alias"), subaccount_in(body)
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
        caller_id = self._state.update(number, optional_text(body, "alias"), subaccount_in(body))
        return JSONResponse({"api_id": api_id(), **caller_id.as_json()})

    def _delete(self, number: str) -> Response:
        self._state.delete(number)
        if self._state.switches.delete_status == 204:
            return deleted()
        return JSONResponse({"api_id": api_id(), "message": "deleted"})

    def _list(self, auth_id: str, query: Mapping[str, str]) -> Response:
        wanted = {name: query[name] for name in FILTERS if name in query}
        limit = whole_in(query, "limit", LARGEST_PAGE) or LARGEST_PAGE
        offset = whole_in(query, "offset", LARGEST_OFFSET)
        entries, total = self._state.page(limit, offset, wanted)
        objects = [entry.as_json() for entry in entries]
        return page(auth_id, wanted, limit, offset, total, objects, has_more=offset + limit < total)

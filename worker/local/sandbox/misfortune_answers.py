"""The answers that a client gets when a misfortune happens to its request; misfortunes.py explains each kind.

An answer is an ASGI application. ASGI has no message for a reset and the like, so these answers act on the connection's
own transport, which a `Wire` finds.
"""

import asyncio
import json
import math
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from types import MappingProxyType
from typing import Protocol

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from worker.local.sandbox.misfortunes import Misfortune, MisfortuneKind
from worker.plivo_http.answers import CHALLENGE, api_id, error

FLOOD_BYTES = 100 * 1024 * 1024
ELSEWHERE = "/v1/elsewhere"  # in the sandbox, so that its record of requests shows a client that follows

_PIECE = b" " * 65536  # as much as uvicorn keeps for a slow client
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Wire = Callable[[tuple[str, int]], asyncio.Transport | None]
"""Returns the transport of a peer (host and port); None: the peer is gone."""


class Answer(Protocol):
    """The answer to one request; `status_code` None: no answer is sent."""

    @property
    def status_code(self) -> int | None:
        """Return the status in the head."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """Send the answer."""


class Silence:
    """No answer until the client goes, or until `seconds` are over; then the connection is aborted."""

    status_code = None

    def __init__(self, seconds: float, wire: Wire) -> None:
        self._seconds, self._wire = seconds, wire

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Keep the connection open, as if an answer would follow."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await _until_gone(receive)
        if transport := self._wire(scope["client"]):
            transport.abort()
        await _until_gone(receive)


class Reset:
    """A RST in place of the head, or in place of the body of `answer`."""

    def __init__(self, wire: Wire, answer: Response | None = None) -> None:
        self._wire, self._answer = wire, answer
        self.status_code = answer.status_code if answer else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head of `answer`, if there is one, and reset the connection."""
        if self._answer:
            status, headers = self._answer.status_code, self._answer.raw_headers
            await send({"type": "http.response.start", "status": status, "headers": headers})
        if transport := self._wire(scope["client"]):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        await _until_gone(receive)


class ClosedIdle:
    """A whole answer, and then a closed connection that the head did not announce."""

    def __init__(self, wire: Wire, answer: Response) -> None:
        self._wire, self._answer = wire, answer
        self.status_code = answer.status_code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, and then a FIN."""
        await self._answer(scope, receive, send)
        if transport := self._wire(scope["client"]):
            transport.write_eof()  # now; close waits for the loop's next turn, and the client may be faster
            transport.close()


def instead_of_doing(misfortune: Misfortune, wire: Wire) -> Answer | None:
    """Return the answer of a misfortune that comes in place of the operation; None if it comes after the operation."""
    build = _NOT_DONE.get(misfortune.kind)
    return build(misfortune.seconds or 0, wire) if build else None


def instead_of_the_answer(misfortune: Misfortune, wire: Wire, answer: Response) -> Answer:
    """Return the answer of a misfortune that comes after the operation; `answer` is the operation's own."""
    return _DONE[misfortune.kind](misfortune.seconds or 0, wire, answer)


_NOT_DONE: Mapping[MisfortuneKind, Callable[[float, Wire], Answer]] = MappingProxyType(
    {
        MisfortuneKind.REJECTED: lambda *_: error(400, "this phone_number cannot be verified"),
        MisfortuneKind.UNAUTHORIZED: lambda *_: error(401, "authentication failed", CHALLENGE),
        MisfortuneKind.OUT_OF_CREDIT: lambda *_: error(402, "out of credit"),
        MisfortuneKind.FORBIDDEN: lambda *_: error(403, "not enabled"),
        MisfortuneKind.THROTTLED: lambda *_: _throttled(None),
        MisfortuneKind.THROTTLED_SECONDS: lambda seconds, _: _throttled(_whole(seconds)),
        MisfortuneKind.THROTTLED_DATE: lambda seconds, _: _throttled(_date_in(seconds)),
        MisfortuneKind.THROTTLED_JUNK: lambda *_: _throttled("soon"),
        MisfortuneKind.FAILS_BEFORE: lambda *_: error(500, "internal server error"),
        MisfortuneKind.BAD_GATEWAY_BEFORE: lambda *_: _balancers(502),
        MisfortuneKind.UNAVAILABLE: lambda *_: error(503, "service unavailable"),
        MisfortuneKind.UNAVAILABLE_RETRY_AFTER: lambda seconds, _: _balancers(503, {"Retry-After": _whole(seconds)}),
        MisfortuneKind.UNAVAILABLE_BARE: lambda *_: _balancers(503),
        MisfortuneKind.GATEWAY_TIMEOUT_BEFORE: lambda *_: _balancers(504),
        MisfortuneKind.TIMEOUT_BEFORE: Silence,
        MisfortuneKind.RESET_BEFORE: lambda _, wire: Reset(wire),
        MisfortuneKind.REDIRECT: lambda *_: RedirectResponse(ELSEWHERE, 307),  # a client repeats a POST as a POST
    }
)

_DONE: Mapping[MisfortuneKind, Callable[[float, Wire, Response], Answer]] = MappingProxyType(
    {
        MisfortuneKind.FAILS_AFTER: lambda *_: error(500, "internal server error"),
        MisfortuneKind.BAD_GATEWAY_AFTER: lambda *_: _balancers(502),
        MisfortuneKind.UNAVAILABLE_BARE_AFTER: lambda *_: _balancers(503),
        MisfortuneKind.GATEWAY_TIMEOUT_AFTER: lambda *_: _balancers(504),
        MisfortuneKind.TIMEOUT_AFTER: lambda seconds, wire, _: Silence(seconds, wire),
        MisfortuneKind.RESET_AFTER: lambda _, wire, __: Reset(wire),
        MisfortuneKind.RESET_IN_BODY: lambda _, wire, answer: Reset(wire, answer),
        MisfortuneKind.CLOSED_IDLE: lambda _, wire, answer: ClosedIdle(wire, answer),
        MisfortuneKind.EMPTY: lambda _, __, answer: Response(status_code=answer.status_code),
        MisfortuneKind.HTML: lambda _, __, answer: HTMLResponse("<html><h1>It works!</h1></html>", _with_body(answer)),
        MisfortuneKind.TRUNCATED: lambda _, __, answer: _of(answer, answer.body[: len(answer.body) // 2]),
        MisfortuneKind.WITHOUT_UUID: lambda _, __, answer: _without_uuid(answer),
        MisfortuneKind.ASYNC: lambda *_: JSONResponse({"message": "async api spawned", "api_id": api_id()}, 202),
        MisfortuneKind.ERROR_IN_200: lambda *_: error(200, "internal server error"),
        MisfortuneKind.TRICKLE: lambda seconds, _, answer: _streamed(answer, _bytes_apart(bytes(answer.body), seconds)),
        MisfortuneKind.FLOOD: lambda _, __, answer: _streamed(answer, _flood(bytes(answer.body)), _with_body(answer)),
    }
)


def _throttled(retry_after: str | None) -> Response:
    return error(429, "too many requests", None if retry_after is None else {"Retry-After": retry_after})


def _whole(seconds: float) -> str:
    return str(math.ceil(seconds))


def _date_in(seconds: float) -> str:
    """Return the date in so many seconds, by the real clock, as uvicorn's `Date` has it, not by the sandbox's."""
    return formatdate(math.ceil(time.time() + seconds), usegmt=True)


def _balancers(status: int, headers: Mapping[str, str] | None = None) -> Response:
    title = f"{status} {HTTPStatus(status).phrase}"
    return HTMLResponse(f"<html><head><title>{title}</title></head><body></body></html>", status, headers)


def _of(answer: Response, body: bytes | memoryview) -> Response:
    return Response(body, answer.status_code, media_type=answer.media_type)


def _with_body(answer: Response) -> int:
    """Return its status, or 200 for a 204, because no client reads the body of a 204."""
    return 200 if answer.status_code == 204 else answer.status_code


def _without_uuid(answer: Response) -> Response:
    if not answer.body:
        return answer
    body = json.loads(bytes(answer.body))
    for resource in (body, *body.get("objects", ())):
        resource.pop("verification_uuid", None)
    return JSONResponse(body, answer.status_code)


def _streamed(answer: Response, pieces: AsyncIterator[bytes], status: int | None = None) -> Response:
    return StreamingResponse(pieces, status or answer.status_code, media_type=answer.media_type)


async def _bytes_apart(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    for place in range(len(body)):
        yield body[place : place + 1]
        await asyncio.sleep(seconds)


async def _flood(body: bytes) -> AsyncIterator[bytes]:
    for _ in range(FLOOD_BYTES // len(_PIECE)):
        yield _PIECE
        await asyncio.sleep(0)  # it learns only in the loop's next turn that the client has gone
    yield body


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""What a client gets when a misfortune befalls its request; misfortunes.py tells what each kind is.

An answer is an ASGI application. What no ASGI message can say, such as a reset, is done to the connection's
own transport, which a `Wire` finds.
"""

import asyncio
import json
import math
import socket
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from types import MappingProxyType
from typing import Protocol

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from worker.local.sandbox.misfortunes import Misfortune, MisfortuneKind

CHALLENGE: Mapping[str, str] = MappingProxyType({"WWW-Authenticate": 'Basic realm="Plivo"'})
FLOOD_BYTES = 100 * 1024 * 1024
ELSEWHERE = "/v1/elsewhere"  # of the sandbox itself, whose record of requests convicts whoever follows

_PIECE = b" " * 65536  # what may wait for a slow client, as uvicorn has it
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Wire = Callable[[tuple[str, int]], asyncio.Transport | None]
"""Finds the transport of a peer (host and port); None: it is gone."""


class Answer(Protocol):
    """What is sent in answer to one request; `status_code` None: nothing is."""

    @property
    def status_code(self) -> int | None:
        """As the head says it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """Send it."""


class Silence:
    """Nothing, until the client goes, or `seconds` are over and it is cut off."""

    status_code = None

    def __init__(self, seconds: float, wire: Wire) -> None:
        self._seconds, self._wire = seconds, wire

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Hold the connection, as any other answer would be sent on it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await _until_gone(receive)
        if transport := self._wire(scope["client"]):
            transport.abort()
        await _until_gone(receive)


class Reset:
    """A RST: in place of the head, or where the body of `answer` would begin."""

    def __init__(self, wire: Wire, answer: Response | None = None) -> None:
        self._wire, self._answer = wire, answer
        self.status_code = answer.status_code if answer else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, if there is one, and reset the connection."""
        if self._answer:
            status, headers = self._answer.status_code, self._answer.raw_headers
            await send({"type": "http.response.start", "status": status, "headers": headers})
        if transport := self._wire(scope["client"]):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        await _until_gone(receive)


class ClosedIdle:
    """A whole answer, whose connection is closed without a word as soon as it is idle."""

    def __init__(self, wire: Wire, answer: Response) -> None:
        self._wire, self._answer = wire, answer
        self.status_code = answer.status_code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, and then a FIN."""
        await self._answer(scope, receive, send)
        if transport := self._wire(scope["client"]):
            transport.write_eof()  # at once, where close waits for the loop's next turn: the client may be quick
            transport.close()


def api_id() -> str:
    """A new one, as Plivo gives each answer."""
    return str(uuid.uuid4())


def error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Plivo's JSON error."""
    return JSONResponse({"api_id": api_id(), "error": text}, status, headers)


def instead_of_doing(misfortune: Misfortune, wire: Wire) -> Answer | None:
    """What the client gets of what is not done; None if the misfortune comes after it was done."""
    play = _NOT_DONE.get(misfortune.kind)
    return play(misfortune.seconds or 0, wire) if play else None


def instead_of_the_answer(misfortune: Misfortune, wire: Wire, taken: Response) -> Answer:
    """What the client gets of what was done; `taken` is what it would have been told."""
    return _DONE[misfortune.kind](misfortune.seconds or 0, wire, taken)


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
        MisfortuneKind.REDIRECT: lambda *_: RedirectResponse(ELSEWHERE, 307),  # with which a POST stays one
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
        MisfortuneKind.RESET_IN_BODY: lambda _, wire, taken: Reset(wire, taken),
        MisfortuneKind.CLOSED_IDLE: lambda _, wire, taken: ClosedIdle(wire, taken),
        MisfortuneKind.EMPTY: lambda _, __, taken: Response(status_code=taken.status_code),
        MisfortuneKind.HTML: lambda _, __, taken: HTMLResponse("<html><h1>It works!</h1></html>", _with_body(taken)),
        MisfortuneKind.TRUNCATED: lambda _, __, taken: _of(taken, taken.body[: len(taken.body) // 2]),
        MisfortuneKind.WITHOUT_UUID: lambda _, __, taken: _without_uuid(taken),
        MisfortuneKind.ASYNC: lambda *_: JSONResponse({"message": "async api spawned", "api_id": api_id()}, 202),
        MisfortuneKind.ERROR_IN_200: lambda *_: error(200, "internal server error"),
        MisfortuneKind.TRICKLE: lambda seconds, _, taken: _streamed(taken, _bytes_apart(bytes(taken.body), seconds)),
        MisfortuneKind.FLOOD: lambda _, __, taken: _streamed(taken, _flood(bytes(taken.body)), _with_body(taken)),
    }
)


def _throttled(retry_after: str | None) -> Response:
    return error(429, "too many requests", None if retry_after is None else {"Retry-After": retry_after})


def _whole(seconds: float) -> str:
    return str(math.ceil(seconds))


def _date_in(seconds: float) -> str:
    """A date so far ahead, by the clock that uvicorn writes `Date` with: the real one, not the sandbox's."""
    return formatdate(math.ceil(time.time() + seconds), usegmt=True)


def _balancers(status: int, headers: Mapping[str, str] | None = None) -> Response:
    title = f"{status} {HTTPStatus(status).phrase}"
    return HTMLResponse(f"<html><head><title>{title}</title></head><body></body></html>", status, headers)


def _of(taken: Response, body: bytes | memoryview) -> Response:
    return Response(body, taken.status_code, media_type=taken.media_type)


def _with_body(taken: Response) -> int:
    """Its status, where there is to be a body: no client reads that of a 204."""
    return 200 if taken.status_code == 204 else taken.status_code


def _without_uuid(taken: Response) -> Response:
    if not taken.body:
        return taken
    told = json.loads(bytes(taken.body))
    for one in (told, *told.get("objects", ())):
        one.pop("verification_uuid", None)
    return JSONResponse(told, taken.status_code)


def _streamed(taken: Response, pieces: AsyncIterator[bytes], status: int | None = None) -> Response:
    return StreamingResponse(pieces, status or taken.status_code, media_type=taken.media_type)


async def _bytes_apart(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    for place in range(len(body)):
        yield body[place : place + 1]
        await asyncio.sleep(seconds)


async def _flood(body: bytes) -> AsyncIterator[bytes]:
    for _ in range(FLOOD_BYTES // len(_PIECE)):
        yield _PIECE
        await asyncio.sleep(0)  # only in the loop's next turn is it told that the client has gone
    yield body


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

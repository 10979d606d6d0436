"""Keep a server's memory small, whatever the length of a body is, and whatever its sender says that it is."""

from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST: Final = 1 << 20
"""Bytes. Plivo's largest body has some hundred; a list of misfortunes or of refused numbers may be long."""


class BodyTooLargeError(Exception):
    """A body is longer than it may be. The text says how long that is."""


async def whole_body(scope: Scope, receive: Receive, most: int) -> bytes | None:
    """Return the body of a request; None if its sender goes before the end.

    Raises `BodyTooLargeError` if it has more than `most` bytes, as soon as that is known. uvicorn drops the rest of it
    as it comes, so that its sender reads the answer.
    """
    size, body, is_whole = int(Headers(scope=scope).get("content-length", 0)), bytearray(), False
    while not is_whole and max(size, len(body)) <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        is_whole = not message["more_body"]
    if max(size, len(body)) > most:
        raise BodyTooLargeError(f"the body has more than {most:,} bytes")
    return bytes(body)


def _too_large(text: str) -> Response:
    return JSONResponse({"error": text}, 413)


class BoundedBody:
    """Reads each body before the application does, which gets it in one piece; refuses one of more than `most` bytes.

    `refusal` makes the answer from the reason; without it the status is 413.
    """

    def __init__(self, app: ASGIApp, most: int = LARGEST, refusal: Callable[[str], Response] = _too_large) -> None:
        self._app, self._most, self._refusal = app, most, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or refuse it. Do neither if its sender goes before the end."""
        try:
            body = await whole_body(scope, receive, self._most)
        except BodyTooLargeError as error:
            await self._refusal(str(error))(scope, receive, send)
            return
        if body is None:
            return
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def read() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, read, send)

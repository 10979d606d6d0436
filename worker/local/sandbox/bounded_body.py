"""Keep the sandbox's memory small, whatever the length of a body is, and whatever its sender says that it is."""

from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST: Final = 1 << 20
"""Bytes. Plivo's largest body has some hundred; a list of misfortunes or of refused numbers may be long."""


class BoundedBody:
    """Reads each body before the application does, which gets it in one piece; answers a larger one with 413.

    uvicorn drops the rest of a refused body as it comes, so that its sender reads the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or refuse it. Do neither if its sender goes before the end."""
        size, body, is_whole = int(Headers(scope=scope).get("content-length", 0)), b"", False
        while not is_whole and max(size, len(body)) <= LARGEST:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            is_whole = not message["more_body"]
        if max(size, len(body)) > LARGEST:
            await JSONResponse({"error": f"the body has more than {LARGEST:,} bytes"}, 413)(scope, receive, send)
            return
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def read() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, read, send)

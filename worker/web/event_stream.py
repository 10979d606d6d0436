"""A stream of server-sent events as an answer: it has one of a process's places while it lasts."""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from anyio import CapacityLimiter
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_HEADERS: Final[Mapping[str, str]] = MappingProxyType({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
"""No proxy should keep events back."""


class EventStream(StreamingResponse):
    """Server-sent events. A stream takes one of `places` when it is made, and leaves it at its end.

    Raises `anyio.WouldBlock` if all places are taken.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        content: AsyncIterator[str],
        places: CapacityLimiter,
        status_code: int = HTTPStatus.OK,  # FastAPI documents the default
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(content, status_code, headers={**headers, **_HEADERS})
        self._places = places
        places.acquire_on_behalf_of_nowait(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the stream ends or the client leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.release_on_behalf_of(self)

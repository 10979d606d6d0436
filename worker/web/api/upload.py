"""The body of a request as a binary stream: a roster is read while it comes in, in constant memory."""

import asyncio
import io
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from anyio import from_thread
from starlette.requests import ClientDisconnect, Request

from worker.web.api.problems import Refused
from worker.web.api.stopping import StoppingError, unless_stopping

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

MOST_BYTES: Final = 1 << 30
"""Of an upload: ten million rows with some columns. A roster beyond that is a mistake, or is sent in parts."""

LOOK_SECONDS: Final = 1.0
"""How often the server looks whether the sender of a whole roster still waits for the answer."""

STALLED_SECONDS: Final = 60.0
"""How long the next piece may take to come. After that its sender is gone, and the network does not say so."""


class UploadedFile(io.RawIOBase):
    """A body that a thread of anyio reads, while the event loop receives it. It can be read once.

    The thread waits for each piece, and nothing is received ahead of it. Raises starlette's `ClientDisconnect` if the
    body is cut off, and `Refused` if it stalls, if it is longer than `MOST_BYTES`, or if this process stops.
    """

    name = "the upload"

    def __init__(self, request: Request, stopping: asyncio.Event) -> None:
        super().__init__()
        self._request, self._body, self._stopping = request, request.stream(), stopping
        self._rest, self._received, self._is_whole = b"", 0, False

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer with what has come, and wait for the first of it; 0 at the end."""
        while not self._rest:
            piece = from_thread.run(self._next)
            if piece is None:
                return 0
            self._rest = piece
        target = memoryview(buffer)
        count = min(len(self._rest), len(target))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def while_wanted(self, outcomes: Iterable[T]) -> Iterator[T]:
        """Yield these, as long as this process runs and the sender waits: a minute's work may be in a few kilobytes.

        Raises `Refused` or `ClientDisconnect`, as reading does.
        """
        looked_at = time.monotonic()
        for outcome in outcomes:
            if self._stopping.is_set():
                raise _stopping()
            if self._is_whole and time.monotonic() - looked_at > LOOK_SECONDS:
                looked_at = time.monotonic()
                if from_thread.run(self._request.is_disconnected):
                    raise ClientDisconnect
            yield outcome

    async def drain(self) -> None:
        """Receive what was not read. Closing the connection in the middle would take the answer away, too."""
        while await self._next() is not None:
            pass

    async def _next(self) -> bytes | None:
        """Return the next piece, which may be empty; None at the end."""
        try:
            piece = await unless_stopping(self._stopping, anext(self._body, None), seconds=STALLED_SECONDS)
        except StoppingError:
            raise _stopping() from None
        except TimeoutError:
            raise cut_off() from None
        self._is_whole = piece is None
        self._received += len(piece or b"")
        if self._received > MOST_BYTES:
            detail = f"the upload is longer than {MOST_BYTES >> 30} GiB; send the roster in parts, each with a name"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail)
        return piece


def _stopping() -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "stopping", "this process stops; send the roster again")


def cut_off() -> Refused:
    """Return the answer to an upload that has ended too early."""
    return Refused(HTTPStatus.BAD_REQUEST, "cut_off", "the upload was cut off; send the roster again")

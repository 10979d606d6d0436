"""The body of a request as a binary stream: a roster is read while it comes in, in constant memory."""

import asyncio
import io
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from anyio import from_thread

from worker.web.api.problems import Refused
from worker.web.api.stopping import StoppingError, unless_stopping

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_BYTES: Final = 1 << 30
"""Of an upload: ten million rows with some columns. A roster beyond that is a mistake, or is sent in parts."""


STALLED_SECONDS: Final = 60.0
"""How long the next piece may take to come. After that its sender is gone, and the network does not say so."""


class UploadedFile(io.RawIOBase):
    """A body that a thread of anyio reads, while the event loop receives it. It can be read once.

    The thread waits for each piece, and nothing is received ahead of it. Raises starlette's `ClientDisconnect` if the
    body is cut off, and `Refused` if it stalls, if it is longer than `MOST_BYTES`, or if this process stops.
    """

    name = "the upload"

    def __init__(self, body: AsyncIterator[bytes], stopping: asyncio.Event) -> None:
        super().__init__()
        self._body, self._stopping = body, stopping
        self._rest, self._received = b"", 0

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

    async def drain(self) -> None:
        """Receive what was not read. Closing the connection in the middle would take the answer away, too."""
        while await self._next() is not None:
            pass

    async def _next(self) -> bytes | None:
        """Return the next piece, which may be empty; None at the end."""
        try:
            piece = await unless_stopping(self._stopping, anext(self._body, None), seconds=STALLED_SECONDS)
        except StoppingError:
            detail = "this process stops; send the roster again"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "stopping", detail) from None
        except TimeoutError:
            raise cut_off() from None
        self._received += len(piece or b"")
        if self._received > MOST_BYTES:
            detail = f"the upload is longer than {MOST_BYTES >> 30} GiB; send the roster in parts, each with a name"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail)
        return piece


def cut_off() -> Refused:
    """Return the answer to an upload that has ended too early."""
    return Refused(HTTPStatus.BAD_REQUEST, "cut_off", "the upload was cut off; send the roster again")

"""One connection of a server that strangers reach: a client that leaves it open for nothing loses it."""

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

OWED_SECONDS: Final = 10.0
"""How long a client may owe something. A client in a bad network needs a second or two."""


class TimedConnection(H11Protocol):
    """uvicorn's connection, which closes if its client owes something for too long.

    It owes the first request, the rest of a head that it has begun, or the rest of a body whose request is answered
    already. uvicorn waits for these forever: so anybody who reaches the port could use up the process's files, without
    a credential. A body that is read has its own time limit, where it is read.
    """

    _closing: asyncio.TimerHandle | None = None
    _has_asked = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        """Wait for the first request."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the end of this one."""
        self._has_asked = True
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the waiting."""
        super().connection_lost(exc)
        self._stop()

    def _look(self) -> None:
        """Begin to count the time if the client owes something, and end that if it does not."""
        if not self._owes():
            self._stop()
        elif self._closing is None:
            self._closing = self.loop.call_later(OWED_SECONDS, self.timeout_keep_alive_handler)

    def _owes(self) -> bool:
        if self.conn.their_state is h11.IDLE:
            return not self._has_asked or bool(self.conn.trailing_data[0])
        return self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete

    def _stop(self) -> None:
        if self._closing:
            self._closing.cancel()
            self._closing = None

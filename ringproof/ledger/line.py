"""One connection to Redis, on which several commands go out at once."""

from collections.abc import Sequence
from typing import Any, Protocol

import redis

from ringproof.clock import boot_clock


class Line(Protocol):
    """A connection that one caller has for itself. `socket` is another object once it is connected again."""

    connection: Any
    socket: Any

    async def ask(self, *commands: Sequence[Any]) -> list[tuple[Any, float]]:
        """Send commands, and return their answers in order, each with its moment: a refusal as the error that it is."""


class BlockingLine:
    """A line of redis-py's blocking client."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.socket = connection._sock  # noqa: SLF001  # redis-py shows its socket to nobody

    async def ask(self, *commands: Sequence[Any]) -> list[tuple[Any, float]]:
        """Send commands, and block until all answers are there."""
        self.connection.send_packed_command(self.connection.pack_commands(commands))
        return [(self._read(), boot_clock()) for _ in commands]

    def _read(self) -> Any:
        try:
            return self.connection.read_response()
        except redis.ResponseError as error:
            return error

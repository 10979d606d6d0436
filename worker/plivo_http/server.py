"""A server on one socket: it says when it listens, and SIGINT and SIGTERM end it with exit code 0."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from ringproof.errors import Misconfigured

KEEP_ALIVE_SECONDS: Final = 75
"""A balancer's. uvicorn's own 5 s would close a connection under a client that is about to use it again."""


class SocketServer(uvicorn.Server):
    """Serve on a bound socket; `ready` gets the URL when the server listens."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self.listening = listening
        self._ready = ready
        self.address: tuple[str, int] = listening.getsockname()[:2]
        host, port = self.address
        scheme = "https" if config.ssl_certfile else "http"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal comes."""
        asyncio.run(self.serve(sockets or [self.listening]))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and report the URL."""
        await super().startup(sockets)
        self._ready(self.url)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGINT and SIGTERM with exit code 0. uvicorn's own handler would raise the signal once more."""
        loop = asyncio.get_running_loop()
        ends = (signal.SIGINT, signal.SIGTERM)
        for number in ends:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in ends:
                loop.remove_signal_handler(number)


def bound(host: str, port: int, *, listen: bool = True) -> socket.socket:
    """Return a socket that is bound to this address. Raises `Misconfigured` if it cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without it each answer waits 40 ms for an ACK
    socket_ = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        socket_.bind((host, port))
        if listen:
            socket_.listen()
    except (OSError, OverflowError) as error:
        socket_.close()
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        cause = "is taken" if is_taken else f"cannot be used ({error})"
        raise Misconfigured(f"port {port} {cause}; choose another with --port, or a free one with --port 0") from error
    return socket_

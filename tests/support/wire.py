"""The wire: a server that plays any bytes and remembers what it was sent, and what of an error can be seen."""

import base64
import contextlib
import functools
import json
import pickle
import socket
import threading
import traceback
from pathlib import Path

from support.harness import AUTH_ID, AUTH_TOKEN

from ringproof.errors import RingproofError
from ringproof.plivo.transport import HTTP_TIMEOUTS, HttpTimeouts

LOGIN = base64.b64encode(f"{AUTH_ID}:{AUTH_TOKEN}".encode()).decode()
NUMBER = "+14155550123"
UUID = "9e1d3d33-1b9a-4b3c-9c4f-0d8f1f2a3b4c"
QUICK = HttpTimeouts(connect_seconds=0.3, connecting_seconds=0.6, answer_seconds=0.6)

# By what the limits of production would end, what QUICK has ended, even on a busy machine.
CONNECTED_SOON, ANSWERED_SOON = HTTP_TIMEOUTS.connecting_seconds, HTTP_TIMEOUTS.answer_seconds


class Server:
    """Plays bytes for each request on loopback; remembers the requests and counts the connections.

    `play` is what is answered: bytes, or a function of (socket, request) that does as it likes.
    """

    def __init__(self, play, tls=None):
        self.play, self.tls = play, tls
        self.requests, self.connections, self.ended = [], 0, threading.Event()
        self._open = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}/v1"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as incoming:
                while request := self._read(incoming):
                    self.requests.append(request)
                    if isinstance(self.play, bytes):
                        connection.sendall(self.play)
                    elif self.play(connection, request) == "close":
                        return

    @staticmethod
    def _read(incoming):
        head = b""
        while (line := incoming.readline()) and line.strip():
            head += line
        length = next((int(line[15:]) for line in head.splitlines() if line[:15] == b"Content-Length:"), 0)
        return head and head + b"\r\n" + incoming.read(length)

    def close(self):
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(60)


def http(status, body=b"", *headers, length=None):
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def as_json(**fields):
    return json.dumps(fields).encode()


TAKEN = http(201, as_json(api_id="an-api-id", message=f"code is sent to {NUMBER}", verification_uuid=UUID))


def hang_up(first=b"", *, reset=False):
    def play(connection, _request):
        connection.sendall(first)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return "close"

    return play


def trickle(first):
    """Send `first` at once, and then one byte after the other, until the client has gone."""

    def play(connection, _request):
        connection.sendall(first)
        while not is_gone(connection):
            connection.sendall(b"x")
        return "close"

    return play


def is_gone(connection, seconds=0.05):
    """Wait a moment; True if the client has gone meanwhile."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    finally:
        connection.settimeout(None)


@functools.cache
def _bound():
    """A socket that nobody listens at: as long as it is bound, no other process is given its port."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def refused_port():
    return _bound().getsockname()[1]


def outcome(call, *arguments, **keywords):
    try:
        return call(*arguments, **keywords)
    except RingproofError as error:
        return error


def everything_shown(error):
    again = pickle.loads(pickle.dumps(error))
    chain = []
    while error is not None:
        chain += [str(error), repr(error), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join([*chain, str(again), repr(again)])


def locals_shown(error):
    """The locals of every frame that the error has come through, as a crash reporter shows them, but the tests'."""
    found = []
    while error is not None:
        frames = traceback.walk_tb(error.__traceback__)
        found += [
            f"{name}={value!r}"
            for frame, _ in frames
            if Path(frame.f_code.co_filename).parent != Path(__file__).parent
            for name, value in frame.f_locals.items()
        ]
        error = error.__cause__ or error.__context__
    return "\n".join(found)

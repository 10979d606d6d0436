"""One HTTP exchange with time and size limits, which always knows whether it began to write the request.

No other module uses requests or urllib3. This module does four things itself. Their read time-out applies to each
`recv`, so that an answer of one byte a second would never end. Their exceptions do not show whether the request may
have arrived. Their messages and log lines contain the URL, and with it the phone number. After a close the system goes
on sending what was written, for minutes: Plivo would get a request that the caller has given up.

The module uses no `requests.Session`, because a session reads proxies, .netrc and CA bundles from the environment,
follows redirects and keeps cookies. The adapter of requests makes the pool of connections and their TLS. The module
writes to these connections and reads from them itself: `send` and `urlopen` would take more CPU than all the rest. It
opens the tunnel through a proxy itself, because urllib3 would write its CONNECT as it writes a request: a refusal would
look as if Plivo might have got something.
"""

import contextlib
import errno
import http.client
import io
import logging
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ringproof.clock import boot_clock
from ringproof.errors import RingproofError, Unknown, Unreachable
from ringproof.network.proxy import Proxy
from ringproof.phone.masking import shorten
from ringproof.plivo.connecting import RefusedAddress, connect, connect_through, describe, tries_until
from ringproof.plivo.peer import Peer
from ringproof.plivo.tunnel import ProxyError
from ringproof.tries import repeated

T = TypeVar("T")

_CLOSED = (errno.EPIPE, errno.ECONNRESET, errno.EPROTOTYPE)
"""What the system says when one writes to a connection that the server has closed."""

_LOGGERS = ("urllib3.connection", "urllib3.connectionpool", "urllib3.response", "urllib3.util.retry")


@dataclass(frozen=True, slots=True)
class HttpTimeouts:
    """The limits of one exchange: it ends after 15 s. Only a DNS look-up can take longer, and then nothing is sent."""

    connect_seconds: float = 3
    """For one address, and again for the TLS handshake. The system repeats a lost SYN after 1 s.

    A proxy that opens its tunnel byte by byte has `connecting_seconds`.
    """
    connecting_seconds: float = 5
    """For all addresses and all tries together. After that the agenda tries again in minutes."""
    answer_seconds: float = 10
    """From the request's first byte to the answer's last; the lease (45 s) must outlive it and connecting."""
    body_bytes: int = 128 * 1024
    """A page of 20 aliases of 255 escaped emoji (12 bytes each) is 70 KB; all other answers are below 1 KiB.

    The head may have the same length again.
    """
    idle_seconds: float = 2
    """After that the server may close the connection at any moment, and a POST lost then would be in doubt."""


HTTP_TIMEOUTS = HttpTimeouts()


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer. `body` is None if it broke off, came too late or was too long; the status is valid anyway."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


class Body(bytes):
    """The JSON of a request. Its repr hides it: it may contain a number or a code, and tracebacks show reprs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


class HttpTransport:
    """Exchanges with one REST collection at `url`, over a pool that any number of threads share.

    All connections lead through `proxy`, if there is one. `ca_bundle` is a file or folder of certificates, which are
    trusted in place of the usual ones. Without a proxy, `admits` decides about each address of the host before it is
    connected to.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        pool_size: int,
        timeouts: HttpTimeouts,
        proxy: Proxy | None = None,
        ca_bundle: str | None = None,
        admits: Callable[[str], bool] | None = None,
    ) -> None:
        self._prepared = requests.Request("GET", url).prepare()
        self._timeouts, self._target, self._headers = timeouts, self._prepared.path_url, dict(headers)
        self._proxy, self._trusted, self._admits = proxy, ca_bundle or True, admits
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=pool_size)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_is_not_ours)

    def exchange(
        self,
        method: str,
        path: str = "",
        body: Body | None = None,
        before_first_byte: Callable[[], None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """Send one request to `path` below the collection and return the answer. `path` must be escaped.

        `headers` are this request's own, beside those of all.
        `before_first_byte` is called directly before the first byte is written. If it raises, nothing is sent and its
        error rises. After the first byte nothing is ever repeated.

        Raises `Unreachable` if certainly nothing was sent, after several tries within `connecting_seconds`, and
        `Unknown` if the first byte was written and no head came back.
        """
        request = _Request(method, self._target + path, {**self._headers, **(headers or {})}, body)
        return self._connecting(partial(self._exchange, request), before_first_byte)

    def greet(self) -> Peer:
        """Connect, by TLS if the URL has it, and return who is there. No byte of a request is written.

        Raises `Unreachable`, as `exchange` does.
        """
        return self._connecting(_greet)

    def close(self) -> None:
        """Close the idle connections; an exchange in progress ends by itself."""
        self._adapter.close()

    def _connecting(
        self, work: Callable[[Any, "_HttpTry"], T], before_first_byte: Callable[[], None] | None = None
    ) -> T:
        """Do the work, in several tries if no connection is made."""
        until = boot_clock() + self._timeouts.connecting_seconds
        return repeated(partial(self._once, work, until, before_first_byte), lambda: tries_until(until))

    def _once(
        self,
        work: Callable[[Any, "_HttpTry"], T],
        connecting_until: float,
        before_first_byte: Callable[[], None] | None,
    ) -> T:
        """Do the work on the pool of connections, in one try, and translate its errors."""
        outer = sys.exception()
        attempt = _local.attempt = _HttpTry(
            self._timeouts, connecting_until, before_first_byte, self._proxy, self._admits
        )
        try:
            return work(self._adapter.pool(self._prepared, self._trusted), attempt)
        except RingproofError:
            raise  # of `before_first_byte`: its cause may be an OSError of another connection
        except Exception as error:
            cause = _root(error, outer)
            # A bug rises unchanged. But after the first byte even a bug must not look like "not sent".
            if not attempt.written and not isinstance(cause, OSError):
                raise
        finally:
            _local.attempt = None
        # These are raised outside the handler, and from the system's own error alone. The errors of requests and
        # urllib3 contain the URL, and those of http.client bytes of the answer: here they are not even the context.
        # The traceback is dropped too, because its frames have the URL and the credentials as locals.
        system_error = cause.with_traceback(None) if isinstance(cause, OSError) else None
        if attempt.written:
            raise Unknown(shorten(f"no answer: {describe(cause)}")) from system_error
        why = cause.text if isinstance(cause, ProxyError | RefusedAddress) else f"no connection: {describe(cause)}"
        raise Unreachable(shorten(why)) from system_error

    def _exchange(self, request: "_Request", pool: Any, attempt: "_HttpTry") -> HttpAnswer:
        """Write the request to a connection of the pool, and read its answer."""
        connection = pool._get_conn()  # noqa: SLF001  # what `urlopen` does, without the copies that it makes
        is_reusable = False
        try:
            pool._validate_conn(connection)  # noqa: SLF001
            try:
                connection.write_request(request)
            except OSError as error:
                if not attempt.written or error.errno not in _CLOSED:
                    raise
                # The server has closed. It may have answered before, so that there is something to read.
            response = http.client.HTTPConnection.getresponse(connection)
            body = self._body(response)
            is_reusable = body is not None
        finally:
            if not is_reusable:
                connection.close()
            pool._put_conn(connection)  # noqa: SLF001
        return HttpAnswer(response.status, cast("Mapping[str, str]", response.headers), body)

    def _body(self, response: http.client.HTTPResponse) -> bytes | None:
        body, most = b"", self._timeouts.body_bytes
        with response, contextlib.suppress(http.client.HTTPException, OSError):
            while chunk := response.read(most + 1 - len(body)):
                body += chunk
            if len(body) <= most and not response.length:
                return body
        return None


class _Request:
    """A request whose target is escaped. Its repr is bare: a traceback must not show the headers and the body."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: Body | None) -> None:
        self.method, self.target, self.body = method, target, body
        of_body = {} if body is None else {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self.headers = {**headers, **of_body}


class _HttpTry:
    """One try of an exchange: it has a time limit for connecting and, from its first byte on, one for the answer."""

    def __init__(
        self,
        timeouts: HttpTimeouts,
        connecting_until: float,
        before_first_byte: Callable[[], None] | None = None,
        proxy: Proxy | None = None,
        admits: Callable[[str], bool] | None = None,
    ) -> None:
        self.timeouts, self.proxy, self.admits = timeouts, proxy, admits
        self._before_first_byte = before_first_byte
        self._connecting_until = connecting_until
        self._answer_until: float | None = None

    @property
    def written(self) -> bool:
        return self._answer_until is not None

    def write(self) -> None:
        """Note that the first byte is written now. Raises TimeoutError, and notes nothing, if it is too late."""
        if self._answer_until is None:
            self.left()
            if self._before_first_byte:
                self._before_first_byte()
            self._answer_until = boot_clock() + self.timeouts.answer_seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError if none are left."""
        until = self._connecting_until if self._answer_until is None else self._answer_until
        if (left := until - boot_clock()) <= 0:
            raise TimeoutError
        return left

    def step(self) -> float:
        """Return the seconds that one step of connecting may take. Raises TimeoutError if none are left."""
        return min(self.timeouts.connect_seconds, self.left())

    def connect(self, address: Any, family: int, kind: int, protocol: int) -> socket.socket:
        """Connect to one address, and set the time-out for the TLS handshake that follows."""
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: the limit holds even if this process is frozen
                unacknowledged_ms = round(self.timeouts.answer_seconds * 1000)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)
            sock.settimeout(self.step())
            sock.connect(address)
            sock.settimeout(self.step())
        except BaseException:
            sock.close()
            raise
        return sock


_local = threading.local()  # .attempt: urllib3 cannot pass it to a connection


def _current() -> _HttpTry:
    return cast("_HttpTry", _local.attempt)


class _Inflow(io.RawIOBase):
    """The answer's bytes. Each `recv` gets only the rest of the whole time, and too many bytes are an error."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock, self._attempt = raw, sock, _current()
        self._bytes_left = 2 * self._attempt.timeouts.body_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._attempt.left())
        count = cast("int | None", self._raw.readinto(buffer))
        self._bytes_left -= count or 0
        if self._bytes_left < 0:
            raise OSError("the answer is too long")
        return count

    def close(self) -> None:
        self._raw.close()  # the socket itself is closed only after this
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **keywords: Any) -> None:
        super().__init__(sock, *args, **keywords)
        self.fp = io.BufferedReader(_Inflow(self.fp.detach(), sock))
        self._sock = sock

    def begin(self) -> None:
        super().begin()
        with contextlib.suppress(OSError):  # some systems refuse it once the server has closed
            _drop_unsent_on_close(self._sock, on=False)


class _Connection(HTTPConnection):
    """A connection that keeps the time limits of the current try, and notes there when it begins to write."""

    response_class = _Answer
    auto_open = 0  # otherwise http.client would connect inside `send`, after the first byte was noted
    idle_since = 0.0
    _awaits_body = False
    _head = b""

    def _new_conn(self) -> socket.socket:
        attempt = _current()
        if attempt.proxy is None:
            return connect(attempt, self._dns_host, self.port, attempt.admits)
        return connect_through(attempt, attempt.proxy, self.host, self.port)

    def write_request(self, request: _Request) -> None:
        """Write a request by http.client. That of urllib3 also notes what its own answer needs, and nobody reads."""
        self._awaits_body = request.body is not None
        http.client.HTTPConnection.request(self, request.method, request.target, request.body, request.headers)

    def send(self, data: Any) -> None:
        if self._awaits_body:  # head and body leave together: two writes are two packets, and cost twice as much
            self._awaits_body, self._head = False, data
            return
        data, self._head = Body(self._head + data), b""
        attempt = _current()
        if self.sock is not None:
            _drop_unsent_on_close(self.sock, on=True)
        attempt.write()
        if self.sock is not None:
            self.sock.settimeout(attempt.left())
        super().send(data)


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    """A pool that reuses no connection that was idle too long, or that has unread bytes of an earlier answer."""

    ConnectionCls = _Connection

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        sock = connection.sock
        if sock is not None and (
            boot_clock() - connection.idle_since > _current().timeouts.idle_seconds
            or (isinstance(sock, ssl.SSLSocket) and sock.pending())
        ):
            connection.close()
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = boot_clock()
        super()._put_conn(conn)

    def _validate_conn(self, conn: Any) -> None:
        if conn.is_closed:
            conn.connect()
        super()._validate_conn(conn)


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """Makes the pool of one host, with its TLS."""

    _pool: Any = None

    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        super().init_poolmanager(*args, **keywords)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def pool(self, request: requests.PreparedRequest, trusted: bool | str) -> Any:
        """Return the pool of the request's host."""
        if self._pool is None:
            pool = self.get_connection_with_tls_context(request, trusted)
            self.cert_verify(pool, request.url, trusted, None)  # type: ignore[no-untyped-call]
            self._pool = pool
        return self._pool

    def close(self) -> None:
        super().close()
        self._pool = None


def _drop_unsent_on_close(sock: socket.socket, *, on: bool) -> None:
    """Have the system forget what it has not sent when the socket is closed, also when this process is killed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, 0))


def _greet(pool: Any, _attempt: _HttpTry) -> Peer:
    """Connect one connection of the pool, describe its other end, and close it."""
    connection = pool._get_conn()  # noqa: SLF001  # as `_exchange` does
    try:
        pool._validate_conn(connection)  # noqa: SLF001
        return Peer.of(connection.sock)
    finally:
        connection.close()
        pool._put_conn(connection)  # noqa: SLF001


def _is_not_ours(_record: logging.LogRecord) -> bool:
    """Drop urllib3's log lines about our exchanges: they contain URLs."""
    return getattr(_local, "attempt", None) is None


def _root(error: BaseException, outer: BaseException | None) -> BaseException:
    """Return the first error that was raised since `outer`, which the caller may be handling."""
    while (deeper := error.__cause__ or error.__context__) is not None and deeper is not outer:
        error = deeper
    return error

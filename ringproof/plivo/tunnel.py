"""A tunnel through an HTTP proxy. It stands before TLS begins, so that without it nothing of a request is written."""

import base64
import re
import socket
from collections.abc import Callable
from typing import Self

from ringproof.network.proxy import Proxy

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?= |\r|\n)")
_HEAD_BYTES = 16 * 1024  # of the proxy's answer; a head that is longer is none


class ProxyError(OSError):
    """The proxy opened no tunnel, so that Plivo surely got nothing. `text` says why in our own words."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.is_final = 400 <= status < 500
        """Whether the proxy would say the same in a second. A wrong password that is repeated locks an account."""


def open_tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int, left: Callable[[], float]) -> None:
    """Have the proxy connect to `host`, for as long as `left()` has seconds.

    Raises `ProxyError` if the proxy refuses, and OSError if it breaks off or takes too long.
    """
    sock.settimeout(left())
    sock.sendall(_Request(proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
    head = b""
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        sock.settimeout(left())
        byte = sock.recv(1)  # one byte at a time: what follows the head belongs to the tunnel
        if not byte or len(head) == _HEAD_BYTES:
            raise ProxyError("the proxy gave no answer")
        head += byte
    status = int(match[1]) if (match := _STATUS.match(head)) else 0
    if not 200 <= status < 300:
        raise ProxyError(_refusal(status, proxy), status)


class _Request(bytes):
    """The CONNECT. Its repr hides it, because it contains the login, and tracebacks show reprs."""

    def __new__(cls, proxy: Proxy, target: str) -> Self:
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.login:
            login = base64.b64encode(proxy.login.get_secret_value().encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {login}")
        return super().__new__(cls, "\r\n".join([*lines, "", ""]).encode())

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def _refusal(status: int, proxy: Proxy) -> str:
    if status == 407:
        return f"the proxy {'refuses the' if proxy.login else 'wants a'} login (407): see PLIVO_PROXY"
    return f"the proxy refuses to connect to Plivo ({status})" if status else "the proxy's answer is no HTTP"

"""Connect to a host, by one of its addresses or through a proxy, before anything of a request is written."""

import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from tenacity import Retrying, retry_if_exception, stop_before_delay, wait_exponential, wait_random

from ringproof.clock import boot_clock
from ringproof.errors import Unreachable
from ringproof.network.proxy import Proxy
from ringproof.plivo.tunnel import ProxyError, open_tunnel


class RefusedAddress(OSError):
    """The host has no address that may be connected to, so that nobody was asked. `text` says why in our own words."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.text = f"the address {address} is private"
        self.is_final = True


LEAST_SECONDS: Final = 0.1
"""The last try begins so long before the end, or earlier. A later one would time out, and hide why others failed."""


def tries_until(until: float) -> Retrying:
    """Return how a connection that cannot be made is tried again, until a moment of `boot_clock()`."""
    return Retrying(
        retry=retry_if_exception(_is_worth_another_try),
        wait=wait_exponential(0.1, max=1) + wait_random(0, 0.2),  # a process's threads come one after the other
        stop=stop_before_delay(until - LEAST_SECONDS - boot_clock()),
        reraise=True,
    )


def _is_worth_another_try(error: BaseException) -> bool:
    refusal = error.__cause__
    is_final = isinstance(refusal, ProxyError | RefusedAddress) and refusal.is_final
    return isinstance(error, Unreachable) and not is_final


class Attempt(Protocol):
    """One try to connect, with its time limits."""

    def connect(self, address: Any, family: int, kind: int, protocol: int) -> socket.socket:
        """Connect to one address."""

    def step(self) -> float:
        """Return the seconds that one step may take. Raises TimeoutError if none are left."""


def connect(attempt: Attempt, host: str, port: int, admits: Callable[[str], bool] | None = None) -> socket.socket:
    """Connect to the first address of a host that answers, of those that `admits` allows (None: all of them)."""
    failure = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if admits and not admits(str(address[0])):
            failure = RefusedAddress(str(address[0]))
            continue
        try:
            return attempt.connect(address, family, kind, protocol)
        except OSError as error:
            failure = error
    raise failure


def connect_through(attempt: Attempt, proxy: Proxy, host: str, port: int) -> socket.socket:
    """Connect to a host through the proxy, which looks its name up. Raises `ProxyError`."""
    try:
        sock = connect(attempt, proxy.host, proxy.port)
        try:
            open_tunnel(sock, proxy, host, port, attempt.step)
            sock.settimeout(attempt.step())
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        failure = error if isinstance(error, ProxyError) else ProxyError(f"no way through the proxy: {describe(error)}")
    else:
        return sock
    raise failure.with_traceback(None)


def describe(error: BaseException) -> str:
    """Describe an error in the system's words, without any text that came over the network."""
    if isinstance(error, TimeoutError):
        return "timed out"
    for attribute in ("verify_message", "reason", "strerror"):  # the first two are those of ssl
        if isinstance(error, OSError) and (said := getattr(error, attribute, None)):
            return str(said)
    return type(error).__name__

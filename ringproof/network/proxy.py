"""The HTTP proxy on the way to Plivo: its address, its login, and the hosts that are asked without it."""

import ipaddress
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from ringproof.network.this_machine import is_this_machine
from ringproof.secret_str import SecretStr

SHAPE: Final = (
    "write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with / ? # [ ] @ in a password as "
    "%2F %3F %23 %5B %5D %40; proxies with https:// or socks5:// are not supported; NO_PROXY=* asks none"
)
"""What an error about a wrong address says."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that opens tunnels (CONNECT). `login` is `USER:PASSWORD`, not escaped, or None."""

    host: str
    port: int
    login: SecretStr | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `http://USER:PASSWORD@HOST:PORT`, without a login, or without `http://`, as the usual variables have it.

        >>> Proxy.parse("proxy.example:3128")
        Proxy(host='proxy.example', port=3128, login=None)

        Raises ValueError for anything else, such as a proxy that is itself asked with https:// or socks5://.
        """
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme != "http" or not parts.hostname or parts.port == 0 or not text.isprintable() or " " in text:
            raise ValueError("no such scheme, host or port")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("not escaped")  # `http://user:pass/word@host` would be split at the wrong place
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        login = SecretStr(f"{user}:{password}") if user or password else None
        return cls(parts.hostname, parts.port or 80, login)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def goes_direct(host: str, no_proxy: str = "") -> bool:
    """Return whether no proxy is asked for a host: it is this machine, or `no_proxy` names it.

    `no_proxy` has names between commas or blanks. A name stands for all hosts below it, too, with or without a dot in
    front; `10.0.0.0/8` stands for addresses, and `*` for all hosts.

    >>> goes_direct("api.plivo.com", "localhost,.plivo.com")
    True
    """
    if is_this_machine(host):
        return True
    address = _network(host)
    for name in no_proxy.replace(",", " ").lower().split():
        network = _network(name)
        if network and address:
            if network.version == address.version and network.supernet_of(address):  # type: ignore[arg-type]
                return True
        elif name == "*" or f".{host}".endswith("." + name.removeprefix("*").removeprefix(".")):
            return True
    return False


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:
        return None

"""The address of a Redis whose master the Sentinels name: `sentinel://:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/0`.

redis-py, kombu and Celery have no common way to write it. This one is read alike for the ledger, the broker and the
results. Kombu's is read, too, if it names the service: `sentinel://HOST:PORT;sentinel://HOST:PORT/0?master_name=SERVICE`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote, urlencode

SCHEMES: Final = ("sentinel://", "sentinels://")
"""Without TLS, and with it: to the Sentinels and to Redis."""

SHAPE: Final = (
    "write it as sentinel://:PASSWORD@HOST:PORT,HOST:PORT,HOST:PORT/SERVICE/0, where the hosts are those of the "
    "Sentinels, SERVICE is the name that they give the master, and 0 is the database; sentinels:// for TLS; "
    "?sentinel_password=PASSWORD if the Sentinels have one, and sentinel_username=USER if they have users; escape what "
    "a URL needs escaped, also , in a password, as %2C"
)
"""What an error about a wrong URL of this kind says."""

DEFAULT_PORT: Final = 26379

TLS_OPTIONS: Final = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"}
_LOGIN_OPTIONS: Final = {"sentinel_username", "sentinel_password"}
_CERT_REQS: Final = {"CERT_REQUIRED": "required", "CERT_OPTIONAL": "optional", "CERT_NONE": "none"}

_HOST: Final = re.compile(r"(?P<host>\[(?P<v6>[^\[\]]+)\]|[^\s,:/?#@\[\]%]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_SERVICE: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_DATABASE: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


class WrongSentinelUrlError(ValueError):
    """What is wrong with a URL, in words that show no part of it."""


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """The Sentinels, the service whose master is meant, and how to log in at both. `str()` of it is the whole URL."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    tls: Mapping[str, str] | None = None
    """redis-py's options of TLS; None without TLS."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL in one of the two notations. Raises `WrongSentinelUrlError`.

        >>> SentinelUrl.parse("sentinel://a:26379;sentinel://b:26380/1?master_name=verify").sentinels
        (('a', 26379), ('b', 26380))
        """
        if " " in url or not url.isprintable():
            raise WrongSentinelUrlError("it has a blank, or what cannot be printed")
        whole = _joined([_Part.of(part) for part in url.split(";")])
        is_tls = whole.scheme == "sentinels"
        options = _options(whole.query, TLS_OPTIONS if is_tls else set())
        service, database = _service(whole.path, options)
        user, _, password = whole.login.partition(":")
        return cls(
            _sentinels(whole.hosts),
            service,
            database,
            unquote(user),
            unquote(password),
            options.get("sentinel_username", ""),
            options.get("sentinel_password", ""),
            {name: options[name] for name in sorted(TLS_OPTIONS & options.keys())} if is_tls else None,
        )

    @property
    def shown(self) -> str:
        """The URL for logs and errors: with its passwords masked, and without its options."""
        login = self._login("•••") if self.password else "•••@" if self.username else ""
        return f"{self._scheme}://{login}{self.hosts}/{self.service}/{self.database}"

    @property
    def passwords(self) -> set[str]:
        """Redis' password and that of the Sentinels: decoded, and as a URL has them."""
        both = {self.password, self.sentinel_password}
        return both | {quote(one, safe="") for one in both} | {quote(one) for one in both}

    @property
    def hosts(self) -> str:
        """The Sentinels, as an error names them."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.sentinels)

    @property
    def _scheme(self) -> str:
        return "sentinel" if self.tls is None else "sentinels"

    def _login(self, password: str) -> str:
        user = quote(self.username, safe="")
        return f"{user}:{password}@" if password else f"{user}@" if user else ""

    def __str__(self) -> str:
        login = self._login(quote(self.password, safe=""))
        names = ("sentinel_username", "sentinel_password")
        options = {name: value for name in names if (value := getattr(self, name))} | {**(self.tls or {})}
        query = f"?{urlencode(options, quote_via=quote, safe='/')}" if options else ""
        return f"{self._scheme}://{login}{self.hosts}/{self.service}/{self.database}{query}"


class _Part(NamedTuple):
    """A URL, as it is written between two `;`."""

    scheme: str
    hosts: str
    login: str
    path: str
    query: str

    @classmethod
    def of(cls, url: str) -> Self:
        scheme, colon, rest = url.partition("://")
        if not colon or f"{scheme}://" not in SCHEMES:
            raise WrongSentinelUrlError("a part of it does not begin with sentinel:// or sentinels://")
        before, mark, query = rest.partition("?")
        authority, _, path = before.partition("/")
        if "@" in path + query or "#" in url:
            raise WrongSentinelUrlError("a sign in a user's name or a password is not escaped")
        if mark and not query:
            raise WrongSentinelUrlError("it has a ? without an option")
        login, _, hosts = authority.rpartition("@")
        return cls(scheme, hosts, login, path.rstrip("/"), query)


def _joined(parts: Sequence[_Part]) -> _Part:
    """Return all parts as one. What is no host may be in several of them, but not differ."""
    given = [list(dict.fromkeys(filter(None, values))) for values in zip(*parts, strict=True)]
    schemes, _, *others = given
    if len(schemes) > 1 or any(len(values) > 1 for values in others):
        raise WrongSentinelUrlError("its parts, between which there is a ; differ in more than their hosts")
    return _Part(schemes[0], ",".join(part.hosts for part in parts), *("".join(values) for values in others))


def _options(query: str, of_tls: set[str]) -> dict[str, str]:
    try:
        # A + is a plus sign here, and no blank: passwords have some.
        given = parse_qs(query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise WrongSentinelUrlError("an option of it has no =") from None
    known = _LOGIN_OPTIONS | {"master_name"} | of_tls
    if not given.keys() <= known:
        raise WrongSentinelUrlError(f"it has an option that is none of {', '.join(sorted(known))}")
    if any(len(values) > 1 for values in given.values()):
        raise WrongSentinelUrlError("it has an option twice")
    options = {name: value for name, (value,) in given.items()}
    if not all(options.values()):
        raise WrongSentinelUrlError("an option of it is empty")
    if "sentinel_username" in options and "sentinel_password" not in options:
        raise WrongSentinelUrlError("it has a sentinel_username, but no sentinel_password")
    required = options.get("ssl_cert_reqs", "required")
    if _CERT_REQS.get(required, required) not in _CERT_REQS.values():
        raise WrongSentinelUrlError("ssl_cert_reqs is none of required, optional and none")
    return options | ({"ssl_cert_reqs": _CERT_REQS.get(required, required)} if "ssl_cert_reqs" in options else {})


def _service(path: str, options: Mapping[str, str]) -> tuple[str, int]:
    """Return the service's name and the database."""
    names = path.split("/") if path else []
    database = names.pop() if names and _DATABASE.fullmatch(names[-1]) else "0"
    services = [*names, *filter(None, [options.get("master_name")])]
    if not services:
        raise WrongSentinelUrlError("it does not name the service, which `SENTINEL MASTERS` shows as name")
    if len(services) > 1:
        raise WrongSentinelUrlError("it names two services, or its database is no number")
    if not _SERVICE.fullmatch(services[0]):
        raise WrongSentinelUrlError("the service's name has other signs than letters, digits, and . _ -")
    return services[0], int(database)


def _sentinels(hosts: str) -> tuple[tuple[str, int], ...]:
    found = []
    for written in hosts.split(","):
        if not written:
            raise WrongSentinelUrlError("a host is missing, or there is a comma too many")
        match = _HOST.fullmatch(written)
        if not match:
            raise WrongSentinelUrlError("a host or a port is wrong; write an IPv6 address in [ ]")
        port = int(match["port"] or DEFAULT_PORT)
        if not 1 <= port <= 65_535:
            raise WrongSentinelUrlError("a port is not within 1 to 65535")
        found.append((_address(match["v6"]) if match["v6"] else match["host"], port))
    if len(set(found)) < len(found):
        raise WrongSentinelUrlError("it has one Sentinel twice")
    return tuple(found)


def _address(written: str) -> str:
    from ipaddress import IPv6Address  # noqa: PLC0415  # few have one, and a healthcheck has no time for it

    try:
        return str(IPv6Address(written))
    except ValueError:
        raise WrongSentinelUrlError("what is in [ ] is no IPv6 address") from None

"""The address of Redis, as people write it, and as redis-py and Celery each read it.

The ledger connects by redis-py, the broker by kombu, and the results by Celery. Each has rules of its own. A URL that
they would read in different ways is refused here, before one of them reads it and raises far from its cause.
"""

import re
from typing import Final
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from ringproof.network import sentinel_url
from ringproof.network.sentinel_url import SentinelUrl

SHAPES: Final = (
    "write it as redis://:PASSWORD@HOST:PORT/0, where 0 is the database, rediss:// for TLS, or "
    "unix://:PASSWORD@/PATH?db=0 for a socket; in a user's name, a password or a path, write % / ? # [ ] ; as "
    "%25 %2F %3F %23 %5B %5D %3B, but / in a path as it is; the options of rediss:// are ssl_ca_certs, ssl_certfile, "
    "ssl_keyfile, and ssl_cert_reqs=required, optional or none; valkey:// and valkeys:// are read as redis:// and "
    "rediss://; with Sentinels it is sentinel://:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/0"
)
"""What an error about a wrong URL says."""

_TLS_OPTIONS: Final = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"}
"""The options that redis-py and kombu read alike. Kombu refuses all others, and raises far from here."""

_CERT_REQS: Final = {"required", "optional", "none"}
_CELERY_CERT_REQS: Final = re.compile(r"(?<=[?&]ssl_cert_reqs=)CERT_(REQUIRED|OPTIONAL|NONE)(?=&|$)")
"""Celery's words for the same, which Heroku and AWS document. Redis-py does not know them."""

_DATABASE: Final = re.compile(r"\d{1,5}", re.ASCII)


def _split(url: str, *schemes: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in schemes or parts.fragment or not url.startswith(f"{parts.scheme}://"):
        raise ValueError("no such scheme")
    if "@" in parts.path + parts.query or " " in url or not url.isprintable():
        raise ValueError("not escaped")  # `redis://:pass/word@host` would be split at the wrong place
    return parts


def check(url: str) -> str:
    """Return the URL as redis-py reads it. Raises ValueError if redis-py, kombu and Celery would not agree on it.

    >>> check("redis+socket:///run/redis.sock?virtual_host=1")
    'unix:///run/redis.sock?db=1'
    >>> check("rediss://h/0?ssl_cert_reqs=CERT_NONE")
    'rediss://h/0?ssl_cert_reqs=none'
    >>> check("valkey://h"), check("sentinel://a;sentinel://b/1?master_name=verify")
    ('redis://h', 'sentinel://a:26379,b:26379/verify/1')
    """
    if has_sentinels(url):
        return str(SentinelUrl.parse(url))
    if url.startswith(("valkey://", "valkeys://")):
        url = url.replace("valkey", "redis", 1)
    if ";" in url:  # kombu reads it as the next of several servers
        raise ValueError("several servers")
    if url.startswith(("unix://", "redis+socket://")):
        return _check_socket(url)
    url = _CELERY_CERT_REQS.sub(lambda found: found[1].lower(), url)
    parts = _split(url, "redis", "rediss")
    options = parse_qs(parts.query, keep_blank_values=True)
    if not parts.hostname or parts.port == 0:
        raise ValueError("no host or port")
    if not re.fullmatch(r"/?\d{0,5}", parts.path, re.ASCII):
        raise ValueError("no database")
    if options and not (parts.scheme == "rediss" and options.keys() <= _TLS_OPTIONS):
        raise ValueError("no such option")
    if set(options.get("ssl_cert_reqs", ())) - _CERT_REQS:
        raise ValueError("no such word")
    return url


def has_sentinels(url: str) -> bool:
    """Whether a URL names Sentinels, and not Redis itself."""
    return url.startswith(sentinel_url.SCHEMES)


def _check_socket(url: str) -> str:
    parts = _split(url, "unix", "redis+socket")
    login, at, host = parts.netloc.rpartition("@")
    if host or len(parts.path) < len("/x"):
        raise ValueError("a host, or no path")  # `unix://run/redis.sock`
    options = parse_qs(parts.query, keep_blank_values=True)
    (database,) = options.pop("db" if parts.scheme == "unix" else "virtual_host", ["0"])
    if options or not _DATABASE.fullmatch(database):
        raise ValueError("no such option")
    return f"unix://{login}{at}{parts.path}?db={database}"


def with_password(url: str, password: str) -> str:
    """Return the URL with a password, which may have any characters. Raises ValueError if it has one already.

    >>> with_password("redis://shop@redis:6379/0", "p/w")
    'redis://shop:p%2Fw@redis:6379/0'
    """
    scheme, separator, rest = url.partition("://")
    login, at, _ = re.split(r"[/?;]", rest, maxsplit=1)[0].rpartition("@")
    if ":" in login:
        raise ValueError("a password")
    return f"{scheme}{separator}{login}:{quote(password, safe='')}@{rest.removeprefix(login + at)}"


def for_celery(url: str) -> str:
    """Return a checked URL as Celery's results read it. For kombu, `redis+` stands in front of that of a socket.

    >>> for_celery("unix:///run/redis.sock?db=1")
    'socket:///run/redis.sock?virtual_host=1'
    """
    if not url.startswith("unix://"):
        return url
    return url.replace("unix://", "socket://", 1).replace("?db=", "?virtual_host=")


def for_kombu(url: str) -> str:
    """Return a checked URL as the broker reads it. Kombu leaves one with `redis+` in front as it is.

    >>> for_kombu("unix:///run/redis.sock?db=1")
    'redis+socket:///run/redis.sock?virtual_host=1'
    """
    return ("redis+" if url.startswith("unix://") or has_sentinels(url) else "") + for_celery(url)


def shown(url: str) -> str:
    """Return a checked URL for logs and errors: with its password masked, and without its options.

    A user without a password is masked, too: `redis://s3cret@host` is a common slip for `redis://:s3cret@host`.

    >>> shown("redis://:s3cret@h:6379/0")
    'redis://:•••@h:6379/0'
    """
    if has_sentinels(url):
        return SentinelUrl.parse(url).shown
    parts = urlsplit(url)
    login, at, address = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    masked = f"{user}:•••@" if colon else "•••@" if at else ""
    return f"{parts.scheme}://{masked}{address}{parts.path}"

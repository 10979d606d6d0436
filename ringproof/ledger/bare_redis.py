"""A few commands for Redis without redis-py, whose import takes 0.1 s of CPU: for a healthcheck."""

import socket
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from ringproof.network.redis_url import has_sentinels
from ringproof.network.sentinel_url import SentinelUrl

SOCKET_SECONDS: Final = 3.0
"""How long Redis may take for one command. No script takes nearly as long, and a user can still wait twice as long."""

SENTINEL_SECONDS: Final = 1.0
"""How long a Sentinel may take, which does little else than to answer. Then the next one is asked."""

NO_SENTINEL: Final = "what answers there is no Sentinel, whose port is usually 26379"

_PORT: Final = 6379


class BareRedisError(Exception):
    """Redis did not answer, or refused a command. The text says why."""


def ask(url: str, *commands: Sequence[str]) -> list[Any]:
    """Connect, log in, run the commands in one round trip, and return the answers: texts, numbers and lists.

    `url` is one that `redis_url.check` returns, without TLS. Of Sentinels, one is asked for the master before. Raises
    `BareRedisError`.
    """
    if has_sentinels(url):
        given = SentinelUrl.parse(url)
        login = [*_login(given.username, given.password), *_choice(str(given.database))]
        return _talk(_master(given), SOCKET_SECONDS, login, commands)
    parts = urlsplit(url)
    login = _login(unquote(parts.username or ""), unquote(parts.password or ""))
    if parts.scheme == "unix":
        choice = _choice(parse_qs(parts.query).get("db", ["0"])[0])
        return _talk(unquote(parts.path), SOCKET_SECONDS, [*login, *choice], commands)
    address = parts.hostname or "", parts.port or _PORT
    return _talk(address, SOCKET_SECONDS, [*login, *_choice(parts.path.strip("/"))], commands)


def _master(url: SentinelUrl) -> tuple[str, int]:
    """Return where the master is, as the first Sentinel says that answers."""
    login = _login(url.sentinel_username, url.sentinel_password)
    causes = []
    for sentinel in url.sentinels:
        try:
            (master,) = _talk(sentinel, SENTINEL_SECONDS, login, [["SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service]])
        except BareRedisError as error:
            causes.append(NO_SENTINEL if "unknown command" in str(error) else str(error))
        else:
            if master:
                return master[0], int(master[1])
            causes.append(f"it knows no service {url.service}")
    raise BareRedisError(f"no Sentinel names a master: {'; '.join(dict.fromkeys(causes))}")


def _login(user: str, password: str) -> list[list[str]]:
    return [["AUTH", *([user] if user else []), password]] if user or password else []


def _choice(database: str) -> list[list[str]]:
    return [["SELECT", database]] if int(database or 0) else []


def _talk(
    where: str | tuple[str, int], seconds: float, first: Sequence[Sequence[str]], commands: Sequence[Sequence[str]]
) -> list[Any]:
    """Run the commands at a socket's path, or at a host's port, after the `first` ones, whose answers are dropped."""
    sent = [*first, *commands]
    try:
        with _connected(where, seconds) as connection:
            connection.sendall(b"".join(map(_packed, sent)))
            with connection.makefile("rb") as answers:
                return [_answer(answers) for _ in sent][len(first) :]
    except OSError as error:
        raise BareRedisError(f"{type(error).__name__}: {error.strerror or error}") from None
    except (ValueError, IndexError):
        raise BareRedisError("what answers there is not Redis") from None


def _connected(where: str | tuple[str, int], seconds: float) -> socket.socket:
    if not isinstance(where, str):
        host, port = where
        # As bytes, or Python loads the tables of international names, which takes longer than to connect.
        address: Any = host.encode() if host.isascii() else host
        return socket.create_connection((address, port), seconds)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    try:
        connection.connect(where)
    except OSError:
        connection.close()
        raise
    return connection


def _packed(command: Sequence[str]) -> bytes:
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _answer(answers: Any) -> Any:
    """Read one answer. Raises `BareRedisError` for a refusal, and ValueError for what is no answer of Redis."""
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError(0, "Connection closed by server")
    kind, rest = line[:1], line[1:-2]
    match kind:
        case b"+":
            return rest.decode()
        case b"-":
            raise BareRedisError(rest.decode(errors="replace"))
        case b":":
            return int(rest)
        case b"$":
            return None if rest == b"-1" else answers.read(int(rest) + 2)[:-2].decode()
        case b"*":
            return [_answer(answers) for _ in range(int(rest))]
        case _:
            raise ValueError("no answer of Redis")

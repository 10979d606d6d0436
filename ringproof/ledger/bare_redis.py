"""A few commands for Redis without redis-py, whose import takes 0.1 s of CPU: for a healthcheck."""

import socket
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

SOCKET_SECONDS: Final = 3.0
"""How long Redis may take for one command. No script takes nearly as long, and a user can still wait twice as long."""

_PORT: Final = 6379


class BareRedisError(Exception):
    """Redis did not answer, or refused a command. The text says why."""


def ask(url: str, *commands: Sequence[str]) -> list[Any]:
    """Connect, log in, run the commands in one round trip, and return the answers: texts, numbers and lists.

    `url` is one that `redis_url.check` returns, without TLS. Raises `BareRedisError`.
    """
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    is_socket = parts.scheme == "unix"
    database = parse_qs(parts.query).get("db", ["0"])[0] if is_socket else parts.path.strip("/")
    login = [["AUTH", *([user] if user else []), password]] if user or password else []
    choice = [["SELECT", database]] if int(database or 0) else []
    sent = [*login, *choice, *commands]
    try:
        with _connected(unquote(parts.path) if is_socket else "", parts.hostname, parts.port) as connection:
            connection.sendall(b"".join(map(_packed, sent)))
            with connection.makefile("rb") as answers:
                return [_answer(answers) for _ in sent][len(login) + len(choice) :]
    except OSError as error:
        raise BareRedisError(f"{type(error).__name__}: {error.strerror or error}") from None
    except (ValueError, IndexError):
        raise BareRedisError("what answers there is not Redis") from None


def _connected(path: str, host: str | None, port: int | None) -> socket.socket:
    if not path:
        return socket.create_connection((host, port or _PORT), SOCKET_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SOCKET_SECONDS)
    try:
        connection.connect(path)
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

"""Read a secret from a file of its own, as Docker, Kubernetes and systemd hand them to a process."""

import os
import stat
from pathlib import Path
from typing import Final

SECRET_FILES: Final = {
    "PLIVO_AUTH_TOKEN_FILE": "PLIVO_AUTH_TOKEN",
    "RINGPROOF_REDIS_URL_FILE": "RINGPROOF_REDIS_URL",
    "RINGPROOF_REDIS_PASSWORD_FILE": "RINGPROOF_REDIS_PASSWORD",
    "RINGPROOF_WEBHOOK_SECRETS_FILE": "RINGPROOF_WEBHOOK_SECRETS",
}
"""Variables that name a file, as Docker and systemd hand out secrets, and the variable whose value is in it.

`RINGPROOF_REDIS_PASSWORD` is no variable of its own: it is put into Redis' URL, and every process needs it.
"""

NEEDED_BY_ALL: Final = ("RINGPROOF_REDIS_PASSWORD_FILE", "RINGPROOF_REDIS_URL_FILE")
"""The files that a producer must be able to read, too."""

LARGEST: Final = 64 << 10
"""Bytes of a file with a secret. A token has 40 and a URL some hundred; a larger file is another one."""


def with_secrets(given: dict[str, str], *, worker: bool) -> tuple[dict[str, str], list[str]]:
    """Add the values of the files that `…_FILE` variables name, and return them with what is wrong with the files.

    Only a worker needs the token and the webhooks' secrets, so the files with them may be closed to a producer.
    """
    problems = []
    for name in SECRET_FILES.keys() & given.keys():
        try:
            value = read_secret(Path(given[name]))
        except ValueError as error:
            if worker or name in NEEDED_BY_ALL:
                problems.append(f"{name}: {error}")
            continue
        if SECRET_FILES[name] in given:
            problems.append(f"{name}: {SECRET_FILES[name]} is set, too; set one of them")
        given = given | {SECRET_FILES[name]: value}
    return given, sorted(problems)


def read_secret(path: Path) -> str:
    """Return what is in a file, without blanks and line ends around it. Raises ValueError, which shows none of it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123  # a handle has no path
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ValueError("it is no ordinary file")
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror})") from None
    try:
        secret = content.decode("utf-8-sig").strip()  # Windows' tools write a mark before the text
    except UnicodeDecodeError:
        raise ValueError("the file is no text in UTF-8") from None
    if len(content) > LARGEST or len(secret.splitlines()) > 1:
        raise ValueError("the file has more than one line")
    if not secret:
        raise ValueError("the file is empty")
    return secret

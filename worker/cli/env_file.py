"""Read `.env`, if nobody but its reader and root could have written it.

A command trusts this file with Plivo's token: another's file could name a Redis or a Plivo of theirs.
"""

import io
import os
import re
import stat
from pathlib import Path
from typing import Final

from ringproof.errors import Misconfigured

LARGEST: Final = 1 << 20
"""Bytes that are read. The whole example has 6,000."""

_ELSEWHERE = "run the command in another folder"
_EXPANSION = re.compile(r"\$\{[A-Za-z_]")


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables in a file, as they are written: nothing in `${…}` is expanded. Empty if there is no file.

    Raises `Misconfigured` if the file cannot be read, belongs to another user, or can be written by others.
    """
    try:
        text = _read(path)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f".env cannot be read ({error}); correct it, or {_ELSEWHERE}") from None
    from dotenv import dotenv_values  # noqa: PLC0415  # a healthcheck has no .env, and no time for it

    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value}


def check_expansion(name: str, value: str) -> None:
    """Raise `Misconfigured` for a value with `${NAME}` in it: a shell would replace it, and this file is no script."""
    if _EXPANSION.search(value):
        raise Misconfigured(f"{name} in .env: ${{…}} is not expanded; write the value itself, or set the variable")


def _read(path: Path) -> str:
    """Read the file whose owner and mode were looked at, and not one that took its place."""
    owner = path.lstat().st_uid  # another's link may lead to a file of one's own with any text, such as a log
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123  # a handle has no path
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Misconfigured(f".env is no ordinary file, and was not read; {_ELSEWHERE}")
        if not {owner, status.st_uid} <= {os.geteuid(), 0}:
            raise Misconfigured(f".env belongs to another user, and was not read; {_ELSEWHERE}")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Misconfigured(f".env can be written by others, and was not read; chmod go-w .env, or {_ELSEWHERE}")
        return file.read(LARGEST).decode()

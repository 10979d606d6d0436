"""What all of the `ringproof` command's parts do alike: read .env, and tell what is wrong in a line."""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec

import click
from dotenv import dotenv_values
from rich.text import Text

from ringproof import errors
from ringproof.ledger.request import MOST_DAYS
from ringproof.settings import Settings
from worker.views.console import Exit, as_options, console

P = ParamSpec("P")

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What only a write can meet with; our own files tell of it by themselves."""

_OPTIONS = {"mapping": "--map", "reverify_after_days": "--reverify-after"}
"""The options that have another name than what they set."""


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """A time such as 90s, 30m, 1h or 2d."""

    name = "TIME"
    UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

    def __init__(self, longest: timedelta) -> None:
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it, or fail with how it is written."""
        match = re.fullmatch(r"(\d{1,7})([smhd])", value.strip(), re.ASCII)
        lasts = timedelta(seconds=int(match[1]) * self.UNITS[match[2]]) if match else timedelta()
        if not timedelta() < lasts <= self._longest:
            self.fail(f"write it as 90s, 30m, 1h or 2d, up to {self._longest.days}d", param, ctx)
        return lasts


class Days(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """After how many days: 90d, or off for never."""

    name = "DAYS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it, or fail with how it is written."""
        match = re.fullmatch(r"(\d{1,4})d|off", value.strip(), re.ASCII)
        days = int(match[1] or 0) if match else -1
        if match is None or days > MOST_DAYS or (match[1] and not days):
            self.fail(f"write it as 90d, up to {MOST_DAYS}d, or off", param, ctx)
        return days


REVERIFY_AFTER = click.option(
    "--reverify-after",
    "reverify_after_days",
    type=Days(),
    metavar="90d",
    help="Verify again after so many days, or off  [default: RINGPROOF_REVERIFY_AFTER_DAYS]",
)


def says_what_is_wrong(command: Callable[P, None]) -> Callable[P, None]:
    """Turn an error that its user can mend into a line of text for each problem, and exit 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except errors.InvalidRoster as error:
            _fail(f"{error.field}: {error.value}; {error.remedy}")
        except errors.InvalidRequest as error:
            if type(error) is errors.InvalidRequest:
                hint = _OPTIONS.get(error.field, f"--{error.field}")
                raise click.BadParameter(as_options(error.remedy), param_hint=hint) from None
            _fail(f"{error.value}: {error.remedy}")
        except errors.Misconfigured as error:
            _fail(*error.problems)
        except errors.RingproofError as error:
            _fail(str(error))
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            _fail(f"standard output cannot be written: {error.strerror}; make room, or send it elsewhere")
        else:
            return
        sys.exit(Exit.REFUSED)

    return run


def _fail(*problems: str) -> None:
    for problem in problems:
        console(stderr=True).print(Text.assemble(("error: ", "red"), as_options(problem)))


def load_dotenv() -> None:
    """Add what .env in this folder says of our variables, where the environment does not."""
    try:
        told = dotenv_values(".env") if Path(".env").is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Misconfigured(f".env cannot be read ({error}); mend it, or go to another folder") from None
    for name in Settings.variables():
        if value := told.get(name):
            os.environ.setdefault(name, value)


def numbers_of(given: Sequence[str]) -> Iterator[str]:
    """Yield the numbers of the command line and, for none or for -, those of standard input."""
    if not given and sys.stdin.isatty():
        raise click.UsageError("No NUMBER given. Write one as +14155550123, or pipe them in, one a line.")
    for number in given or ("-",):
        if number == "-":
            lines = (line.decode(errors="replace").strip("\ufeff \t\r\n") for line in sys.stdin.buffer)
            yield from (line for line in lines if line)
        else:
            yield number

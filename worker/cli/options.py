"""What the parts of the `ringproof` command share: options, .env, numbers to read, and errors in a line."""

import errno
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec

import click

from ringproof import errors, runtime
from ringproof.policy import MOST_DAYS
from ringproof.printable import printable
from ringproof.settings import Settings
from ringproof.settings.unknown import unknown_variables
from worker.cli.env_file import check_expansion, read_env_file
from worker.views.exit_code import Exit
from worker.views.text import as_options, json_line

P = ParamSpec("P")

ACCOUNT: Final = "RINGPROOF_ACCOUNT"
"""The variable that names the account of each command. It is no setting of a worker or a program."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Only a write fails with these. Our own files report them as `Unwritable`, so this one is standard output."""

_OPTIONS = {"mapping": "--map", "reverify_after_days": "--reverify-after", "credential": "NAME", "blocks": "--over-cap"}
"""Fields of a request whose option or argument has another name."""


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """A duration such as 90s, 30m, 1h or 2d."""

    name = "TIME"
    UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

    def __init__(self, longest: timedelta) -> None:
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration, or fail with how to write it."""
        match = re.fullmatch(r"(\d{1,7})([smhd])", value.strip(), re.ASCII)
        duration = timedelta(seconds=int(match[1]) * self.UNITS[match[2]]) if match else timedelta()
        if not timedelta() < duration <= self._longest:
            self.fail(f"{value!r} is not allowed; write 90s, 30m, 1h or 2d, up to {self._longest.days}d", param, ctx)
        return duration


class Days(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """A number of days such as 90d, or `off`, which is 0."""

    name = "DAYS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the days, or fail with how to write them."""
        match = re.fullmatch(r"(\d{1,4})d|off", value.strip(), re.ASCII)
        days = int(match[1] or 0) if match else -1
        if match is None or days > MOST_DAYS or (match[1] and not days):
            self.fail(f"{value!r} is not allowed; write 90d, up to {MOST_DAYS}d, or off", param, ctx)
        return days


class Country(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """A country's two letters, such as BR."""

    name = "XX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the letters in capitals, or fail with how to write them."""
        from ringproof.phone.number import check_region  # noqa: PLC0415  # it loads phonenumbers

        try:
            return check_region(value)
        except errors.InvalidRequest as error:
            self.fail(error.remedy, param, ctx)


REGION = click.option("--region", help="The country of a number without one, such as US  [default: RINGPROOF_REGION]")
YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
JSON = click.option("--json", "prints_json", is_flag=True, help="Print a line of JSON.")
REVERIFY_AFTER = click.option(
    "--reverify-after",
    "reverify_after_days",
    type=Days(),
    metavar="90d",
    help="Verify again after so many days, or off  [default: RINGPROOF_REVERIFY_AFTER_DAYS]",
)


def reports_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Have a command report Ringproof's errors in a line for each problem, and end with exit code 1.

    `error: people.csv: it is empty; give a file with rows (see docs/guide/results-and-errors.md#invalidroster)`
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except errors.InvalidRoster as error:
            _report(error, f"{error.field}: {error.value}; {error.remedy}")
        except errors.InvalidRequest as error:
            if type(error) is errors.InvalidRequest:
                option = _OPTIONS.get(error.field, f"--{error.field}")
                raise click.BadParameter(as_options(error.remedy), param_hint=option) from None
            _report(error, f"{error.value}: {error.remedy}")
        except errors.Misconfigured as error:
            _report(error, *error.problems)
        except errors.RingproofError as error:
            _report(error, error.message)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            _print_error(
                f"standard output cannot be written: {error.strerror}; make room, or redirect it to another file"
            )
        else:
            return
        sys.exit(Exit.REFUSED)

    return run


def _report(error: errors.RingproofError, *problems: str) -> None:
    """Print each problem in a line, and after the last one where the documentation explains the error."""
    for problem in problems[:-1]:
        _print_error(problem)
    _print_error(f"{problems[-1]} (see {error.link})")


def _print_error(text: str) -> None:
    from rich.text import Text  # noqa: PLC0415  # a healthcheck has no time for rich

    from worker.views.console import console  # noqa: PLC0415

    console(stderr=True).print(Text.assemble(("error: ", "red"), printable(as_options(text))))


def print_result(text: str, fields: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what a command did: a sentence, or these fields as a line of JSON."""
    from worker.views.console import console  # noqa: PLC0415  # a healthcheck has no time for rich

    if as_json:
        click.echo(json_line(fields))
    else:
        console().print(text)


def is_redis_named() -> bool:
    """Whether the environment names a Redis: without one, a setting has an address that nobody has chosen."""
    return any(os.environ.get(name) for name in ("RINGPROOF_REDIS_URL", "RINGPROOF_REDIS_URL_FILE", "REDIS_URL"))


def load_dotenv() -> None:
    """Add Ringproof's variables from .env in this folder to the environment. The environment wins.

    A line on standard error names the variables that were added, and the file. Others name each RINGPROOF_… that is no
    setting. Raises `Misconfigured` if .env cannot be read, or can be another user's.
    """
    file = Path(".env")
    variables = read_env_file(file)
    known = (*Settings.variables(), ACCOUNT)
    added = [name for name in known if name in variables and name not in os.environ]
    for name in added:
        check_expansion(name, variables[name])
        os.environ[name] = variables[name]
    if added:
        click.echo(printable(f"from {shlex.quote(str(file.resolve()))}: {', '.join(added)}"), err=True)
    runtime.refuse_test_mode()
    for sentence in unknown_variables({*os.environ, *variables}):
        click.echo(printable(f"warning: {sentence}"), err=True)


def e164_of(number: str, region: str | None) -> str:
    """Return a number on the command line as E.164; `region` is its country's, if it does not name one."""
    from ringproof.phone.number import parse  # noqa: PLC0415  # it loads phonenumbers, and few commands need it

    return parse(number, region or runtime.settings().region).e164


def numbers_of(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the numbers on the command line. Without any, and for `-`, yield those on standard input."""
    if not arguments and sys.stdin.isatty():
        raise click.UsageError("No NUMBER given. Write one as +14155550123, or pipe numbers in, one a line.")
    for argument in arguments or ("-",):
        if argument == "-":
            lines = (line.decode(errors="replace").strip("\ufeff \t\r\n") for line in sys.stdin.buffer)
            yield from (line for line in lines if line)
        else:
            yield argument

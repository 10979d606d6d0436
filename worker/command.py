"""What all of the `ringproof` command's parts do alike: read .env, and tell what is wrong in a line."""

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click
from dotenv import dotenv_values
from rich.text import Text

from worker import errors
from worker.settings import Settings
from worker.watch import Exit, as_options, console

P = ParamSpec("P")

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What only a write can meet with; our own files tell of it by themselves."""

_OPTIONS = {"mapping": "--map"}
"""The options that have another name than what they set."""


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

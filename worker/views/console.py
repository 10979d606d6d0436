"""The terminal: how the command prints, and the exit statuses that it ends with."""

import re
import sys
from enum import IntEnum

from rich.console import Console

from ringproof.ledger.record import Record, State

UNFINISHED_STATES = frozenset({State.QUEUED, State.WAITING, State.SENDING})


class Exit(IntEnum):
    """What the command ends with; 2 is click's, for a wrong usage."""

    DONE = 0
    REFUSED = 1
    UNFINISHED = 3

    @classmethod
    def of(cls, record: Record | None) -> "Exit":
        """Return what a record's state means to whoever asked."""
        if record is None or record.state in {State.FAILED, State.CANCELLED}:
            return cls.REFUSED
        return cls.UNFINISHED if record.state in UNFINISHED_STATES | {State.IN_DOUBT} else cls.DONE


def console(*, stderr: bool = False) -> Console:
    """Return a console that wraps at words on a terminal, and leaves a line one line in a pipe."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=None if terminal else 1000)


def as_options(text: str) -> str:
    """Say the remedy of an error in the command's own words: region='US' is --region US."""
    text = re.sub(r"\bmapping=\{'(\w+)': '(\w+)'\}", r"--map \1=\2", text)
    return re.sub(r"\b(channel|region)='(\w+)'", r"--\1 \2", text)

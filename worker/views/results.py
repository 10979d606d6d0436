"""The results of requests: one line for each number, and the exit code for all of them."""

from collections import Counter
from dataclasses import dataclass, field

import click
from rich.table import Table
from rich.text import Text

from ringproof import errors
from ringproof.ledger.record import Record, State
from ringproof.phone.masking import mask
from worker.views.console import console
from worker.views.exit_code import UNFINISHED_STATES, Exit
from worker.views.number import STYLES, next_step_text, number_json, unknown_number_json
from worker.views.text import as_options, clock, json_line


@dataclass
class ResultPrinter:
    """Prints each number's result once, in a line, and counts the results.

    `code_sent  +1•••••••23  sms  the code works until 15:04:05`
    """

    prints_json: bool
    is_done_once_accepted: bool
    counts: Counter[str] = field(default_factory=Counter)
    exits: set[Exit] = field(default_factory=set)

    @property
    def exit(self) -> Exit:
        """The exit code: refused if any number was, else unfinished if any is, else done."""
        return next((worst for worst in (Exit.REFUSED, Exit.UNFINISHED) if worst in self.exits), Exit.DONE)

    def refused(self, number: str, error: errors.InvalidNumber | errors.CoolingDown | errors.Capped) -> None:
        """Print that a number was not accepted, why, and what to do."""
        self.counts["refused"] += 1
        self.exits.add(Exit.REFUSED)
        if isinstance(error, errors.InvalidNumber):
            shown, reason, remedy = error.value, error.reason, error.remedy
        elif isinstance(error, errors.Capped):
            shown, reason, remedy = mask(number), error.limit, error.message
        else:
            shown, reason = mask(number), "cooldown"
            remedy = f"a code was sent a moment ago; ask for the next one after {clock(error.until)}"
        if self.prints_json:
            fields = {"phone_number": number, "error": type(error).__name__, "reason": reason, "message": remedy}
            click.echo(json_line(fields | {"until": getattr(error, "until", None)}))
        else:
            console().print(_line("refused", "red", shown, "", as_options(remedy)))

    def ended(self, record: Record) -> None:
        """Print where a number stands; nothing more is printed about it."""
        self.counts[record.state] += 1
        is_accepted = self.is_done_once_accepted and record.state in UNFINISHED_STATES
        self.exits.add(Exit.DONE if is_accepted else Exit.of(record))
        if self.prints_json:
            click.echo(number_json(record))
        else:
            style, number = STYLES.get(record.state, "cyan"), mask(record.phone_number)
            console().print(_line(record.state, style, number, record.channel, next_step_text(record)))

    def lost(self, number: str) -> None:
        """Print that a number was accepted, and its record is no longer there."""
        self.counts["unknown"] += 1
        self.exits.add(Exit.REFUSED)
        if self.prints_json:
            click.echo(unknown_number_json(number))
        else:
            text = "the number was erased meanwhile, or Redis lost it; to ask again: ringproof initiate NUMBER"
            console().print(_line("unknown", "red", mask(number), "", text))

    def say(self, text: str) -> None:
        """Print a remark on standard error, beside the results."""
        console(stderr=True).print(Text(text, "yellow"))

    def sum_up(self) -> None:
        """Print how many numbers have which result, if there are several numbers."""
        if self.counts.total() > 1 and not self.prints_json:
            each = ", ".join(f"{count:,} {state}" for state, count in self.counts.most_common())
            self.say(f"{self.counts.total():,} numbers: {each}")


def _line(state: str, style: str, number: str, channel: str, text: str) -> Table:
    """Lay out one number's result, so that the columns of all lines stand under one another."""
    line = Table.grid(padding=(0, 2))
    line.add_column(style=style, min_width=len(State.CODE_SENT))
    line.add_column(min_width=len("+971•••••••23"), max_width=24, overflow="fold")
    line.add_column(min_width=len("call"))
    line.add_column(overflow="fold")
    line.add_row(*map(Text, (state, number, channel, text)))
    return line

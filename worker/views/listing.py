"""A list of numbers as it is found: a line for each one, and on standard error how far the search is."""

import time
from typing import Final, Self

import click
from rich.live import Live
from rich.text import Text

from ringproof.errors import InvalidNumber
from ringproof.ledger.activity import Sender
from ringproof.ledger.record import Record
from ringproof.phone.masking import mask
from worker.views.console import console
from worker.views.number import number_json, number_line, unknown_number_json
from worker.views.text import as_options, counted

LINE_SECONDS: Final = 10.0
"""The time between two lines of a log. A million numbers take some 15 s."""

_LIVE_SECONDS: Final = 0.1


class Listing:
    """Prints records and counts them. On a terminal a line below them says how many numbers were read."""

    def __init__(self, *, prints_json: bool, masked: bool) -> None:
        self.count = self.refused = 0
        self._read, self._shown_at = 0, time.monotonic()
        self._prints_json, self._masked = prints_json, masked
        out, self._errors = console(), console(stderr=True)
        self._terminal = out if out.is_terminal else None
        on = self._terminal or self._errors
        # What is printed elsewhere must not be sent to this console: standard output may be a pipe.
        self._live = Live(console=on, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._is_live = on.is_terminal

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the line that says how far the search is away from the terminal."""
        if self._is_live:
            self._live.stop()

    def has_read(self, numbers: int) -> None:
        """Note that so many more numbers were read, and show it if enough time has passed since the last time."""
        self._read += numbers
        now = time.monotonic()
        if now - self._shown_at < (_LIVE_SECONDS if self._is_live else LINE_SECONDS):
            return
        self._shown_at = now
        text = f"searching: {counted(self._read, 'number')} read"
        if self._is_live:
            self._live.update(Text(text, "dim"), refresh=True)
        else:
            self._errors.print(text)

    def show(self, record: Record, sender: Sender | None) -> None:
        """Print a record; JSON has who sends to it at the moment."""
        if self._prints_json:
            self._print(number_json(record, sender, masked=self._masked))
        else:
            self._print(number_line(record, masked=self._masked))
        self.count += 1

    def show_unknown(self, number: str) -> None:
        """Print that there is no record of a number."""
        shown = mask(number) if self._masked else number
        self._print(unknown_number_json(number, masked=self._masked) if self._prints_json else f"unknown  {shown}")

    def show_damaged(self, number: str) -> None:
        """Say that a record cannot be read."""
        self._complain(f"the record of {mask(number)} is damaged; ringproof erase NUMBER removes it")

    def show_refused(self, error: InvalidNumber) -> None:
        """Say that a text is no number."""
        self.refused += 1
        self._complain(f"{error.value}: {as_options(error.remedy)}")

    def _print(self, line: str) -> None:
        if self._terminal:
            self._terminal.print(Text(line), soft_wrap=True)
        else:
            click.echo(line)

    def _complain(self, text: str) -> None:
        on = self._terminal or self._errors  # where the line of the search is, so that both are seen
        on.print(Text.assemble(("error: ", "red"), text), soft_wrap=True)

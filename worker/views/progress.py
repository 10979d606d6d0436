"""The progress of reading rosters, on standard error: a bar on a terminal, elsewhere a line every ten seconds."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Self

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ringproof.clock import duration_text
from ringproof.rosters.roster import Roster
from worker.views.console import console

LINE_SECONDS: Final = 10.0
"""The time between two lines of a log. A million rows take half a minute."""

_BAR_SECONDS: Final = 0.1


class ReadingProgress:
    """Shows how many rows were read, how many a second, and the time left if the size of each file is known.

    `reading: 10,000 rows, 38,000 a second, 25%, 2 s left`. The size of a pipe is not known.
    """

    def __init__(self, rosters: Sequence[Roster]) -> None:
        sizes = [roster.size for roster in rosters]
        self._rosters = rosters
        self._size = sum(size for size in sizes if size) if None not in sizes else None
        self._began = self._shown_at = time.monotonic()
        self._console = console(stderr=True)
        self._bar: Bar | None = None
        if self._console.is_terminal:
            bar = (BarColumn(), TaskProgressColumn()) if self._size else ()
            left = (TimeRemainingColumn(),) if self._size else ()
            title, rows = TextColumn("{task.description}"), TextColumn("{task.fields[rows]}")
            self._bar = Bar(title, *bar, rows, *left, console=self._console, transient=True)
            self._task = self._bar.add_task("reading", total=self._size, rows="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, rows: int) -> None:
        """Show that so many rows were read, if enough time has passed since the last time."""
        now = time.monotonic()
        if now - self._shown_at < (_BAR_SECONDS if self._bar else LINE_SECONDS):
            return
        self._shown_at = now
        seconds = now - self._began
        text = f"{rows:,} rows, {rows / seconds:,.0f} a second"
        taken = sum(roster.bytes_read for roster in self._rosters)
        if self._bar:
            self._bar.update(self._task, completed=taken, rows=text)
            return
        left = ""
        if self._size and taken:
            remaining = timedelta(seconds=seconds * (self._size / taken - 1))
            left = f", {taken / self._size:.0%}, {duration_text(remaining)} left"
        self._console.print(f"reading: {text}{left}")

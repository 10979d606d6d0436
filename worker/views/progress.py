"""How far the reading of rosters is: a bar on a terminal, and lines now and then without one, on standard error."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Self

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ringproof.rosters.roster import Roster
from worker.views.console import console
from worker.views.text import lasting

LINE_SECONDS: Final = 10.0
"""Between two lines of a log. A million rows take half a minute."""

_LOOK_SECONDS: Final = 0.1


class Progress:
    """Rows, rows a second, and the time left where all sizes are known; of a pipe none is."""

    def __init__(self, rosters: Sequence[Roster]) -> None:
        sizes = [roster.size for roster in rosters]
        self._rosters = rosters
        self._size = sum(size for size in sizes if size) if None not in sizes else None
        self._began = self._told = time.monotonic()
        self._console = console(stderr=True)
        self._bar: Bar | None = None
        if self._console.is_terminal:
            sized = (BarColumn(), TaskProgressColumn()) if self._size else ()
            left = (TimeRemainingColumn(),) if self._size else ()
            text, told = TextColumn("{task.description}"), TextColumn("{task.fields[told]}")
            self._bar = Bar(text, *sized, told, *left, console=self._console, transient=True)
            self._task = self._bar.add_task("reading", total=self._size, told="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def tell(self, rows: int) -> None:
        """Tell that so many rows were read, if it is time to."""
        now = time.monotonic()
        if now - self._told < (_LOOK_SECONDS if self._bar else LINE_SECONDS):
            return
        self._told = now
        lasted = now - self._began
        told = f"{rows:,} rows, {rows / lasted:,.0f} a second"
        taken = sum(roster.bytes_read for roster in self._rosters)
        if self._bar:
            self._bar.update(self._task, completed=taken, told=told)
            return
        left = ""
        if self._size and taken:
            left = f", {taken / self._size:.0%}, {lasting(timedelta(seconds=lasted * (self._size / taken - 1)))} left"
        self._console.print(f"reading: {told}{left}")

"""The terminal: how the command prints."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ringproof.printable import printable
from worker.observe import hints
from worker.observe.hints import for_account


class CleanConsole(Console):
    """Prints texts of others as `printable` leaves them: whatever the command prints goes through here.

    Commands that a text advises name the account of --account.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; in a plain text, which is one line, a line end does not print either."""
        super().print(*(_shown(one) if isinstance(one, str) else one for one in objects), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments of a renderable, each with what prints."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=_shown(segment.text, keep="\n"))


def _shown(text: str, keep: str = "") -> str:
    return for_account(printable(text, keep=keep), hints.account)


def console(*, stderr: bool = False) -> Console:
    """Return a console that wraps lines at words on a terminal, and does not wrap them in a pipe."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return CleanConsole(stderr=stderr, highlight=False, markup=False, emoji=False, width=None if is_terminal else 1000)


def fact_table(facts: Mapping[str, RenderableType | None]) -> Table:
    """Lay facts out in two columns, names and texts, and leave out each fact without a text.

    state    waiting (paused)
    channel  sms
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        shown = Text(printable(fact)) if isinstance(fact, str) else fact
        if shown is not None and not (isinstance(shown, Text) and not shown.plain):
            table.add_row(name, shown)
    return table


def lines(texts: Iterable[str], style: str = "") -> Text:
    """Lay texts out one below the other. A line end within one of them is another program's, and does not print."""
    return Text("\n".join(map(printable, texts)), style)

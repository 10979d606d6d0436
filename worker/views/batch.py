"""Where a batch stands, as a person reads it, and as a script does."""

import json
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ringproof.batches.model import Batch, BatchState
from ringproof.clock import iso
from ringproof.ledger.record import Reason, State
from worker.views.number import STYLES
from worker.views.text import clock, lasting

MOST_COUNTRIES: Final = 10
"""Lines; --json has all."""

LINE_SECONDS: Final = 5.0
"""Between two lines that differ in their counts only: a batch of a day is then a log of 17,000 lines at most."""

ENDED: Final = frozenset({BatchState.COMPLETED, BatchState.CANCELLED})

RETRIED: Final = (Reason.UNREACHABLE, Reason.TOO_LATE, Reason.IN_DOUBT)
"""What may well succeed now: nothing is wrong with these numbers."""

_JSON_NAMES: Final = {"unfinished": "open", "held_back_by": "holds"}
"""The fields of a batch that have another name in JSON."""

_STYLES: Final = {BatchState.PAUSED: "yellow", BatchState.CANCELLED: "red", BatchState.COMPLETED: "bold green"}


def batch_view(batch: Batch) -> RenderableType:
    """Tell all of it."""
    state = Text(batch.state, _STYLES.get(batch.state, "cyan"))
    source = f" ({batch.source})" if batch.source else ""
    facts: dict[str, RenderableType] = {
        "batch": Text(f"{batch.name}{source}"),
        "state": state.append(f" since {clock(batch.completed_at)}" if batch.completed_at else "", "default"),
        "imported": Text(clock(batch.created_at)),
        "rows": Text(f"{batch.rows:,}: {batch.rows - batch.unfinished:,} have an outcome{_fed(batch)}"),
        "": ProgressBar(total=max(1, batch.rows), completed=batch.rows - batch.unfinished, width=50),
        "outcomes": _outcomes(batch.outcomes),
        "countries": _countries(batch.countries),
        "pace": Text(pace(batch)),
        "held back": Text(batch.held_back_by, "yellow"),
        "next": Text("\n".join(_next(batch))),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, told in facts.items():
        if not isinstance(told, Text) or told.plain:
            table.add_row(name, told)
    return Group(table)


def watched(looks: Iterable[Batch], shown_on: Console) -> Iterator[Batch]:
    """Show looks at a batch, and give on what was shown: all of them live on a terminal, elsewhere a line of news."""
    if shown_on.is_terminal:
        with Live(console=shown_on, auto_refresh=False) as live:
            for seen in looks:
                live.update(batch_view(seen), refresh=True)
                yield seen
    else:
        for seen in changes(looks):
            shown_on.print(Text(line(seen)))
            yield seen


def changes(looks: Iterable[Batch]) -> Iterator[Batch]:
    """Yield what is news: another state or what holds it back at once, other counts now and then."""
    told, told_at = None, 0.0
    for seen in looks:
        now = time.monotonic()
        plivo_signal = told is None or (seen.state, seen.held_back_by) != (told.state, told.held_back_by)
        if plivo_signal or (told and seen.outcomes != told.outcomes and now - told_at >= LINE_SECONDS):
            told, told_at = seen, now
            yield seen


def line(batch: Batch) -> str:
    """Tell it in a line, for a log."""
    told = [f"{batch.name} {batch.state}: {batch.rows - batch.unfinished:,} of {batch.rows:,}"]
    told += [f"{_words(outcome)} {count:,}" for outcome, count in batch.outcomes.items() if count]
    told += [pace(batch)] if pace(batch) else []
    return ", ".join(told) + (f"; {batch.held_back_by}" if batch.held_back_by else "")


def pace(batch: Batch) -> str:
    """Say how fast it is, and how long it takes."""
    if batch.state in ENDED or not batch.rate_per_second:
        return ""
    left = f", {lasting(batch.time_left)} left" if batch.time_left is not None else ""
    return f"{batch.rate_per_second:,.1f} codes a second{left}"


def as_json(batch: Batch) -> str:
    """Return all of it as a line of JSON."""

    def plain(value: object) -> object:
        if isinstance(value, timedelta):
            return round(value.total_seconds(), 3)
        if isinstance(value, Mapping):
            return dict(value)
        return iso(value) if isinstance(value, datetime) else str(value)

    told = {_JSON_NAMES.get(field.name, field.name): getattr(batch, field.name) for field in fields(batch)}
    return json.dumps(told, ensure_ascii=False, default=plain)


def _words(outcome: str) -> str:
    """Write failed:too_late as failed (too_late)."""
    state, _, reason = outcome.partition(":")
    return f"{state} ({reason})" if reason else state


def _outcomes(outcomes: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column()
    for outcome, count in sorted(outcomes.items(), key=lambda pair: -pair[1]):
        state = outcome.partition(":")[0]
        style = STYLES.get(State(state), "cyan") if state in set(State) else "default"
        if count:
            table.add_row(f"{count:,}", Text(_words(outcome), style))
    return table


def _countries(countries: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    most = sorted(countries.items(), key=lambda pair: -pair[1].get("rows", 0))
    for country, counts in most[:MOST_COUNTRIES]:
        told = ", ".join(f"{_words(what)} {count:,}" for what, count in counts.items() if what != "rows" and count)
        table.add_row(f"{counts.get('rows', 0):,}", country, told)
    if rest := most[MOST_COUNTRIES:]:
        table.add_row(f"{sum(counts.get('rows', 0) for _, counts in rest):,}", f"{len(rest)} more", "--json has them")
    return table


def _fed(batch: Batch) -> str:
    return "" if batch.state in ENDED else f", {batch.fed:,} were handed out"


def _next(batch: Batch) -> Iterator[str]:
    """Say what can be done about it."""
    name = shlex.quote(batch.name)
    if batch.state is BatchState.IMPORTING:
        yield "it is being imported; if that was cut short, the same command goes on where it was,"
        yield f"and ringproof batch cancel {name} takes it away"
    if batch.state is BatchState.PAUSED:
        yield f"ringproof batch resume {name}"
    if batch.state is BatchState.COMPLETED:
        yield f"ringproof batch export {name} --output {shlex.quote(batch.name + '.results.csv')}"
    if batch.state is not BatchState.CANCELLED and any(batch.outcomes.get(f"failed:{reason}") for reason in RETRIED):
        yield f"ringproof batch retry {name}"

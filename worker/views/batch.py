"""A batch as the command shows it: in full, in a line of a log, or as JSON."""

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ringproof.batches.model import Batch, BatchState
from ringproof.clock import duration_text
from ringproof.ledger.record import Reason, State
from worker.views.console import fact_table, lines
from worker.views.number import STYLES
from worker.views.text import clock, json_line

MOST_COUNTRIES: Final = 10
"""Countries that are shown, a line each; --json has all."""

LINE_SECONDS: Final = 5.0
"""The time between two lines that differ in their counts only: the log of a day's batch has 17,000 lines at most."""

ENDED: Final = frozenset({BatchState.COMPLETED, BatchState.CANCELLED})

RETRIED: Final = (Reason.UNREACHABLE, Reason.TOO_LATE, Reason.IN_DOUBT)
"""Failures that a retry may well end: nothing is wrong with these numbers."""

_JSON_NAMES: Final = {"unfinished": "open", "held_back_by": "holds"}
"""The fields of a batch that have another name in JSON."""

_STYLES: Final = {BatchState.PAUSED: "yellow", BatchState.CANCELLED: "red", BatchState.COMPLETED: "bold green"}


def batch_view(batch: Batch) -> RenderableType:
    """Return all of a batch for a person.

    batch      people (people.csv)
    state      running
    imported   14:49:05
    rows       1,000: 400 have an outcome, 500 were fed
    outcomes   600  pending
               300  code_sent
               100  failed (too_late)
    countries  1,000  US  code_sent 300, failed (too_late) 100
    pace       58.2 codes a second, 3 h 20 min left
    """
    state = Text(batch.state, _STYLES.get(batch.state, "cyan"))
    source = f" ({batch.source})" if batch.source else ""
    fed = "" if batch.state in ENDED else f", {batch.fed:,} were fed"
    return fact_table(
        {
            "batch": f"{batch.name}{source}",
            "state": state.append(f" since {clock(batch.completed_at)}" if batch.completed_at else "", "default"),
            "imported": clock(batch.created_at),
            "rows": f"{batch.rows:,}: {batch.rows - batch.unfinished:,} have an outcome{fed}",
            "": ProgressBar(total=max(1, batch.rows), completed=batch.rows - batch.unfinished, width=50),
            "outcomes": _outcomes(batch.outcomes),
            "countries": _countries(batch.countries),
            "pace": pace_text(batch),
            "costs": cost_text(batch),
            "resent as": batch.resent_as,
            "held back": Text(batch.held_back_by, "yellow"),
            "next": lines(_next_commands(batch)),
        }
    )


def show_live(readings: Iterable[Batch], shown_on: Console) -> Iterator[Batch]:
    """Show each reading of a batch and yield it: in place on a terminal, elsewhere as a line for each change."""
    if shown_on.is_terminal:
        with Live(console=shown_on, auto_refresh=False) as live:
            for batch in readings:
                live.update(batch_view(batch), refresh=True)
                yield batch
    else:
        for batch in changes(readings):
            shown_on.print(Text(batch_line(batch)))
            yield batch


def changes(readings: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the readings that differ from the last one yielded.

    Another state, or another reason that holds the batch back, counts at once; other outcomes every five seconds.
    """
    last, yielded_at = None, 0.0
    for batch in readings:
        now = time.monotonic()
        has_new_state = last is None or (batch.state, batch.held_back_by) != (last.state, last.held_back_by)
        if has_new_state or (last and batch.outcomes != last.outcomes and now - yielded_at >= LINE_SECONDS):
            last, yielded_at = batch, now
            yield batch


def batch_line(batch: Batch) -> str:
    """Return a batch in one line, for a log.

    `people running: 400 of 1,000, code_sent 300, failed (too_late) 100, pending 600, 58.2 codes a second, 3 h 20 min
    left; it is night there`
    """
    parts = [f"{batch.name} {batch.state}: {batch.rows - batch.unfinished:,} of {batch.rows:,}"]
    parts += [f"{_outcome_text(outcome)} {count:,}" for outcome, count in batch.outcomes.items() if count]
    parts += [pace_text(batch)] if pace_text(batch) else []
    return ", ".join(parts) + (f"; {batch.held_back_by}" if batch.held_back_by else "")


def pace_text(batch: Batch) -> str:
    """Return how fast a batch is sent, and the time left: `58.2 codes a second, 3 h 20 min left`."""
    if batch.state in ENDED or not batch.rate_per_second:
        return ""
    left = f", {duration_text(batch.time_left)} left" if batch.time_left is not None else ""
    return f"{batch.rate_per_second:,.1f} codes a second{left}"


def cost_text(batch: Batch) -> str:
    """Return what a batch has cost: `12.35 of 25.00 USD`; empty if it has no prices."""
    if batch.cost is None:
        return ""
    return f"{batch.cost}{f', with {batch.cost.payer}' if batch.cost.payer != batch.name else ''}"


def batch_json(batch: Batch) -> str:
    """Return all of a batch as a line of JSON. Amounts are texts, so that none is rounded."""
    shown = {_JSON_NAMES.get(field.name, field.name): getattr(batch, field.name) for field in fields(batch)}
    return json_line({**shown, "cost": batch.cost.as_json() if batch.cost else None})


def _outcome_text(outcome: str) -> str:
    """Write `failed:too_late` as `failed (too_late)`."""
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
            table.add_row(f"{count:,}", Text(_outcome_text(outcome), style))
    return table


def _countries(countries: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    by_rows = sorted(countries.items(), key=lambda pair: -pair[1].get("rows", 0))
    for country, counts in by_rows[:MOST_COUNTRIES]:
        outcomes = (f"{_outcome_text(name)} {count:,}" for name, count in counts.items() if name != "rows" and count)
        table.add_row(f"{counts.get('rows', 0):,}", country, ", ".join(outcomes))
    if rest := by_rows[MOST_COUNTRIES:]:
        table.add_row(f"{sum(counts.get('rows', 0) for _, counts in rest):,}", f"{len(rest)} more", "--json has them")
    return table


def _next_commands(batch: Batch) -> Iterator[str]:
    """Yield the commands that an operator may want next."""
    name = shlex.quote(batch.name)
    if batch.state is BatchState.IMPORTING:
        yield "an import fills it; if that import was cut short, run the same command again to continue it,"
        yield f"or delete the rows that are in: ringproof batch cancel {name}"
    if batch.state is BatchState.PAUSED:
        yield f"ringproof batch resume {name}"
    if batch.state is BatchState.COMPLETED:
        yield f"ringproof batch export {name} --output {shlex.quote(batch.name + '.results.csv')}"
    is_retried = batch.state not in {BatchState.CANCELLED, BatchState.NEWER_VERSION}
    if is_retried and any(batch.outcomes.get(f"failed:{reason}") for reason in RETRIED):
        yield f"ringproof batch retry {name}"

"""`ringproof batch`: list and show batches, pause, resume and cancel them, retry failed rows, and export."""

import csv
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, NoReturn, TextIO

import click
from rich.table import Table
from rich.text import Text

from ringproof import errors
from ringproof.batches import operations, summary
from ringproof.batches.export import beginnings, csv_lines, export_columns, ndjson_lines
from ringproof.batches.kept_columns import kept_names
from ringproof.batches.model import Batch, BatchRow, BatchState
from ringproof.batches.prices import amount_text
from ringproof.batches.rows import batch_rows, rejected_rows
from ringproof.batches.summary import batch_names, batch_summaries, batch_summary, recount
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Reason
from ringproof.rosters.output_file import OutputFile
from worker.cli.account import account_ledger
from worker.cli.audit import AS, note
from worker.cli.costs import BUDGET_AGAIN
from worker.cli.options import JSON, YES, load_dotenv, print_result, reports_errors
from worker.views.batch import ENDED, RETRIED, batch_json, batch_view, changes, pace_text, show_live
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.text import clock, counted

POLL_SECONDS: Final = 0.5

RETRIABLE: Final = (*RETRIED, Reason.REJECTED, Reason.FORBIDDEN, Reason.CAPPED, Reason.COUNTRY, Reason.CRASHES_WORKER)


class Reasons(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """Reasons with commas between them, such as unreachable,too_late."""

    name = "REASONS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Reason, ...]:
        """Return the reasons, or fail with the list of all reasons."""
        by_name = {str(reason): reason for reason in RETRIABLE}
        names = [name.strip() for name in str(value).split(",")]
        if unknown := [name for name in names if name not in by_name]:
            self.fail(f"{unknown[0]!r} is not one of {', '.join(by_name)}", param, ctx)
        return tuple(by_name[name] for name in names)


@click.command(name="ls")
@JSON
@reports_errors
def list_(*, prints_json: bool) -> None:
    """List the batches, newest first."""
    load_dotenv()
    ledger = account_ledger()
    batches = batch_summaries(ledger, batch_names(ledger))
    if prints_json:
        for each in batches:
            click.echo(batch_json(each))
        return
    if not batches:
        console().print("there is no batch; to make one: ringproof import FILE")
        return
    table = Table.grid(padding=(0, 2))
    for each in batches:
        done = f"{each.rows - each.unfinished:,} of {each.rows:,}"
        table.add_row(*map(Text, (each.name, each.state, clock(each.created_at), done, pace_text(each))))
    console().print(table)


@click.command()
@click.argument("name")
@click.option("--watch", "watches", is_flag=True, help="Show the batch until it is completed or cancelled.")
@click.option("--recount", "recounts", is_flag=True, help="Count the outcomes again, row by row.")
@JSON
@reports_errors
def show(name: str, *, watches: bool, recounts: bool, prints_json: bool) -> None:
    """Show where a batch stands.

    Its rows by outcome and by country, the pace, the time left, and what holds it back. The exit code is 0 if the
    batch is completed, 1 if it is cancelled, and 3 otherwise. Ctrl-C ends a watch; the batch goes on.
    """
    load_dotenv()
    ledger = account_ledger()
    shown = existing_batch(ledger, name)
    if recounts:
        shown = _recounted(ledger, shown)
    if watches:
        shown = _watch(ledger, shown, prints_json=prints_json)
    elif prints_json:
        click.echo(batch_json(shown))
    else:
        console().print(batch_view(shown))
    sys.exit(_exit(shown))


@click.command()
@click.argument("name")
@JSON
@AS
@reports_errors
def pause(name: str, actor: str | None, *, prints_json: bool) -> None:
    """Pause a batch, until ringproof batch resume.

    Within a second nothing of it is sent any more, except rows that a person asked for as well.
    """
    load_dotenv()
    before = _changeable(name, "pause", prints_json=prints_json)
    note(actor, "batch pause", name)
    after = operations.pause(account_ledger(), name)
    already = " already" if before.state is BatchState.PAUSED else ""
    text = f"{name} is {after.state}{already}; to go on: ringproof batch resume {shlex.quote(name)}"
    _print_changed(after, text, prints_json=prints_json)


@click.command()
@click.argument("name")
@BUDGET_AGAIN
@JSON
@AS
@reports_errors
def resume(name: str, budget: Decimal | None, actor: str | None, *, prints_json: bool) -> None:
    """Let a paused batch go on.

    A batch that has spent its budget needs another one. The budget counts for the batch and its resends together, from
    the first code on. The exit code is 1 if the batch was not paused, or stays so.
    """
    load_dotenv()
    before = _changeable(name, "resume", prints_json=prints_json)
    if before.state is not BatchState.PAUSED:
        _print_changed(before, f"{name} was not paused: it is {before.state}", prints_json=prints_json)
        sys.exit(Exit.REFUSED)
    if budget is not None and before.cost is None:
        raise click.UsageError(f"{name} has no prices; --budget needs those of ringproof import --price")
    note(actor, "batch resume", name if budget is None else f"{name}: budget {amount_text(budget)}")
    if budget is not None:
        operations.set_budget(account_ledger(), name, budget)
    after = operations.resume(account_ledger(), name)
    if after.state is BatchState.PAUSED:
        _print_changed(after, f"{name} stays paused: {after.held_back_by}", prints_json=prints_json)
        sys.exit(Exit.REFUSED)
    _print_changed(after, f"{name} goes on, at the pace", prints_json=prints_json)


@click.command()
@click.argument("name")
@YES
@JSON
@AS
@reports_errors
def cancel(name: str, actor: str | None, *, yes: bool, prints_json: bool) -> None:
    """Cancel all rows of a batch that have not begun, for good.

    A code that is being sent cannot be taken back. Rows that a person asked for as well go on. If the import was cut
    short, the batch is deleted. The command asks first.
    """
    load_dotenv()
    before = _changeable(name, "cancel", prints_json=prints_json)
    if not yes:
        question = f"{before.unfinished:,} of {before.rows:,} rows have no outcome yet. Cancel {name}?"
        if before.state is BatchState.IMPORTING:
            question = f"The import of {name} is not finished. Delete its {counted(before.rows, 'row')}?"
        click.confirm(question, abort=True, err=True)
    note(actor, "batch cancel", name)
    after = operations.cancel(account_ledger(), name)
    text = f"{name} is {after.state}; rows that have not begun will not be sent"
    if before.state is BatchState.IMPORTING:
        text = f"{name} is deleted: its import was cut short"
    _print_changed(after, text, prints_json=prints_json)


@click.command()
@click.argument("name")
@click.option(
    "--reason",
    "reasons",
    type=Reasons(),
    default=",".join(RETRIED),
    show_default=True,
    help="The failures to retry, with commas between them.",
)
@JSON
@AS
@reports_errors
def retry(name: str, reasons: Sequence[Reason], actor: str | None, *, prints_json: bool) -> None:
    """Send codes to the rows of a batch that failed.

    By default these are the rows that failed although nothing was wrong with their numbers. A row that waits has not
    failed: the worker asks Plivo again for a day before a row fails as unreachable. The exit code is 1 if no row has
    failed so.
    """
    load_dotenv()
    before = existing_batch(account_ledger(), name)
    if before.state in {BatchState.IMPORTING, BatchState.CANCELLED}:
        end_unchanged(before, "retry", prints_json=prints_json)
    note(actor, "batch retry", f"{name}: {', '.join(reasons)}")
    count = operations.retry(account_ledger(), name, reasons)
    text = f"{counted(count, 'row')} will be sent again; to watch: ringproof batch show {shlex.quote(name)} --watch"
    if not count:
        text = f"no row of {name} has failed as {', '.join(reasons)}"
    print_result(text, {"name": name, "reasons": reasons, "retried": count}, as_json=prints_json)
    sys.exit(Exit.DONE if count else Exit.REFUSED)


@click.command()
@click.argument("name")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="json: one object a line.",
)
@click.option("--excel", is_flag=True, help="Make a leading = + - @ harmless, for a spreadsheet.")
@click.option("--columns", "chosen", metavar="phone_number,state", help="Write only these columns  [default: all]")
@click.option("--output", metavar="FILE", help="Write to this file  [default: standard output]")
@AS
@reports_errors
def export(name: str, format_: str, output: str | None, chosen: str | None, actor: str | None, *, excel: bool) -> None:
    """Write the rows of a batch with their outcomes.

    Each row has its line and all columns of its roster. The rows that the import rejected come last, with the reason. A
    column of the roster with the name of another column of the export gets file_ before it.

    Numbers are masked on a terminal only. Only its owner can read FILE. It replaces an earlier export, and no other
    file.
    """
    load_dotenv()
    if excel and format_ == "json":
        raise click.BadParameter("is for --format csv only", param_hint="--excel")
    ledger = account_ledger()
    existing_batch(ledger, name)
    columns = export_columns(kept_names(ledger, name), _names_in(chosen or ""))
    count = rejected = 0

    def rows() -> Iterator[BatchRow]:
        nonlocal count, rejected
        for row in batch_rows(ledger, name, with_columns=True):
            count += 1
            yield row
        for row in rejected_rows(ledger, name):
            count += 1
            rejected += 1
            yield row

    with _opened(output, "utf-8-sig" if excel else "utf-8", beginnings(columns)) as to:
        is_masked = to is sys.stdout and to.isatty()
        if not is_masked:
            note(actor, "batch export", name)
        if format_ == "csv":
            to.writelines(csv_lines(rows(), masked=is_masked, excel=excel, columns=columns))
        else:
            to.writelines(ndjson_lines(rows(), masked=is_masked, columns=columns))
    if output:
        also = f", {rejected:,} of them rejected" if rejected else ""
        console().print(f"{counted(count, 'row')} of {name} {'is' if count == 1 else 'are'} in {output}{also}")
    elif is_masked:
        console(stderr=True).print("numbers are masked on a terminal; --output FILE has them in full")


def _names_in(chosen: str) -> list[str]:
    """Return the names between the commas; a name with a comma in it stands between quotes, as in CSV."""
    return [name.strip() for name in next(csv.reader([chosen], skipinitialspace=True), [])]


@contextmanager
def _opened(output: str | None, encoding: str, replaceable: Sequence[bytes]) -> Iterator[TextIO]:
    """Yield the file to write to: standard output for None."""
    if output is None:
        if encoding == "utf-8-sig":
            sys.stdout.write("\ufeff")
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        written = OutputFile(output, encoding, holds="export", beginnings=replaceable)
    except errors.Unwritable as error:
        remedy = f"{error.remedy}, or leave --output away: then it goes to standard output"
        raise errors.Unwritable(error.file, error.cause, remedy) from error
    with written, written.errors_named():
        yield written.file


def existing_batch(ledger: Ledger, name: str) -> Batch:
    """Return the batch. If there is none of this name, name the batches that there are, and end."""
    try:
        return summary.existing_batch(ledger, name)
    except errors.UnknownBatch:
        names = batch_names(ledger)
        there = f"there are {', '.join(names[:20])}" if names else "there is none; to make one: ringproof import FILE"
        console(stderr=True).print(Text.assemble(("error: ", "red"), f"no batch is named {name}; {there}"))
        sys.exit(Exit.REFUSED)


def _print_changed(changed: Batch, text: str, *, prints_json: bool) -> None:
    """Print a sentence about a batch, or the batch as `ringproof batch show --json` does."""
    if prints_json:
        click.echo(batch_json(changed))
    else:
        console().print(text)


def _changeable(name: str, action: str, *, prints_json: bool) -> Batch:
    """Return the batch, or end: a batch that has ended cannot be changed, and one that is importing only cancelled."""
    existing = existing_batch(account_ledger(), name)
    if existing.state in ENDED or (existing.state is BatchState.IMPORTING and action != "cancel"):
        end_unchanged(existing, action, prints_json=prints_json)
    return existing


def end_unchanged(unchanged: Batch, action: str, *, prints_json: bool) -> NoReturn:
    """Say that there is nothing to do for this action, and end."""
    name = shlex.quote(unchanged.name)
    then = f"; to delete it: ringproof batch cancel {name}" if unchanged.state not in ENDED else ""
    text = f"{unchanged.name} is {unchanged.state}; there is nothing to {action}{then}"
    _print_changed(unchanged, text, prints_json=prints_json)
    sys.exit(Exit.REFUSED)


def _recounted(ledger: Ledger, before: Batch) -> Batch:
    """Count the outcomes row by row, and say whether they agree with those that were counted change by change."""
    both = recount(ledger, before.name)  # both counts are of one moment
    if both is None:  # deleted meanwhile
        return before
    by_change, by_row = both
    verdict = "it agrees" if by_change == by_row else f"it differs from {dict(by_change.outcomes)}; please report this"
    console(stderr=True).print(f"counted again, row by row: {verdict}")
    return by_row


def _watch(ledger: Ledger, first: Batch, *, prints_json: bool) -> Batch:
    """Show the batch until it ends, or until Ctrl-C. Return it as it was shown last."""
    readings, last = _readings(ledger, first), first
    try:
        if prints_json:
            for reading in changes(readings):
                last = reading
                click.echo(batch_json(reading))
        else:
            for reading in show_live(readings, console()):
                last = reading
    except KeyboardInterrupt:
        again = f"ringproof batch show {shlex.quote(first.name)} --watch"
        console(stderr=True).print(f"{first.name} goes on without this command; to watch again: {again}")
    return last


def _readings(ledger: Ledger, last: Batch) -> Iterator[Batch]:
    """Yield the batch twice a second until it ends. While Redis does not answer, yield it as it was, with the error."""
    yield last
    while last.state not in ENDED:
        time.sleep(POLL_SECONDS)
        try:
            last = batch_summary(ledger, last.name) or replace(last, state=BatchState.CANCELLED)
        except errors.LedgerUnavailable as error:
            last = replace(last, held_back_by=error.message)
        yield last


def _exit(shown: Batch) -> Exit:
    if shown.state is BatchState.COMPLETED:
        return Exit.DONE
    return Exit.REFUSED if shown.state is BatchState.CANCELLED else Exit.UNFINISHED

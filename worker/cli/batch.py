"""`ringproof batch`: where batches stand, and what can be done about them."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, NoReturn, TextIO

import click
from rich.table import Table
from rich.text import Text

from ringproof import errors, runtime
from ringproof.batches import operations
from ringproof.batches.export import BEGINNINGS, write_csv, write_ndjson
from ringproof.batches.model import Batch, BatchState
from ringproof.batches.rows import batch_rows
from ringproof.batches.summary import batch_names, batch_summary, recount
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Reason
from ringproof.rosters.output_file import OutputFile
from worker.cli.options import load_dotenv, says_what_is_wrong
from worker.views.batch import ENDED, RETRIED, as_json, batch_view, changes, pace, watched
from worker.views.console import Exit, console
from worker.views.text import clock

LOOK_SECONDS: Final = 0.5

RETRIABLE: Final = (*RETRIED, Reason.REJECTED, Reason.FORBIDDEN, Reason.CAPPED, Reason.CRASHES_WORKER)


class Reasons(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """Reasons with commas between them."""

    name = "REASONS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Reason, ...]:
        """Read them, or fail with those that there are."""
        known = {str(reason): reason for reason in RETRIABLE}
        words = [word.strip() for word in str(value).split(",")]
        if unknown := [word for word in words if word not in known]:
            self.fail(f"{unknown[0]!r} is none of {', '.join(known)}", param, ctx)
        return tuple(known[word] for word in words)


@click.group()
def batch() -> None:
    """Look after batches, which ringproof import makes."""


@batch.command(name="ls")
@says_what_is_wrong
def list_() -> None:
    """List the batches, newest first."""
    load_dotenv()
    ledger = runtime.ledger()
    found = [known for name in batch_names(ledger) if (known := batch_summary(ledger, name))]
    if not found:
        console().print("there is no batch; to make one: ringproof import FILE")
        return
    table = Table.grid(padding=(0, 2))
    for known in found:
        done = f"{known.rows - known.unfinished:,} of {known.rows:,}"
        table.add_row(*map(Text, (known.name, known.state, clock(known.created_at), done, pace(known))))
    console().print(table)


@batch.command()
@click.argument("name")
@click.option("--watch", is_flag=True, help="Show it until it is completed or cancelled.")
@click.option("--recount", is_flag=True, help="Count again, row by row.")
@click.option("--json", "as_json_", is_flag=True, help="Print a line of JSON.")
@says_what_is_wrong
def show(name: str, *, watch: bool, recount: bool, as_json_: bool) -> None:
    """Show where a batch stands.

    Rows by outcome and by country, the pace, the time left, and what holds it back. Exit 0 if it is completed, 1 if it
    is cancelled, and else 3. A watch may be ended by Ctrl-C: the batch goes on.
    """
    load_dotenv()
    ledger = runtime.ledger()
    found = _known(ledger, name)
    if recount:
        found = _recounted(ledger, found)
    if watch:
        found = _watched(ledger, found, as_json_=as_json_)
    elif as_json_:
        click.echo(as_json(found))
    else:
        console().print(batch_view(found))
    sys.exit(_exit(found))


@batch.command()
@click.argument("name")
@says_what_is_wrong
def pause(name: str) -> None:
    """Keep a batch from being sent to.

    Until ringproof batch resume. Within a second nothing of it is sent any more, but for what a person asked for, too.
    """
    load_dotenv()
    before = _unfinished(name, "pause")
    after = operations.pause(runtime.ledger(), name)
    already = " already" if before.state is BatchState.PAUSED else ""
    console().print(f"{name} is {after.state}{already}; to go on: ringproof batch resume {shlex.quote(name)}")


@batch.command()
@click.argument("name")
@says_what_is_wrong
def resume(name: str) -> None:
    """Let a batch go on.

    Exit 1 if it was not paused.
    """
    load_dotenv()
    before = _unfinished(name, "resume")
    if before.state is not BatchState.PAUSED:
        console().print(f"{name} was not paused: it is {before.state}")
        sys.exit(Exit.REFUSED)
    operations.resume(runtime.ledger(), name)
    console().print(f"{name} goes on, at the pace")


@batch.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@says_what_is_wrong
def cancel(name: str, *, yes: bool) -> None:
    """Take back what of a batch has not begun.

    It never will be. What is being sent is not taken back; rows that a person asked for, too, go on. Of a batch whose
    import was cut short nothing is left.
    """
    load_dotenv()
    before = _unfinished(name, "cancel")
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        click.confirm(f"{before.unfinished:,} of {before.rows:,} rows have no outcome yet. Cancel {name}?", abort=True)
    after = operations.cancel(runtime.ledger(), name)
    if before.state is BatchState.IMPORTING:
        console().print(f"{name} was not imported to its end; nothing is left of it")
    else:
        console().print(f"{name} is {after.state}; what has not begun never will be")


@batch.command()
@click.argument("name")
@click.option(
    "--reason",
    "reasons",
    type=Reasons(),
    default=",".join(RETRIED),
    show_default=True,
    help="Which failures, with commas between them.",
)
@says_what_is_wrong
def retry(name: str, reasons: Sequence[Reason]) -> None:
    """Ask anew for the rows of a batch that failed.

    By default those that nothing was wrong with. What waits has not failed: Plivo is asked again for a day before a row
    is unreachable. Exit 1 if there are none.
    """
    load_dotenv()
    before = _known(runtime.ledger(), name)
    if before.state in {BatchState.IMPORTING, BatchState.CANCELLED}:
        _nothing_to(before, "retry")
    count = operations.retry(runtime.ledger(), name, reasons)
    if not count:
        console().print(f"no row of {name} has failed for {', '.join(reasons)}")
        sys.exit(Exit.REFUSED)
    console().print(
        f"{count:,} {'row is' if count == 1 else 'rows are'} asked for anew; "
        f"to watch: ringproof batch show {shlex.quote(name)} --watch"
    )


@batch.command()
@click.argument("name")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="json: an object a line.",
)
@click.option("--excel", is_flag=True, help="Make a leading = + - @ harmless, for a spreadsheet.")
@click.option("--output", metavar="FILE", help="Write there  [default: standard output]")
@says_what_is_wrong
def export(name: str, format_: str, output: str | None, *, excel: bool) -> None:
    """Write a batch's rows, with what became of each.

    Numbers are masked on a terminal, and nowhere else. FILE can be read by its owner only, and replaces an earlier
    export, but nothing else.
    """
    load_dotenv()
    if excel and format_ == "json":
        raise click.BadParameter("is for --format csv", param_hint="--excel")
    ledger = runtime.ledger()
    _known(ledger, name)
    rows = batch_rows(ledger, name)
    with _opened(output, "utf-8-sig" if excel else "utf-8") as to:
        masked = to is sys.stdout and to.isatty()
        if format_ == "csv":
            count = write_csv(rows, to, masked=masked, excel=excel)
        else:
            count = write_ndjson(rows, to, masked=masked)
    if output:
        console().print(f"{count:,} rows of {name} are in {output}")
    elif masked:
        console(stderr=True).print("numbers are masked on a terminal; --output FILE has them whole")


@contextmanager
def _opened(output: str | None, encoding: str) -> Iterator[TextIO]:
    """Yield what is to be written to."""
    if output is None:
        if encoding == "utf-8-sig":
            sys.stdout.write("\ufeff")
        yield sys.stdout
        sys.stdout.flush()
        return
    with OutputFile(output, encoding, holds="export", beginnings=BEGINNINGS) as replacement, replacement.errors_named():
        yield replacement.file


def _known(ledger: Ledger, name: str) -> Batch:
    """Return the batch, or end with the names of those that there are."""
    try:
        found = batch_summary(ledger, name)
    except errors.InvalidRequest:  # no batch can be named so
        found = None
    if found is None:
        names = batch_names(ledger)
        there = f"there are {', '.join(names[:20])}" if names else "there is none; to make one: ringproof import FILE"
        console(stderr=True).print(Text.assemble(("error: ", "red"), f"no batch is named {name}; {there}"))
        sys.exit(Exit.REFUSED)
    return found


def _unfinished(name: str, what: str) -> Batch:
    """Return the batch, or end: nothing can be done any more about one that has ended, and little before it begins."""
    found = _known(runtime.ledger(), name)
    if found.state in ENDED or (found.state is BatchState.IMPORTING and what != "cancel"):
        _nothing_to(found, what)
    return found


def _nothing_to(found: Batch, what: str) -> NoReturn:
    then = f"; to take it away: ringproof batch cancel {shlex.quote(found.name)}" if found.state not in ENDED else ""
    console().print(f"{found.name} is {found.state}; there is nothing to {what}{then}")
    sys.exit(Exit.REFUSED)


def _recounted(ledger: Ledger, known: Batch) -> Batch:
    """Count again, row by row, and say if it is what was counted change by change; both are of one moment."""
    both = recount(ledger, known.name)
    if both is None:  # deleted meanwhile
        return known
    kept, counted = both
    told = "it agrees" if kept == counted else f"it differs from {dict(kept.outcomes)}; please report this"
    console(stderr=True).print(f"counted again, row by row: {told}")
    return counted


def _watched(ledger: Ledger, found: Batch, *, as_json_: bool) -> Batch:
    """Show the batch until it has ended, or somebody presses Ctrl-C."""
    looks = _looks(ledger, found)
    try:
        if as_json_:
            for seen in changes(looks):
                found = seen
                click.echo(as_json(seen))
        else:
            for seen in watched(looks, console()):
                found = seen
    except KeyboardInterrupt:
        again = f"ringproof batch show {shlex.quote(found.name)} --watch"
        console(stderr=True).print(f"{found.name} goes on without this; to look again: {again}")
    return found


def _looks(ledger: Ledger, found: Batch) -> Iterator[Batch]:
    """Yield the batch twice a second, as it stands; where Redis does not answer, as it stood."""
    yield found
    while found.state not in ENDED:
        time.sleep(LOOK_SECONDS)
        try:
            found = batch_summary(ledger, found.name) or replace(found, state=BatchState.CANCELLED)
        except errors.LedgerUnavailable as error:
            found = replace(found, held_back_by=str(error))
        yield found


def _exit(found: Batch) -> Exit:
    if found.state is BatchState.COMPLETED:
        return Exit.DONE
    return Exit.REFUSED if found.state is BatchState.CANCELLED else Exit.UNFINISHED

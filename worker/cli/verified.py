"""The commands about verified numbers: `ringproof sync`, and `reverify`."""

import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ringproof import runtime
from ringproof.batches.rows import batch_rows
from ringproof.celery.ping import workers_that_answer
from ringproof.ledger import plivo_list, reverification
from ringproof.ledger.confirmation import Marked
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.plivo_list import ListScan
from ringproof.ledger.record import Record
from ringproof.ledger.reverification import Requested
from ringproof.phone.masking import mask
from ringproof.phone.number import parse
from ringproof.rosters.output_file import OutputFile
from tasks.reconcile import LAG, request_scan_of_list
from worker.cli.options import Duration, load_dotenv, numbers_of, says_what_is_wrong
from worker.views.console import Exit, console
from worker.views.follow import NO_PROGRESS_SECONDS, PATIENCE_SECONDS, START_A_WORKER

LOOK_SECONDS: Final = 0.2
MOST_SHOWN: Final = 20
"""Numbers that are shown, masked; a file has all."""

LONGEST: Final = timedelta(days=3650)
YES = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


@click.command()
@click.option("--gone", metavar="FILE", help="Write the numbers there that Plivo no longer has, a line each.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON.")
@says_what_is_wrong
def sync(gone: str | None, *, as_json: bool) -> None:
    """Read all of Plivo's list of verified numbers.

    What is unknown here is recorded as verified, so that an import passes it over. What is verified here and no longer
    there is shown, not deleted: ringproof reverify NUMBER verifies it again. The list is read by a worker, at a
    tenth of the pace, 20 numbers a request; after Ctrl-C it goes on, and the same command waits for it.
    """
    load_dotenv()
    ledger = runtime.ledger()
    request_scan_of_list(ledger, ListScan.SYNC)
    began = _read(ledger)
    progress = plivo_list.scan_progress(ledger, ListScan.SYNC)
    missing = [record.phone_number for record in reverification.verified(ledger) if not _seen(record, began)]
    if gone is not None:
        with OutputFile(gone, "utf-8", holds="list of numbers", beginnings=[b"+"]) as written, written.errors_named():
            written.file.writelines(f"{number}\n" for number in missing)
    here = progress.counts.get(Marked.RECORDED, 0)
    if as_json:
        click.echo(json.dumps({"at_plivo": progress.total, "recorded": here, "gone": len(missing)}))
        return
    if progress.total:
        console().print(f"{_are(progress.total)} verified at Plivo, {here:,} of them unknown here until now")
    else:
        console().print("no number is verified at Plivo")
    if missing:
        console().print(f"{_are(len(missing))} verified here, and no longer at Plivo: {_shown(missing)}")
        again = f"- < {shlex.quote(gone)}" if gone else "- < FILE, by --gone FILE"
        console().print(f"to verify them again: ringproof reverify {again}")


@click.command()
@click.argument("numbers", nargs=-1, metavar="NUMBER...")
@click.option("--batch", metavar="NAME", help="The verified numbers of a batch.")
@click.option(
    "--older-than", type=Duration(LONGEST), metavar="90d", help="Those last known to be verified so long ago."
)
@click.option("--due-within", type=Duration(LONGEST), metavar="7d", help="Those whose turn comes within that time.")
@click.option("--lapsed", is_flag=True, help="Those that did not answer when they were asked again.")
@click.option("--region", help="Country of numbers without one, such as US  [default: RINGPROOF_REGION]")
@click.option("--dry-run", is_flag=True, help="Say which they are; ask nobody.")
@YES
@says_what_is_wrong
def reverify(  # each is a way to say which
    numbers: Sequence[str],
    batch: str | None,
    older_than: timedelta | None,
    due_within: timedelta | None,
    region: str | None,
    *,
    lapsed: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Have verified NUMBERs verified again, now.

    For - they are read from standard input, one a line.

    Plivo is asked whether it has them still, and a code is sent where it has not; with RINGPROOF_REVERIFY_MODE=send a
    code is sent at once. In the scheduled lane: at its share of the pace, in nobody's night. Of more than named
    numbers it asks first.
    """
    load_dotenv()
    ledger = runtime.ledger()
    chosen: list[Iterable[str]] = []
    if numbers:
        home = region or runtime.settings().region
        chosen.append(parse(number, home).e164 for number in numbers_of(numbers))
    if batch:
        chosen.append(row.number for row in batch_rows(ledger, batch) if row.outcome == "verified" and row.number)
    if older_than:
        chosen.append(reverification.older_than(ledger, older_than))
    if due_within:
        chosen.append(reverification.due_within(ledger, due_within))
    if lapsed:
        chosen.append(reverification.lapsed(ledger))
    if len(chosen) != 1:
        raise click.UsageError("Name numbers, or one of --batch, --older-than, --due-within and --lapsed.")
    known = list(dict.fromkeys(chosen[0]))
    if not known or dry_run:
        console().print(_counted(len(known)) + (f": {_shown(known)}" if known else ""))
        return
    how = "a code is sent to each" if _mode(ledger) == "send" else "Plivo is asked about each"
    if not (numbers or yes) and sys.stdin.isatty():
        click.confirm(f"Verify {_counted(len(known))} again ({how})?", abort=True, err=True)
    _ask(ledger, known, how)


def _ask(ledger: Ledger, known: Sequence[str], how: str) -> None:
    told = Counter[Requested]()
    for start in range(0, len(known), reverification.AT_ONCE):
        told.update(reverification.request(ledger, known[start : start + reverification.AT_ONCE]))
    if due := told[Requested.DUE]:
        console().print(f"{_are(due)} to be verified again: {how}; what came of it: ringproof status NUMBER")
    for what, why in _WHY_NOT.items():
        if told[what]:
            console().print(f"{_are(told[what])} {why}")
    sys.exit(Exit.DONE if due else Exit.REFUSED)


_WHY_NOT: Final = {
    Requested.OPEN: "being asked at present: a request is under way, or its code can be entered still",
    Requested.NEVER: "not verified; for a first code: ringproof initiate NUMBER",
    Requested.UNKNOWN: "unknown here; for a first code: ringproof initiate NUMBER",
}


def _read(ledger: Ledger) -> datetime:
    """Wait until Plivo's list was read to its end; return when that look began. Ends the command if it is not."""
    columns = (TextColumn("reading Plivo's list"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    told = f"no progress for {PATIENCE_SECONDS:.0f} s"
    try:
        where = console(stderr=True)
        with Progress(*columns, console=where, transient=True, disable=not where.is_terminal) as bar:
            if began := _until_read(ledger, bar):
                return began
    except KeyboardInterrupt:
        told = "interrupted"
    console(stderr=True).print(f"{told}; it goes on without this, and the same command waits for it")
    sys.exit(Exit.UNFINISHED)


def _until_read(ledger: Ledger, bar: Progress) -> datetime | None:
    """Show how far it is, and why it is not; None: without progress for too long."""
    task = bar.add_task("", total=None)
    progressed, explained, seen = time.monotonic(), set[str](), -1
    while (idle := time.monotonic() - progressed) < PATIENCE_SECONDS:
        progress = plivo_list.scan_progress(ledger, ListScan.SYNC)
        read = sum(progress.counts.values())
        bar.update(task, completed=read, total=progress.total)
        if progress.requested_at is None and progress.finished_scan_began_at:
            return progress.finished_scan_began_at
        if read != seen:
            seen, progressed = read, time.monotonic()
        elif idle > NO_PROGRESS_SECONDS and (why := _why(progress)) not in explained:
            explained.add(why)
            console(stderr=True).print(why)
        time.sleep(LOOK_SECONDS)
    return None


def _why(progress: plivo_list.ScanProgress) -> str:
    if progress.failure:
        return f"Plivo's list was not read: {progress.failure}; it is tried again"
    if workers_that_answer():
        return "a worker reads it at one slot in ten; ringproof status says what holds it up"
    return f"no worker answers; start one: {START_A_WORKER}, with a beat (-B, or celery -A worker beat)"


def _seen(record: Record, began: datetime) -> bool:
    """Whether Plivo's list had it; it may not have had yet who was verified just before it was read."""
    listed, verified = record.checked_at, record.verified_at
    return bool((listed and listed >= began) or (verified and verified >= began - LAG))


def _mode(ledger: Ledger) -> str:
    return str(ledger.run("hget", ledger.keys.policy, "reverify_mode") or "check")


def _counted(count: int) -> str:
    return f"{count:,} number{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return f"{_counted(count)} {'is' if count == 1 else 'are'}"


def _shown(known: Sequence[str]) -> str:
    more = f" and {len(known) - MOST_SHOWN:,} more" if len(known) > MOST_SHOWN else ""
    return ", ".join(map(mask, known[:MOST_SHOWN])) + more

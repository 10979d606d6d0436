"""The commands about verified numbers: sync and reverify."""

import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ringproof import runtime
from ringproof.batches.rows import batch_rows
from ringproof.ledger import plivo_list, reverification
from ringproof.ledger.confirmation import Marked
from ringproof.ledger.heartbeats import workers_alive
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.numbers import AT_ONCE
from ringproof.ledger.plivo_list import ListScan, ScanProgress
from ringproof.ledger.policy import reverify_mode
from ringproof.ledger.record import Record
from ringproof.ledger.reverification import Requested
from ringproof.phone.masking import mask
from ringproof.phone.number import parse
from ringproof.rosters.output_file import OutputFile
from tasks.plivo_list import LAG, SKIPPED, start_list_scan
from worker.cli.account import account_ledger
from worker.cli.audit import AS, note
from worker.cli.options import JSON, REGION, YES, Duration, load_dotenv, numbers_of, print_result, reports_errors
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.patience import PATIENCE_SECONDS, START_A_WORKER, Patience
from worker.views.text import counted, json_line

POLL_SECONDS: Final = 0.2
MOST_SHOWN: Final = 20
"""Numbers that are shown, masked. A file has all of them."""

LONGEST: Final = timedelta(days=3650)

_WHY_NOT: Final = {
    Requested.OPEN: "being verified now: a request is unfinished, or its code still works",
    Requested.NEVER: "not verified; to send a first code: ringproof initiate NUMBER",
    Requested.UNKNOWN: "unknown here; to send a first code: ringproof initiate NUMBER",
}


@click.command()
@click.option("--gone", metavar="FILE", help="Write numbers that Plivo no longer has to this file, one a line.")
@click.option("--yes", is_flag=True, help="End the verifications that Plivo no longer has, and do not ask.")
@JSON
@AS
@reports_errors
def sync(gone: str | None, actor: str | None, *, yes: bool, prints_json: bool) -> None:
    """Read Plivo's whole list of verified numbers.

    Numbers that are unknown here are recorded as verified, so that an import skips them. Numbers that are verified
    here and no longer at Plivo are shown. On a terminal, or with --yes, their verification ends here; ringproof
    reverify NUMBER verifies them again. A worker reads the list, 20 numbers a request, at a tenth of the pace. After
    Ctrl-C it goes on, and the same command waits for it.
    """
    load_dotenv()
    ledger = account_ledger()
    with _opened(gone) as written:  # a place that cannot be written is named before the long scan
        start_list_scan(ledger, ListScan.SYNC)
        began = _wait_for_scan(ledger)
        scan = plivo_list.scan_progress(ledger, ListScan.SYNC)
        records = [record for record in reverification.verified(ledger) if not _is_listed(record, began)]
        missing = [record.phone_number for record in records]
        if written:
            note(actor, "sync --gone", counted(len(missing), "number"))
            with written.errors_named():
                written.file.writelines(f"{number}\n" for number in missing)
    recorded = scan.counts.get(Marked.RECORDED, 0)
    if prints_json:
        ended = _end_verifications(ledger, records, scan, actor) if yes else 0
        click.echo(json_line({"at_plivo": scan.total, "recorded": recorded, "gone": len(missing), "ended": ended}))
        return
    if scan.total:
        console().print(f"{_numbers_are(scan.total)} verified at Plivo, {recorded:,} of them unknown here until now")
    else:
        console().print("no number is verified at Plivo")
    if missing:
        console().print(f"{_numbers_are(len(missing))} verified here, and no longer at Plivo: {_masked(missing)}")
        if yes or (sys.stdin.isatty() and click.confirm("End their verification here?", err=True)):
            ended = _end_verifications(ledger, records, scan, actor)
            console().print(f"the verification of {counted(ended, 'number')} has ended")
        source = f"- < {shlex.quote(gone)}" if gone else "- < FILE, with the file of --gone FILE"
        console().print(f"to verify them again: ringproof reverify {source}")


@click.command()
@click.argument("numbers", nargs=-1, metavar="NUMBER...")
@click.option("--batch", metavar="NAME", help="The verified numbers of a batch.")
@click.option(
    "--older-than", type=Duration(LONGEST), metavar="90d", help="Numbers last known to be verified so long ago."
)
@click.option("--due-within", type=Duration(LONGEST), metavar="7d", help="Numbers that fall due within that time.")
@click.option("--lapsed", is_flag=True, help="Numbers whose user did not answer two re-verifications.")
@REGION
@click.option("--dry-run", is_flag=True, help="Show which numbers they are, and do nothing.")
@YES
@JSON
@AS
@reports_errors
def reverify(  # each option is one way to choose the numbers
    numbers: Sequence[str],
    batch: str | None,
    older_than: timedelta | None,
    due_within: timedelta | None,
    region: str | None,
    actor: str | None,
    *,
    lapsed: bool,
    dry_run: bool,
    yes: bool,
    prints_json: bool,
) -> None:
    """Verify verified NUMBERs again, now.

    Use - to read numbers from standard input, one a line.

    The worker asks Plivo whether it still has each number, and sends a code if it has not. With
    RINGPROOF_REVERIFY_MODE=send it sends a code at once. This goes in the scheduled lane, at its share of the pace,
    and outside quiet hours. If an option chooses the numbers, the command asks first.
    """
    load_dotenv()
    ledger = account_ledger()
    choices: list[Iterable[str]] = []
    if numbers:
        home_region = region or runtime.settings().region
        choices.append(parse(number, home_region).e164 for number in numbers_of(numbers))
    if batch:
        rows = batch_rows(ledger, batch)
        choices.append(row.number for row in rows if row.outcome == "verified" and row.number)
    if older_than:
        choices.append(reverification.older_than(ledger, older_than))
    if due_within:
        choices.append(reverification.due_within(ledger, due_within))
    if lapsed:
        choices.append(reverification.lapsed(ledger))
    if len(choices) != 1:
        raise click.UsageError("Name numbers, or one of --batch, --older-than, --due-within and --lapsed.")
    chosen = list(dict.fromkeys(choices[0]))
    if not chosen or dry_run:
        text = counted(len(chosen), "number") + (f": {_masked(chosen)}" if chosen else "")
        print_result(text, {"chosen": len(chosen), "dry_run": dry_run}, as_json=prints_json)
        return
    how = "a code is sent to each" if reverify_mode(ledger) == "send" else "Plivo is asked about each"
    if not (numbers or yes) and sys.stdin.isatty():
        click.confirm(f"Verify {counted(len(chosen), 'number')} again ({how})?", abort=True, err=True)
    note(actor, "reverify", mask(chosen[0]) if len(chosen) == 1 else counted(len(chosen), "number"))
    _request_reverification(ledger, chosen, how, prints_json=prints_json)


def _opened(path: str | None) -> AbstractContextManager[OutputFile | None]:
    """Return the file for the numbers that Plivo no longer has; nothing for None."""
    return OutputFile(path, "utf-8", holds="list of numbers", beginnings=[b"+"]) if path is not None else nullcontext()


def _request_reverification(ledger: Ledger, numbers: Sequence[str], how: str, *, prints_json: bool) -> None:
    answers = Counter[Requested]()
    for start in range(0, len(numbers), AT_ONCE):
        answers.update(reverification.request(ledger, numbers[start : start + AT_ONCE]))
    due = answers[Requested.DUE]
    if prints_json:
        counts = {str(answer): answers[answer] for answer in Requested}
        click.echo(json_line({"chosen": len(numbers), "dry_run": False, **counts}))
        sys.exit(Exit.DONE if due else Exit.REFUSED)
    if due:
        console().print(f"{_numbers_are(due)} to be verified again: {how}; for the result: ringproof status NUMBER")
    for answer, why in _WHY_NOT.items():
        if answers[answer]:
            console().print(f"{_numbers_are(answers[answer])} {why}")
    sys.exit(Exit.DONE if due else Exit.REFUSED)


def _end_verifications(ledger: Ledger, records: Sequence[Record], scan: ScanProgress, actor: str | None) -> int:
    """End verifications that Plivo no longer has, and return how many. A number with an unfinished request is left out.

    Ends the command if the scan has seen fewer numbers than Plivo says that its list has: then it proves nothing.
    """
    seen = sum(count for result, count in scan.counts.items() if result != SKIPPED)
    if records and (scan.total is None or seen < scan.total):
        total = "does not say how many" if scan.total is None else f"says {scan.total:,}"
        console(stderr=True).print(f"nothing has ended: Plivo's list showed {counted(seen, 'number')}, and it {total}")
        sys.exit(Exit.REFUSED)
    if records:
        note(actor, "end verifications", counted(len(records), "number"))
    return sum(reverification.note_removed(ledger, record) for record in records)


def _wait_for_scan(ledger: Ledger) -> datetime:
    """Wait until a worker has read all of Plivo's list, and return when it began. End the command if it takes long."""
    columns = (TextColumn("reading Plivo's list"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    why = f"no progress for {PATIENCE_SECONDS:.0f} s"
    try:
        shown_on = console(stderr=True)
        with Progress(*columns, console=shown_on, transient=True, disable=not shown_on.is_terminal) as bar:
            if began := _scan_with_progress(ledger, bar):
                return began
    except KeyboardInterrupt:
        why = "interrupted"
    console(stderr=True).print(f"{why}; a worker goes on reading, and the same command waits for it")
    sys.exit(Exit.UNFINISHED)


def _scan_with_progress(ledger: Ledger, bar: Progress) -> datetime | None:
    """Show how far the scan is, and why it does not go on. Return None after too long without progress."""
    task = bar.add_task("", total=None)
    patience, last_count = Patience(console(stderr=True).print), -1
    while not patience.is_over:
        scan = plivo_list.scan_progress(ledger, ListScan.SYNC)
        count = sum(scan.counts.values())
        bar.update(task, completed=count, total=scan.total)
        if scan.requested_at is None and scan.finished_scan_began_at:
            return scan.finished_scan_began_at
        if count != last_count:
            last_count = count
            patience.note_change()
        elif patience.needs_explanation:
            why = _why_unfinished(scan)
            patience.explain(why, why)
        time.sleep(POLL_SECONDS)
    return None


def _why_unfinished(scan: ScanProgress) -> str:
    if scan.failure:
        return f"Plivo's list was not read: {scan.failure}; a worker tries again"
    if workers_alive(runtime.ledger()):
        return "a worker reads it in one slot of ten; ringproof status says what slows it down"
    return f"no worker takes messages; start one: {START_A_WORKER}"


def _is_listed(record: Record, began: datetime) -> bool:
    """Return whether Plivo's list has the number, or may not have it yet: it was verified just before the scan."""
    listed, verified = record.checked_at, record.verified_at
    return bool((listed and listed >= began) or (verified and verified >= began - LAG))


def _numbers_are(count: int) -> str:
    return f"{counted(count, 'number')} {'is' if count == 1 else 'are'}"


def _masked(numbers: Sequence[str]) -> str:
    more = f" and {len(numbers) - MOST_SHOWN:,} more" if len(numbers) > MOST_SHOWN else ""
    return ", ".join(map(mask, numbers[:MOST_SHOWN])) + more

"""`ringproof import`: files of numbers become a batch, once all of them were read and somebody has agreed."""

import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

import click

from ringproof import errors, runtime
from ringproof.batches.forecast import Tally, forecast
from ringproof.batches.importing import BatchImport, begin_import
from ringproof.batches.model import check_name
from ringproof.ledger.ledger import Ledger
from ringproof.phone.number import CHANNELS
from ringproof.rosters.rejects import Rejects
from ringproof.rosters.roster import Roster, fingerprint_of, open_roster
from ringproof.rosters.row import Row
from worker.cli.options import REVERIFY_AFTER, load_dotenv, says_what_is_wrong
from worker.views.console import Exit, console
from worker.views.forecast import counted, forecast_view
from worker.views.progress import Progress

ROWS_A_LOOK: Final = 1_000
"""Rows between two looks at the clock."""


class Share(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """A share such as 10%."""

    name = "SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, or fail with how it is written."""
        match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%", str(value).strip(), re.ASCII)
        if match is None or float(match[1]) > 100:
            self.fail("write it as 10%, from 0% to 100%", param, ctx)
        return float(match[1]) / 100


class Mapping(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """Columns by what they hold, such as number=Phone,alias=Name."""

    name = "MAP"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """Read it, or fail with how it is written; a comma before no `name=` belongs to the column's name."""
        pairs = [piece.partition("=")[::2] for piece in re.split(r",(?=\s*[a-z]+=)", value)]
        mapping = {role.strip(): column.strip() for role, column in pairs}
        if len(mapping) < len(pairs) or not all(role and column for role, column in mapping.items()):
            self.fail("write it as number=Phone,alias=Name", param, ctx)
        return mapping


@click.command(name="import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--batch", metavar="NAME", help="The batch's name  [default: the first file's]")
@click.option("--region", help="Country of numbers without one, such as US  [default: RINGPROOF_REGION]")
@click.option(
    "--channel", type=click.Choice(CHANNELS), default="sms", show_default=True, help="For rows that name none."
)
@click.option("--map", "mapping", type=Mapping(), metavar="number=Phone,alias=Name", help="Which column holds what.")
@click.option("--dry-run", is_flag=True, help="End after the summary; nothing is imported.")
@click.option("--rejects", metavar="FILE", help="Write the rejected rows there, to be corrected and imported.")
@click.option(
    "--max-reject-share", "most", type=Share(), default="10%", show_default=True, help="Import nothing beyond it."
)
@REVERIFY_AFTER
@click.option("--paused", is_flag=True, help="Send nothing before ringproof batch resume NAME.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@says_what_is_wrong
def import_(
    files: Sequence[str],
    batch: str | None,
    region: str | None,
    channel: str,
    mapping: dict[str, str] | None,
    rejects: str | None,
    most: float,
    reverify_after_days: int | None,
    *,
    dry_run: bool,
    paused: bool,
    yes: bool,
) -> None:
    """Send a code to each number of a roster.

    FILE is CSV (comma, semicolon, tab) or NDJSON, packed with gzip or not; - is standard input. Several are one batch.
    Columns are known by their names, such as Phone or msisdn, or by their numbers.

    Nothing is sent before all was read. On a terminal it then says what would happen, and asks; Ctrl-C until then
    leaves nothing. The same command after a kill goes on where it was.
    """
    load_dotenv()
    name = _name(files, batch)
    home = region or runtime.settings().region
    ledger = runtime.ledger()
    with _one_interrupt(), ExitStack() as opened:
        try:
            rosters = [
                opened.enter_context(open_roster(file, mapping=mapping, region=home, channel=channel)) for file in files
            ]
            intake = Intake(files, rosters, rejects, most)
            if dry_run:
                intake.read()
                _sum_up(intake, ledger, may_be_absent=True)
                console().print("nothing was imported: --dry-run")
                return
            source = ", ".join(one.name for one in rosters)[:200]
            with begin_import(ledger, name, fingerprint=fingerprint_of(rosters), source=source) as importing:
                _fill(importing, intake, ledger, asks=None if yes else _terminal(files))
                found = importing.finish(paused=paused, reverify_after_days=reverify_after_days)
        except KeyboardInterrupt:
            _end("interrupted; nothing was imported")
        except errors.LedgerUnavailable:
            console(stderr=True).print("what is in Redis by now stays there; the same command goes on where it was")
            raise
    shown = shlex.quote(name)
    then = f"to go on: ringproof batch resume {shown}" if paused else f"to watch: ringproof batch show {shown} --watch"
    console().print(f"{name}: {found.rows:,} rows are in{', paused' if paused else ''}; {then}")


class Intake:
    """Reads rosters to their end, and counts; rejects are written, rows handed on."""

    def __init__(self, files: Sequence[str], rosters: Sequence[Roster], rejects: str | None, most: float) -> None:
        self.tally = Tally()
        self._files, self._rosters, self._most = files, rosters, most
        self._rejects = _a_file_each(rejects, files) if rejects else None

    def read(self, importing: BatchImport | None = None) -> None:
        """Read all, and hand it on.

        Raises `InvalidRoster` if too many rows are rejected, or all; the rejects are written then, too. Raises
        `BatchExists` if an earlier run has put in other rows than these.
        """
        passed = importing.already_stored if importing else 0
        if passed:
            console(stderr=True).print(f"an earlier run has put {passed:,} rows in; going on after them")
        with ExitStack() as opened, Progress(self._rosters) as progress:
            files = [
                opened.enter_context(Rejects(path, roster))
                for path, roster in zip(self._rejects or (), self._rosters, strict=bool(self._rejects))
            ]
            for at, roster in enumerate(self._rosters):
                self._read(roster, files[at] if files else None, importing, progress)
        self._refuse_too_many()
        if importing:
            importing.flush()

    def _read(self, roster: Roster, rejects: Rejects | None, importing: BatchImport | None, progress: Progress) -> None:
        tally = self.tally
        for number, outcome in enumerate(roster, tally.rows + 1):
            if isinstance(outcome, Row):
                tally.add(outcome)
                if importing:
                    importing.add(outcome)
            elif rejects:
                rejects.write(outcome)
            if not number % ROWS_A_LOOK:
                progress.tell(number)
        tally.reasons.update(roster.reasons)

    def _refuse_too_many(self) -> None:
        tally, reasons = self.tally, self.tally.reasons
        if tally.channels and tally.rejected_share <= self._most:
            return
        if reasons["no_country"] * 2 > reasons.total():
            remedy = "most have no country code: name the country with --region US, or write them with one"
        else:
            remedy = "correct them" + ("" if self._rejects else " (--rejects FILE writes them into one)")
        if tally.channels:
            remedy += f"; or allow more than {self._most * 100:g}% with --max-reject-share"
        told = f"{reasons.total():,} of {tally.rows:,} rows are rejected ({counted(reasons)})"
        raise errors.InvalidRoster(", ".join(roster.name for roster in self._rosters), told, remedy)


def _fill(importing: BatchImport, intake: Intake, ledger: Ledger, asks: TextIO | None) -> None:
    """Put all rows in, and ask whether they are to be sent to; leave nothing if they are not, or cannot be read."""
    try:
        intake.read(importing)
        _sum_up(intake, ledger)
        if asks and not _agreed(asks):
            _end("nothing was imported")
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # from here on it is begun, or it is not
    except (KeyboardInterrupt, errors.InvalidRoster, errors.Unwritable, click.exceptions.Exit, OSError, SystemExit):
        importing.abandon()  # the last two: nobody could read the summary, and rich ends so when its pipe is closed
        raise


def _sum_up(intake: Intake, ledger: Ledger, *, may_be_absent: bool = False) -> None:
    """Say what would happen; of a dry run also without Redis."""
    try:
        found = forecast(intake.tally, ledger)
    except errors.LedgerUnavailable as error:
        if not may_be_absent:
            raise
        console(stderr=True).print(f"without what is known of the numbers, and the pace: {error}")
        found = forecast(intake.tally, None)
    console().print(forecast_view(intake.tally, found))


def _agreed(answers: TextIO) -> bool:
    console().print("Send these codes? They live 15 minutes. [y/N] ", end="")
    sys.stdout.flush()
    return answers.readline().strip().lower() in {"y", "yes"}


def _terminal(files: Sequence[str]) -> TextIO | None:
    """Return where a person answers, or None if nobody is there; a roster on standard input leaves /dev/tty to them."""
    if not sys.stdout.isatty():
        return None
    if "-" not in files:
        return sys.stdin if sys.stdin.isatty() else None
    with suppress(OSError):
        return Path("/dev/tty").open()
    return None


def _name(files: Sequence[str], batch: str | None) -> str:
    """Return the batch's name."""
    if len(set(files)) < len(files):
        raise click.UsageError("A FILE is named twice.")
    if "-" in files and sys.stdin.isatty():
        raise click.UsageError("Standard input is a terminal. Pipe a roster into it, or name a FILE.")
    if batch is not None:
        return check_name(batch)
    if files[0] == "-":
        raise click.UsageError("What comes on standard input has no name. Give the batch one: --batch NAME")
    return check_name(_stem(files[0]))


def _stem(file: str) -> str:
    return Path(Path(file).name.removesuffix(".gz")).stem


def _a_file_each(path: str, files: Sequence[str]) -> list[str]:
    """Return where the rejects of each file go: of several, each has a file of its own kind, with its name in it."""
    if len(files) == 1:
        return [path]
    place = Path(path)
    stems = [_stem(file) for file in files]
    unique = [f"{stem}-{at}" if stems.count(stem) > 1 else stem for at, stem in enumerate(stems, 1)]
    return [str(place.with_name(f"{place.stem}.{stem}{place.suffix}")) for stem in unique]


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Have the first Ctrl-C interrupt; later ones disturb neither the clearing away nor the end after it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)


def _end(told: str) -> None:
    console().print(told)
    raise click.exceptions.Exit(Exit.REFUSED)

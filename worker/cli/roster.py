"""`ringproof import`: read rosters, show a forecast, ask, and make a batch of them."""

import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

import click
from rich.console import Console
from rich.text import Text

from ringproof import errors, runtime
from ringproof.batches.forecast import Forecast, Tally, forecast
from ringproof.batches.importing import NO_PRICES, BatchImport, begin_import
from ringproof.batches.model import check_name
from ringproof.batches.prices import Payment, Prices
from ringproof.ledger.ledger import Ledger
from ringproof.phone.number import CHANNELS
from ringproof.rosters.rejects import Rejects
from ringproof.rosters.roster import Roster, fingerprint_of, open_roster
from ringproof.rosters.row import Row
from worker.cli.account import account_ledger
from worker.cli.audit import AS, note
from worker.cli.costs import BUDGET, CURRENCY, PRICE, payment_of, refuse_over_budget
from worker.cli.options import JSON, REVERIFY_AFTER, YES, load_dotenv, reports_errors
from worker.views.batch import batch_json
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.forecast import forecast_json, forecast_view, lost_plus_text, reasons_text
from worker.views.progress import ReadingProgress
from worker.views.text import counted

ROWS_PER_PROGRESS: Final = 1_000
"""Rows after which the progress may be shown again: so seldom, it costs no time."""


MOST_UNASKED: Final = 100
"""Rows that are sent without --yes if there is no terminal: a roster in a pipe must not be sent by accident."""


class Share(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """A share such as 10%."""

    name = "SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the share, or fail with how to write it."""
        match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%", str(value).strip(), re.ASCII)
        if match is None or float(match[1]) > 100:
            self.fail(f"{value!r} is not allowed; write 10%, from 0% to 100%", param, ctx)
        return float(match[1]) / 100


class Mapping(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """The columns of a roster by their contents, such as number=Phone,alias=Name."""

    name = "MAP"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """Return the mapping, or fail with how to write it.

        A comma is part of a column's name if no `name=` comes after it.
        """
        pairs = [piece.partition("=")[::2] for piece in re.split(r",(?=\s*[a-z]+=)", value)]
        mapping = {role.strip(): column.strip() for role, column in pairs}
        if len(mapping) < len(pairs) or not all(role and column for role, column in mapping.items()):
            self.fail(f"{value!r} is not allowed; write number=Phone,alias=Name", param, ctx)
        return mapping


@click.command(name="import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--batch", metavar="NAME", help="The name of the batch  [default: the name of the first file]")
@click.option("--region", help="The country of numbers without one, such as US  [default: RINGPROOF_REGION]")
@click.option(
    "--channel",
    type=click.Choice(CHANNELS, case_sensitive=False),
    default="sms",
    show_default=True,
    help="For rows without a channel.",
)
@click.option(
    "--plus", is_flag=True, help="Read numbers that begin with 1 to 9 as international ones whose + was lost."
)
@click.option("--map", "mapping", type=Mapping(), metavar="number=Phone,alias=Name", help="What the columns contain.")
@click.option("--dry-run", is_flag=True, help="Show the forecast, and import nothing.")
@click.option("--rejects", metavar="FILE", help="Write the rejected rows to this file; correct and import it.")
@click.option(
    "--max-reject-share",
    "most",
    type=Share(),
    default="10%",
    show_default=True,
    help="If more rows are rejected, import nothing.",
)
@REVERIFY_AFTER
@click.option("--no-columns", is_flag=True, help="Do not keep the roster's columns and rejected rows for the export.")
@click.option("--paused", is_flag=True, help="Send nothing until ringproof batch resume NAME.")
@PRICE
@BUDGET
@CURRENCY
@YES
@JSON
@AS
@reports_errors
def import_(
    files: Sequence[str],
    batch: str | None,
    region: str | None,
    channel: str,
    mapping: dict[str, str] | None,
    rejects: str | None,
    most: float,
    reverify_after_days: int | None,
    prices: Prices | None,
    budget: Decimal | None,
    currency: str | None,
    actor: str | None,
    *,
    plus: bool,
    dry_run: bool,
    no_columns: bool,
    paused: bool,
    yes: bool,
    prints_json: bool,
) -> None:
    """Send a code to each number of a roster.

    FILE is CSV (comma, semicolon, tab, bar) or NDJSON, also packed with gzip. Use - to read standard input. Several
    files become one batch. The command finds the columns by their names, such as Phone or msisdn, or by their contents.

    Nothing is sent before all rows were read. The command then shows a forecast and, on a terminal, asks. Without a
    terminal it refuses more than 100 rows unless --yes or --paused is given. A no, or Ctrl-C until then, leaves nothing
    behind. If the command is killed, the same command continues where it was.

    With --price the forecast and ringproof batch show have what the codes cost, by your own prices. With --budget the
    command imports nothing that would cost more, and the batch pauses before it costs more.

    The batch keeps all columns of the roster, for ringproof batch export. --json prints the batch as ringproof batch
    show does, with --dry-run the forecast; everything else goes to standard error.
    """
    payment = payment_of(prices, budget, currency)
    load_dotenv()
    name = _name(files, batch)
    home_region = region or runtime.settings().region
    ledger, say = account_ledger(), console(stderr=prints_json)
    with only_first_interrupt(), ExitStack() as opened:
        try:
            rosters = [
                opened.enter_context(open_roster(file, mapping=mapping, region=home_region, channel=channel, plus=plus))
                for file in files
            ]
            reader = RosterReader(files, rosters, rejects, most, keeps_columns=not no_columns)
            if dry_run:
                reader.read()
                expected = _forecast(reader.tally, ledger, works_without_redis=True)
                if prints_json:
                    click.echo(forecast_json(reader.tally, expected, payment))
                else:
                    say.print(forecast_view(reader.tally, expected, rosters, payment))
                    say.print("nothing was imported: --dry-run")
                refuse_over_budget(payment, expected, "imported")
                return
            source = ", ".join(roster.name for roster in rosters)[:200]
            with begin_import(ledger, name, fingerprint=fingerprint_of(rosters), source=source) as importing:
                _import_rows(importing, reader, ledger, files, say, payment, yes=yes, paused=paused)
                note(actor, "import", f"{name}: {counted(reader.tally.channels.total(), 'row')}")
                imported = importing.finish(paused=paused, reverify_after_days=reverify_after_days, payment=payment)
        except KeyboardInterrupt:
            _end("interrupted; nothing was imported", say)
        except errors.LedgerUnavailable:
            console(stderr=True).print("the rows in Redis stay there; the same command goes on where it was")
            raise
    quoted = shlex.quote(name)
    then = f"to send: ringproof batch resume {quoted}" if paused else f"to watch: ringproof batch show {quoted} --watch"
    are_in = f"{counted(imported.rows, 'row')} {'is' if imported.rows == 1 else 'are'} in"
    if prints_json:
        click.echo(batch_json(imported))
    else:
        say.print(f"{name}: {are_in}{', paused' if paused else ''}; {then}")


class RosterReader:
    """Reads rosters to their end and counts their rows. Good rows are imported, and rejected ones written to a file."""

    def __init__(
        self, files: Sequence[str], rosters: Sequence[Roster], rejects: str | None, most: float, *, keeps_columns: bool
    ) -> None:
        self.tally = Tally()
        self.rosters, self._most, self._keeps_columns = rosters, most, keeps_columns
        self._rejects = _rejects_paths(rejects, files) if rejects else None

    def read(self, importing: BatchImport | None = None) -> None:
        """Read all rosters, and import their rows if there is an import.

        Raises `InvalidRoster` if too many rows are rejected, or all; the rejects are written then, too. Raises
        `BatchExists` if an earlier run has imported other rows than these.
        """
        already = importing.already_stored if importing else 0
        if already:
            console(stderr=True).print(f"an earlier run has imported {counted(already, 'row')}; going on after them")
        with ExitStack() as opened, ReadingProgress(self.rosters) as progress:
            files = [
                opened.enter_context(Rejects(path, roster))
                for path, roster in zip(self._rejects or (), self.rosters, strict=bool(self._rejects))
            ]
            for at, roster in enumerate(self.rosters):
                self._read(roster, files[at] if files else None, importing, progress)
        self._refuse_too_many()
        if importing:
            importing.flush()

    def _read(
        self, roster: Roster, rejects: Rejects | None, importing: BatchImport | None, progress: ReadingProgress
    ) -> None:
        tally = self.tally
        if importing and self._keeps_columns:
            importing.keep_columns(roster.columns, file=roster.name if len(self.rosters) > 1 else None)
        for number, outcome in enumerate(roster, tally.rows + 1):
            if isinstance(outcome, Row):
                tally.add(outcome)
                if importing:
                    importing.add(outcome)
            else:
                if rejects:
                    rejects.write(outcome)
                if importing:
                    importing.add_rejected(outcome)
            if not number % ROWS_PER_PROGRESS:
                progress.show(number)
        tally.add_rejected(roster)

    def _refuse_too_many(self) -> None:
        tally, reasons = self.tally, self.tally.reasons
        if tally.channels and tally.rejected_share <= self._most:
            return
        if tally.lost_plus * 2 > tally.rejected:
            remedy = lost_plus_text(tally.lost_plus)
        elif reasons["no_country"] * 2 > tally.rejected:
            remedy = "most have no country code; name the country with --region US, or write the numbers with one"
        else:
            remedy = "correct them" + ("" if self._rejects else " (--rejects FILE writes them to a file)")
        if tally.channels:
            remedy += f"; or allow more than {self._most * 100:g}% with --max-reject-share"
        empty = reasons["empty"]
        if tally.rejected or not empty:
            rejected = f"{tally.rejected:,} of {tally.rows - empty:,} rows are rejected ({reasons_text(reasons)})"
            rejected += (
                f", and {counted(empty, 'row')} more {'has' if empty == 1 else 'have'} no number" if empty else ""
            )
        else:
            rejected = f"no row has a number ({counted(empty, 'row')})"
            remedy = "say which column has the numbers, with --map number=COLUMN"
        raise errors.InvalidRoster(", ".join(roster.name for roster in self.rosters), rejected, remedy)


def _import_rows(
    importing: BatchImport,
    reader: RosterReader,
    ledger: Ledger,
    files: Sequence[str],
    say: Console,
    payment: Payment,
    *,
    yes: bool,
    paused: bool,
) -> None:
    """Import all rows, and ask whether to send their codes. After a no, or an error, leave nothing behind."""
    try:
        reader.read(importing)
        refuse_over_budget(payment, print_forecast(reader.tally, ledger, say, reader.rosters, payment), "imported")
        confirm_sending(reader.tally, say, files=files, yes=yes, paused=paused, noun="imported")
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the batch now begins as a whole, or not at all
    except (KeyboardInterrupt, errors.InvalidRoster, errors.Unwritable, click.exceptions.Exit, OSError, SystemExit):
        importing.abandon()  # the last two: the forecast could not be printed; rich exits when its pipe is closed
        raise


def confirm_sending(
    tally: Tally, say: Console, *, files: Sequence[str], yes: bool, paused: bool = False, noun: str
) -> None:
    """Ask on a terminal whether to send. End the command after a no, and without a terminal to ask on for many rows."""
    answers = None if yes else _terminal(files)
    if answers and not _is_agreed(answers, say, paused=paused):
        _end(f"nothing was {noun}", say)
    if not (answers or yes or paused) and tally.channels.total() > MOST_UNASKED:
        why = f"nothing was {noun}: there is no terminal to ask on, and more than {MOST_UNASKED} rows; to send: --yes"
        console(stderr=True).print(Text.assemble(("error: ", "red"), why))
        raise click.exceptions.Exit(Exit.REFUSED)


def print_forecast(
    tally: Tally, ledger: Ledger, say: Console, rosters: Sequence[Roster] = (), payment: Payment = NO_PRICES
) -> Forecast:
    """Print what the import would do, and return it."""
    expected = _forecast(tally, ledger)
    say.print(forecast_view(tally, expected, rosters, payment))
    return expected


def _forecast(tally: Tally, ledger: Ledger, *, works_without_redis: bool = False) -> Forecast:
    """Return what the import would do. A dry run works without Redis: it then knows no records and no pace."""
    try:
        return forecast(tally, ledger)
    except errors.LedgerUnavailable as error:
        if not works_without_redis:
            raise
        console(stderr=True).print(f"the forecast does not know the numbers' records, nor the pace: {error.message}")
        return forecast(tally, None)


def _is_agreed(answers: TextIO, say: Console, *, paused: bool) -> bool:
    question = "Import these rows? Nothing is sent yet." if paused else "Send these codes? Each works for 15 minutes."
    say.print(Text(f"{question} [y/N] "), end="")
    say.file.flush()
    return answers.readline().strip().lower() in {"y", "yes"}


def _terminal(files: Sequence[str]) -> TextIO | None:
    """Return where a person can answer: /dev/tty if standard input is a roster, or None without a terminal."""
    if not sys.stdout.isatty():
        return None
    if "-" not in files:
        return sys.stdin if sys.stdin.isatty() else None
    with suppress(OSError):
        return Path("/dev/tty").open()
    return None


def _name(files: Sequence[str], batch: str | None) -> str:
    """Return the name of the batch: --batch, or else the name of the first file."""
    if len(set(files)) < len(files):
        raise click.UsageError("A FILE is named twice. Name each once.")
    if "-" in files and sys.stdin.isatty():
        raise click.UsageError("Standard input is a terminal. Pipe a roster into it, or name a FILE.")
    if batch is not None:
        return check_name(batch)
    if files[0] == "-":
        raise click.UsageError("Standard input has no name. Name the batch: --batch NAME")
    return check_name(_stem(files[0]))


def _stem(file: str) -> str:
    return Path(Path(file).name.removesuffix(".gz")).stem


def _rejects_paths(path: str, files: Sequence[str]) -> list[str]:
    """Return the file for the rejects of each roster. Their columns may differ, so that several rosters have one each.

    `rejects.a.csv` and `rejects.b.csv` for `a.csv` and `b.csv`.
    """
    if len(files) == 1:
        return [path]
    place = Path(path)
    stems = [_stem(file) for file in files]
    unique = [f"{stem}-{at}" if stems.count(stem) > 1 else stem for at, stem in enumerate(stems, 1)]
    return [str(place.with_name(f"{place.stem}.{stem}{place.suffix}")) for stem in unique]


@contextmanager
def only_first_interrupt() -> Iterator[None]:
    """Let the first Ctrl-C interrupt, and ignore the later ones: they must not disturb the clean-up after it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)


def _end(why: str, say: Console) -> None:
    """Say why the command ends, and end it with exit code 1."""
    say.print(why)
    raise click.exceptions.Exit(Exit.REFUSED)

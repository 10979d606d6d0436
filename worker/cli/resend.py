"""`ringproof batch resend`: ask those again who did not answer."""

import shlex
import signal
import sys

import click
from rich.console import Console

from ringproof import errors
from ringproof.batches.costs import payment_of_resend
from ringproof.batches.forecast import Tally
from ringproof.batches.importing import BatchImport, begin_import
from ringproof.batches.model import BatchState
from ringproof.batches.resend import RowCopier, UnansweredRows, finish_resend, resend_name
from ringproof.ledger.ledger import Ledger
from worker.cli.account import account_ledger
from worker.cli.audit import AS, note
from worker.cli.batch import end_unchanged, existing_batch
from worker.cli.costs import refuse_over_budget
from worker.cli.options import JSON, YES, load_dotenv, reports_errors
from worker.cli.roster import confirm_sending, only_first_interrupt, print_forecast
from worker.views.batch import batch_json
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.text import counted


@click.command()
@click.argument("name")
@click.option("--unanswered", is_flag=True, required=True, help="The rows whose code was sent and not entered.")
@YES
@JSON
@AS
@reports_errors
def resend(name: str, actor: str | None, *, unanswered: bool, yes: bool, prints_json: bool) -> None:  # noqa: ARG001  # it says which rows; there is one choice
    """Send codes again to the rows of a batch that did not answer.

    They become a new batch, NAME-resend, to which the old one points. Numbers that are verified by now are left out,
    and so are those whose code may still work. Caps and the cooldown apply. A budget counts for both batches together.
    The command shows a forecast and, on a terminal, asks. --json prints the new batch as ringproof batch show does, and
    everything else goes to standard error. The exit code is 1 if there is no such row.
    """
    load_dotenv()
    ledger, say = account_ledger(), console(stderr=prints_json)
    before = existing_batch(ledger, name)
    if before.state is BatchState.IMPORTING:
        end_unchanged(before, "resend", prints_json=prints_json)
    new_name = resend_name(ledger, name)
    with (
        only_first_interrupt(),
        begin_import(ledger, new_name, fingerprint=None, source=f"{name}, resent") as importing,
    ):
        try:
            _fill(ledger, name, importing, say, yes=yes)
        except KeyboardInterrupt:
            importing.abandon()
            say.print("interrupted; nothing was sent")
            raise click.exceptions.Exit(Exit.REFUSED) from None
        except (errors.BatchExists, click.exceptions.Exit, OSError, SystemExit):
            importing.abandon()
            raise
        note(actor, "batch resend", name)
        resent = finish_resend(ledger, name, importing)
    if prints_json:
        click.echo(batch_json(resent))
        return
    quoted = shlex.quote(resent.name)
    say.print(
        f"{resent.name}: {counted(resent.rows, 'row')} of {name} {'is' if resent.rows == 1 else 'are'} in; "
        f"to watch: ringproof batch show {quoted} --watch"
    )


def _fill(ledger: Ledger, name: str, importing: BatchImport, say: Console, *, yes: bool) -> None:
    """Add the unanswered rows, show the forecast, and ask. End the command if there is no such row, or after a no."""
    tally, rows = Tally(), UnansweredRows(ledger, name)
    copier = RowCopier(ledger, name, importing)
    for row in rows:
        tally.add(copier.add(row))
    live = f"{counted(rows.live, 'code')} may still work" if rows.live else ""
    if not tally.rows:
        say.print(f"no row of {name} is unanswered{'; ' + live if live else ''}")
        sys.exit(Exit.REFUSED)
    importing.flush()
    payment = payment_of_resend(ledger, name)
    expected = print_forecast(tally, ledger, say, payment=payment)
    if live:
        say.print(f"left out: {live}")
    refuse_over_budget(payment, expected, "sent")
    confirm_sending(tally, say, files=(), yes=yes, noun="sent")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the batch now begins as a whole, or not at all

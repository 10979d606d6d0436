"""The commands that change single numbers: initiate, confirm, remove and erase."""

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NoReturn

import click
from celery.exceptions import TimeoutError as CeleryTimeoutError

from ringproof import errors, runtime
from ringproof.batches.erasure import Rewrite, erase_number, rewrite_append_only_file
from ringproof.celery.app import app
from ringproof.ledger.confirmation import check_code, veil
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.ledger.removal import order_removal
from ringproof.phone.caller_id import is_empty
from ringproof.phone.masking import mask
from ringproof.phone.number import CHANNELS, parse
from tasks import confirm_verification, initiate_verification
from tasks.removal import REMOVE
from worker.cli.account import account_ledger, account_name
from worker.cli.audit import AS, note
from worker.cli.options import JSON, REGION, REVERIFY_AFTER, YES, e164_of, load_dotenv, numbers_of, reports_errors
from worker.views.console import console, lines
from worker.views.exit_code import Exit
from worker.views.patience import START_A_WORKER
from worker.views.results import ResultPrinter
from worker.views.text import json_line
from worker.views.watcher import RequestWatcher

SECONDS = 30.0
"""How long a command waits for a worker's answer: a slot, Plivo's 10 s, and the same again if an answer is lost."""

REWRITE = click.option(
    "--rewrite", "rewrites", is_flag=True, help="Have Redis rewrite its append-only file, which still has the number."
)


@click.command()
@click.argument("numbers", nargs=-1, metavar="NUMBER...")
@click.option("--alias", help="The name that Plivo shows for the number, 1 to 255 characters.")
@click.option(
    "--channel",
    type=click.Choice(CHANNELS, case_sensitive=False),
    default="sms",
    show_default=True,
    help="auto: a landline gets a call.",
)
@click.option("--subaccount", help="The auth id of the Plivo subaccount that the number is for (SA…).")
@REGION
@REVERIFY_AFTER
@click.option("--resend", is_flag=True, help="Send a new code even if one is live, after the cooldown.")
@click.option("--no-wait", is_flag=True, help="End as soon as the requests are accepted, with exit code 0.")
@click.option("--json", "prints_json", is_flag=True, help="Print each record as a line of JSON, unmasked.")
@reports_errors
def initiate(numbers: tuple[str, ...], region: str | None, *, no_wait: bool, prints_json: bool, **request: Any) -> None:
    """Send a code to each NUMBER, and report the results.

    Use - to read numbers from standard input, one a line. Without a NUMBER they are read there, too.

    The command waits for each result. After 5 s without progress it says why, and after 60 s it ends with exit code 3.
    It does not wait for a number that is not due within 60 s. Accepted requests go on without the command; ringproof
    status NUMBER shows each.
    """
    load_dotenv()
    home_region = region or runtime.settings().region
    options = {"region": home_region, "account": account_name(), **request}
    watcher = RequestWatcher(account_ledger(), ResultPrinter(prints_json, is_done_once_accepted=no_wait))
    try:
        for written in numbers_of(numbers):
            try:
                number = parse(written, home_region).e164
                if number not in watcher.accepted:
                    watcher.accept(number, initiate_verification.delay(written, **options).id)
            except (errors.InvalidNumber, errors.CoolingDown, errors.Capped) as error:
                watcher.results.refused(written, error)
            watcher.poll()
        watcher.wait()
    except KeyboardInterrupt:
        watcher.stop("interrupted")
    except errors.LedgerUnavailable:
        watcher.stop("stopped")
        raise
    if not watcher.results.exits:
        raise click.UsageError("Standard input has no number. Write one on each line.")
    watcher.results.sum_up()
    sys.exit(watcher.results.exit)


@click.command()
@click.argument("number")
@REGION
@JSON
@reports_errors
def confirm(number: str, region: str | None, *, prints_json: bool) -> None:
    """Enter the code that a NUMBER got.

    On a terminal the command asks for the code and does not show it. Otherwise it reads the code from standard input.
    It ends with exit code 1 if the code is wrong or too old. Exit code 3 means that it is not known whether the code
    is right: then enter it again.
    """
    load_dotenv()
    number = e164_of(number, region)
    entered = veil(click.prompt("Code", hide_input=True, err=True) if sys.stdin.isatty() else _first_line())
    try:
        code = check_code(entered)
    except errors.InvalidRequest as error:
        raise click.UsageError(f"The code is {error.remedy}.") from None
    try:
        verified = confirm_verification.delay(number, code, account=account_name()).get(timeout=SECONDS)
    except errors.NotConfirmed as error:
        if prints_json:
            fields = {name: value for name, value in vars(error).items() if isinstance(value, str | int | datetime)}
            shown = {"phone_number": number, "error": type(error).__name__, "message": error.message}
            click.echo(json_line(shown | fields))
        else:
            console().print(f"not confirmed {mask(number)}: {error}")
        sys.exit(Exit.UNFINISHED if isinstance(error, errors.Unconfirmed) else Exit.REFUSED)
    except CeleryTimeoutError:
        _end_without_answer("It may have taken the code: enter it again")
    if prints_json:
        click.echo(json_line({"phone_number": number, **verified}))
    else:
        console().print(f"{mask(number)} is verified")


@click.command()
@click.argument("number")
@REGION
@REWRITE
@YES
@JSON
@AS
@reports_errors
def remove(number: str, region: str | None, actor: str | None, *, rewrites: bool, yes: bool, prints_json: bool) -> None:
    """Delete a verified NUMBER at Plivo, and erase it here.

    The number cannot be a caller ID until it is verified again. The command asks first. It ends with exit code 1 if
    the number was neither verified at Plivo nor known here.
    """
    load_dotenv()
    number = e164_of(number, region)
    if not yes:
        click.confirm(f"Remove {mask(number)} at Plivo and here?", abort=True, err=True)
    note(actor, "remove", mask(number))
    message = {"queue": queue(Lane.INTERACTIVE), "argsrepr": f"('{mask(number)}',)"}
    try:
        handle, account = order_removal(account_ledger(), number), account_name()
        named = {"account": account} if account else {}
        removed = app.send_task(REMOVE, (handle,), named, **message).get(timeout=SECONDS)
    except CeleryTimeoutError:
        _end_without_answer("It may have removed the number: remove it again, which is safe")
    at_plivo = "removed at Plivo" if removed["at_plivo"] else "not verified at Plivo"
    text = f"{mask(number)}: {at_plivo}, {'erased here' if removed['here'] else 'unknown here'}"
    _rewrite_and_end(
        text,
        {"phone_number": number, **removed},
        is_wanted=rewrites,
        was_known=removed["at_plivo"] or removed["here"],
        prints_json=prints_json,
    )


@click.command()
@click.argument("number")
@REGION
@REWRITE
@YES
@JSON
@AS
@reports_errors
def erase(number: str, region: str | None, actor: str | None, *, rewrites: bool, yes: bool, prints_json: bool) -> None:
    """Delete a NUMBER here: its record, its history, its requests.

    A request that has not begun sends nothing. At Plivo the number stays as it is; ringproof remove deletes it there,
    too. While a code may be live, or the number's caps count, Ringproof remembers that without the number. The command
    asks first. It ends with exit code 1 if the number was unknown, and --rewrite had nothing to do.
    """
    load_dotenv()
    number = e164_of(number, region)
    if not yes:
        click.confirm(f"Delete everything that is known here about {mask(number)}?", abort=True, err=True)
    note(actor, "erase", mask(number))
    is_erased = erase_number(account_ledger(), number)
    text = f"{mask(number)} is {'erased' if is_erased else 'unknown here'}"
    fields = {"phone_number": number, "here": is_erased}
    _rewrite_and_end(text, fields, is_wanted=rewrites, was_known=is_erased, prints_json=prints_json)


_REWRITES: Final[Mapping[Rewrite | None, str]] = {
    Rewrite.BUSY: "Redis is rewriting its append-only file since before; use --rewrite again when it has ended",
    Rewrite.STARTED: "Redis is rewriting its append-only file; its backups are yours to clean",
    Rewrite.NO_FILE: "Redis keeps no append-only file; its next snapshot will not have the number",
}


def _rewrite_and_end(
    text: str, fields: Mapping[str, Any], *, is_wanted: bool, was_known: bool, prints_json: bool
) -> NoReturn:
    """Have Redis rewrite its append-only file, if that is wanted. Print what was done, and end the command."""
    rewrite = rewrite_append_only_file(account_ledger()) if is_wanted else None
    if prints_json:
        click.echo(json_line({**fields, "rewrite": rewrite.name.lower() if rewrite else None}))
    else:
        console().print(lines(filter(None, (text, _REWRITES.get(rewrite)))))
    if rewrite is Rewrite.BUSY:
        sys.exit(Exit.UNFINISHED)
    sys.exit(Exit.DONE if was_known or rewrite is Rewrite.STARTED else Exit.REFUSED)


def _first_line() -> str:
    """Return the first line on standard input that is not empty."""
    lines = (line.decode(errors="replace") for line in sys.stdin.buffer)
    return next((line for line in lines if not is_empty(line)), "")


def _end_without_answer(then: str) -> NoReturn:
    """Say that no worker answered in time, and end."""
    console(stderr=True).print(f"no answer within {SECONDS:.0f} s. Is a worker running ({START_A_WORKER})? {then}")
    sys.exit(Exit.UNFINISHED)

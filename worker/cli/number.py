"""The commands about one number: send it a code, see where it stands, confirm, cancel, remove and erase it."""

import json
import sys
from typing import Any

import click
from celery.exceptions import TimeoutError as CeleryTimeoutError

from ringproof import errors, runtime
from ringproof.batches.erasure import erase_number
from ringproof.celery.app import app
from ringproof.ledger import reverification
from ringproof.ledger.answers import Settled
from ringproof.ledger.confirmation import check_code
from ringproof.ledger.control import sending_status
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask
from ringproof.phone.number import CHANNELS, parse
from tasks import confirm_verification, initiate_verification
from tasks.removal import REMOVE
from worker.cli.options import REVERIFY_AFTER, load_dotenv, numbers_of, says_what_is_wrong
from worker.views.console import Exit, console
from worker.views.follow import START_A_WORKER, Report, Watch, as_json_line, as_unknown
from worker.views.number import next_step, number_view
from worker.views.sending import as_json as situation_as_json
from worker.views.sending import sending_view

SECONDS = 30.0
"""How long an answer is waited for: a slot, Plivo's 10 s, and once more if an answer is lost."""

REGION = click.option("--region", help="Country of a number without one, such as US  [default: RINGPROOF_REGION]")
YES = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


@click.command()
@click.argument("number")
@REGION
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON.")
@says_what_is_wrong
def confirm(number: str, region: str | None, *, as_json: bool) -> None:
    """Enter the code that a NUMBER got.

    It is asked for without being shown or, where nobody is at a terminal, read from standard input. Exit 1 if it is
    wrong or too old, 3 if nothing tells: then enter it again.
    """
    load_dotenv()
    known = _known(number, region)
    code = click.prompt("Code", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    try:
        code = check_code(code.strip()).get_secret_value()
    except errors.InvalidRequest as error:
        raise click.UsageError(f"The code is {error.remedy}.") from None
    try:
        told = confirm_verification.delay(known, code).get(timeout=SECONDS)
    except errors.NotConfirmed as error:
        if as_json:
            facts = {name: value for name, value in vars(error).items() if isinstance(value, str | int)}
            click.echo(
                json.dumps({"phone_number": known, "error": type(error).__name__, "message": str(error), **facts})
            )
        else:
            console().print(f"not confirmed {mask(known)}: {error}")
        sys.exit(Exit.UNFINISHED if isinstance(error, errors.Unconfirmed) else Exit.REFUSED)
    except CeleryTimeoutError:
        _nobody_answered("then enter it again")
    if as_json:
        click.echo(json.dumps({"phone_number": known, **told}))
    else:
        console().print(f"{mask(known)} is verified")


@click.command()
@click.argument("number")
@REGION
@YES
@says_what_is_wrong
def remove(number: str, region: str | None, *, yes: bool) -> None:
    """Take a verified NUMBER off Plivo's list, and erase it here.

    It can be no caller ID any more, until it is verified again. It asks first; exit 1 if nobody knew the number.
    """
    load_dotenv()
    known = _known(number, region)
    if not yes:
        click.confirm(f"Remove {mask(known)} at Plivo and here?", abort=True, err=True)
    message = {"queue": queue(Lane.INTERACTIVE), "argsrepr": f"('{mask(known)}',)"}
    try:
        told = app.send_task(REMOVE, (known,), **message).get(timeout=SECONDS)
    except CeleryTimeoutError:
        _nobody_answered("then remove it again, which is safe")
    at_plivo = "removed at Plivo" if told["at_plivo"] else "not verified at Plivo"
    console().print(f"{mask(known)}: {at_plivo}, {'erased here' if told['here'] else 'unknown here'}")
    sys.exit(Exit.DONE if any(told.values()) else Exit.REFUSED)


@click.command()
@click.argument("number")
@REGION
@YES
@says_what_is_wrong
def erase(number: str, region: str | None, *, yes: bool) -> None:
    """Forget a NUMBER here: its record, its history, its requests.

    What has not begun is not sent. At Plivo it stays as it is (ringproof remove). It asks first; exit 1 if the number
    was unknown. That a code may live is remembered until it has ended, without the number.
    """
    load_dotenv()
    known = _known(number, region)
    if not yes:
        click.confirm(f"Erase all that is known here of {mask(known)}?", abort=True, err=True)
    erased = erase_number(runtime.ledger(), known)
    console().print(f"{mask(known)} is {'erased' if erased else 'unknown here'}")
    sys.exit(Exit.DONE if erased else Exit.REFUSED)


def _known(number: str, region: str | None) -> str:
    return parse(number, region or runtime.settings().region).e164


def _nobody_answered(then: str) -> None:
    console(stderr=True).print(
        f"no answer within {SECONDS:.0f} s. Is a worker running ({START_A_WORKER})? It may have been done; {then}"
    )
    sys.exit(Exit.UNFINISHED)


@click.command()
@click.argument("numbers", nargs=-1, metavar="NUMBER...")
@click.option("--alias", help="What Plivo shows for the number, 1 to 255 characters.")
@click.option(
    "--channel", type=click.Choice(CHANNELS), default="sms", show_default=True, help="auto: a landline gets a call."
)
@click.option("--subaccount", help="Auth id of the Plivo subaccount it is for (SA…).")
@click.option("--region", help="Country of numbers without one, such as US  [default: RINGPROOF_REGION]")
@REVERIFY_AFTER
@click.option("--resend", is_flag=True, help="Send a new code although one lives, once the cooldown is over.")
@click.option("--no-wait", is_flag=True, help="End once it is accepted, which then is done (exit 0).")
@click.option("--json", "as_json", is_flag=True, help="Print each record as a line of JSON, unmasked.")
@says_what_is_wrong
def initiate(numbers: tuple[str, ...], region: str | None, *, no_wait: bool, as_json: bool, **request: Any) -> None:
    """Send a code to each NUMBER, and tell what becomes of it.

    Without NUMBER, or for -, numbers are read from standard input, one a line.

    It waits for each outcome. Without progress for 5 s it says why; it ends with exit 3 after 60 s without any, and
    does not wait for a number that is not due by then. What is accepted goes on without it: ringproof status NUMBER.
    """
    load_dotenv()
    home = region or runtime.settings().region
    watch = Watch(runtime.ledger(), Report(as_json, no_wait))
    try:
        for number in numbers_of(numbers):
            try:
                known = parse(number, home).e164
                if known not in watch.accepted:
                    watch.accept(known, initiate_verification.delay(number, region=home, **request).id)
            except (errors.InvalidNumber, errors.CoolingDown, errors.Capped) as error:
                watch.report.refused(number, error)
            watch.look()
        watch.until_done()
    except KeyboardInterrupt:
        watch.abandon("interrupted")
    except errors.LedgerUnavailable:
        watch.abandon("stopped")
        raise
    if not watch.report.exits:
        raise click.UsageError("Standard input holds no number. Write them one a line.")
    watch.report.sum_up()
    sys.exit(watch.report.exit)


@click.command()
@click.argument("number", required=False)
@click.option("--region", help="Country of a number without one, such as US  [default: RINGPROOF_REGION]")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON; a number's record is unmasked.")
@says_what_is_wrong
def status(number: str | None, region: str | None, *, as_json: bool) -> None:
    """Tell where a NUMBER stands, or sending as a whole.

    Of a number: its state, what comes next, and its history. Without one: what pauses the sending, the pace and what
    holds it back, and the queues.
    """
    load_dotenv()
    if number is None:
        found = sending_status(runtime.ledger())
        if as_json:
            click.echo(situation_as_json(found))
        else:
            console().print(sending_view(found))
        return
    known = parse(number, region or runtime.settings().region).e164
    record = runtime.ledger().read(known)
    if as_json:
        click.echo(as_json_line(record) if record else as_unknown(known))
    elif record:
        console().print(number_view(record, reverification.next_date(runtime.ledger(), known)))
    else:
        console().print(f"{mask(known)} is unknown here; to send it a code: ringproof initiate NUMBER")
    sys.exit(Exit.of(record))


@click.command()
@click.argument("number")
@click.option("--region", help="Country of a number without one, such as US  [default: RINGPROOF_REGION]")
@says_what_is_wrong
def cancel(number: str, region: str | None) -> None:
    """Take a NUMBER's request back, if it has not begun.

    Exit 1 if it has: what is being sent cannot be taken back.
    """
    load_dotenv()
    known = parse(number, region or runtime.settings().region).e164
    record = runtime.ledger().read(known)
    if record is None:
        console().print(f"{mask(known)} is unknown here; there is nothing to cancel")
        sys.exit(Exit.REFUSED)
    told = runtime.ledger().cancel(known, record.request)
    if told is Settled.STALE:
        record = runtime.ledger().read(known) or record
        console().print(f"not cancelled: {mask(known)} is {record.state}; {next_step(record)}")
        sys.exit(Exit.REFUSED)
    console().print(f"{mask(known)} is cancelled{'' if told is Settled.SETTLED else ' already'}; nothing is sent")

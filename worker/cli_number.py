"""The commands about one number after its code: confirm it, remove it, erase it."""

import json
import sys

import click
from celery.exceptions import TimeoutError as CeleryTimeoutError

from tasks import confirm_verification
from tasks.removal import REMOVE
from worker import errors, runtime
from worker.celery import app
from worker.command import load_dotenv, says_what_is_wrong
from worker.confirmation import check_code
from worker.erasure import erase as forget
from worker.phone import mask, parse
from worker.record import Lane
from worker.request import queue
from worker.watch import START_A_WORKER, Exit, console

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
    erased = forget(runtime.ledger(), known)
    console().print(f"{mask(known)} is {'erased' if erased else 'unknown here'}")
    sys.exit(Exit.DONE if erased else Exit.REFUSED)


def _known(number: str, region: str | None) -> str:
    return parse(number, region or runtime.settings().region).e164


def _nobody_answered(then: str) -> None:
    console(stderr=True).print(
        f"no answer within {SECONDS:.0f} s. Is a worker running ({START_A_WORKER})? It may have been done; {then}"
    )
    sys.exit(Exit.UNFINISHED)

"""`ringproof cancel`: one number's request, or all of a country, a range of numbers or a lane."""

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final, NoReturn

import click

from ringproof import errors, runtime
from ringproof.batches.cancelling import Selection, cancel_unbegun, count_unbegun
from ringproof.ledger.answers import Settled
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, State
from ringproof.phone.masking import mask
from ringproof.phone.number import parse
from worker.cli.account import account_ledger
from worker.cli.audit import AS, note
from worker.cli.options import JSON, REGION, YES, Country, load_dotenv, print_result, reports_errors
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.number import next_step_text
from worker.views.text import counted

LINE_SECONDS: Final = 10.0
"""The time between two lines of progress. A million requests take some minutes."""


class Range(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """How the numbers of a range begin, such as +1415555."""

    name = "RANGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the plus and the digits, or fail with how to write them."""
        digits = re.sub(r"[ ().-]", "", value)
        if not re.fullmatch(r"\+[1-9]\d{0,8}", digits, re.ASCII):
            self.fail(
                "Write how the numbers begin: a + and 1 to 9 digits, such as +1415555. One number is a NUMBER.",
                param,
                ctx,
            )
        return digits


@click.command()
@click.argument("number", required=False)
@REGION
@click.option("--country", type=Country(), metavar="XX", help="Cancel the requests of this country, such as BR.")
@click.option("--range", "begins", type=Range(), metavar="+1415555", help="Cancel those whose numbers begin so.")
@click.option("--lane", type=click.Choice(list(map(str, Lane))), help="Cancel those in this lane.")
@YES
@JSON
@AS
@reports_errors
def cancel(
    number: str | None,
    region: str | None,
    country: str | None,
    begins: str | None,
    lane: str | None,
    actor: str | None,
    *,
    yes: bool,
    prints_json: bool,
) -> None:
    """Cancel what has not begun, of a NUMBER or of many numbers.

    It cancels a NUMBER's request, or all requests of a country, a range of numbers or a lane. Several options narrow
    the choice together. Then rows of batches that were not fed count, too, unless --lane leaves bulk out, and the
    command asks first. What is accepted later is not cancelled: RINGPROOF_COUNTRIES, or a pause, keeps it from being
    sent. Ctrl-C ends the command; what is cancelled stays so.

    A code that is being sent cannot be taken back. The exit code is 1 if there was nothing to cancel.
    """
    load_dotenv()
    selection = Selection(country, begins, Lane(lane) if lane else None)
    if (number is None) == (selection == Selection()):
        raise click.UsageError("Name a NUMBER, or some of --country, --range and --lane.")
    if number is None:
        _cancel_selected(account_ledger(), selection, actor, yes=yes, prints_json=prints_json)
    else:
        e164 = parse(number, region or runtime.settings().region).e164
        _cancel_number(account_ledger(), e164, actor, prints_json=prints_json)


def _cancel_number(ledger: Ledger, number: str, actor: str | None, *, prints_json: bool) -> None:
    record = ledger.read(number)
    if record is None:
        text = f"{mask(number)} is unknown here; there is nothing to cancel"
        _end_with(text, {"phone_number": number, "state": None, "cancelled": False}, as_json=prints_json)
    note(actor, "cancel", mask(number))
    settled = ledger.cancel(number, record.request)
    fields: dict[str, Any] = {"phone_number": number}
    if settled is Settled.STALE:
        record = ledger.read(number) or record
        text = f"not cancelled: {mask(number)} is {record.state}; {next_step_text(record)}"
        _end_with(text, fields | {"state": record.state, "cancelled": False}, as_json=prints_json)
    text = f"{mask(number)} is cancelled{'' if settled is Settled.SETTLED else ' already'}; nothing is sent"
    print_result(text, fields | {"state": State.CANCELLED, "cancelled": True}, as_json=prints_json)


def _cancel_selected(ledger: Ledger, selection: Selection, actor: str | None, *, yes: bool, prints_json: bool) -> None:
    if not yes:
        count = count_unbegun(ledger, selection)
        if not count:
            _end_with_nothing(selection, prints_json=prints_json)
        click.confirm(f"{counted(count, 'request')} {_text(selection)} can be cancelled. Go on?", abort=True, err=True)
    # The trail masks what may be a number: the beginning of the range is worth more than its end.
    short = replace(selection, range=f"{selection.range[:6]}…") if selection.range else selection
    note(actor, "cancel", _text(short))
    cancelled, shown_at = 0, time.monotonic()
    try:
        for count in cancel_unbegun(ledger, selection):
            cancelled += count
            if time.monotonic() - shown_at >= LINE_SECONDS:
                shown_at = time.monotonic()
                console(stderr=True).print(f"cancelling: {cancelled:,} so far")
    except (KeyboardInterrupt, errors.LedgerUnavailable) as error:
        console(stderr=True).print(
            f"stopped; {counted(cancelled, 'request')} {_are(cancelled)} cancelled, and the same command cancels the "
            "rest"
        )
        if isinstance(error, KeyboardInterrupt):
            sys.exit(Exit.UNFINISHED)
        raise
    if not cancelled:
        _end_with_nothing(selection, prints_json=prints_json)
    text = f"{counted(cancelled, 'request')} {_text(selection)} {_are(cancelled)} cancelled; nothing is sent"
    print_result(text, {"cancelled": cancelled, **asdict(selection)}, as_json=prints_json)


def _end_with_nothing(selection: Selection, *, prints_json: bool) -> NoReturn:
    text = f"nothing {_text(selection)} can be cancelled: it was sent, or there is none"
    _end_with(text, {"cancelled": 0, **asdict(selection)}, as_json=prints_json)


def _end_with(text: str, fields: Mapping[str, Any], *, as_json: bool) -> NoReturn:
    """Print why nothing was cancelled, and end the command."""
    print_result(text, fields, as_json=as_json)
    sys.exit(Exit.REFUSED)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _text(selection: Selection) -> str:
    """Return which requests are meant: `of BR in the lane interactive with numbers that begin with +5511`."""
    parts = {
        "of": selection.country,
        "in the lane": selection.lane,
        "with numbers that begin with": selection.range,
    }
    return " ".join(f"{how} {what}" for how, what in parts.items() if what)

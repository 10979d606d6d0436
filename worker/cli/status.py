"""`ringproof status`: where a number stands, or the sending as a whole."""

import sys

import click

from ringproof import runtime
from ringproof.events.delivery_status import deliveries
from ringproof.ledger import reverification
from ringproof.ledger.control import sending_status
from ringproof.phone.masking import mask
from worker.cli.options import REGION, e164_of, load_dotenv, reports_errors
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.number import number_json, number_view, unknown_number_json
from worker.views.sending import sending_json, sending_view


@click.command()
@click.argument("number", required=False)
@REGION
@click.option("--json", "prints_json", is_flag=True, help="Print a line of JSON; a number's record is unmasked.")
@reports_errors
def status(number: str | None, region: str | None, *, prints_json: bool) -> None:
    """Show where a NUMBER stands, or the sending as a whole.

    For a number: its state, what happens next, and its history. Without one: the pauses, the pace, what slows it down,
    the queues, and the deliveries of events.
    """
    load_dotenv()
    if number is None:
        sending, of_events = sending_status(runtime.ledger()), deliveries(runtime.ledger())
        if prints_json:
            click.echo(sending_json(sending, of_events))
        else:
            console().print(sending_view(sending, of_events))
        return
    number = e164_of(number, region)
    record = runtime.ledger().read(number)
    if prints_json:
        click.echo(number_json(record) if record else unknown_number_json(number))
    elif record:
        console().print(number_view(record, reverification.next_date(runtime.ledger(), number)))
    else:
        console().print(f"{mask(number)} is unknown here; to send a code: ringproof initiate NUMBER")
    sys.exit(Exit.of(record))

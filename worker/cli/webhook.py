"""`ringproof webhook`: test the receiver, see what it has not got, and send events once more."""

import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from ringproof import runtime
from ringproof.errors import InvalidRequest
from ringproof.events import outbox
from ringproof.events.delivery_status import deliveries, find_event, given_up_events, taken_events, waiting_events
from ringproof.events.event import Event, entry_id_of
from ringproof.events.outbox import KEPT, Consumer
from ringproof.ledger.ledger import Ledger
from worker.cli.account import account_ledger
from worker.cli.audit import AS, note
from worker.cli.options import JSON, Duration, load_dotenv, print_result, reports_errors
from worker.views.console import console
from worker.views.deliveries import EventLine, delivery_lines
from worker.views.exit_code import Exit
from worker.views.text import clock, counted, json_line

MOST_SHOWN: Final = 100


@click.command()
@JSON
@reports_errors
def test(*, prints_json: bool) -> None:
    """Send a test event from here, and say what the receiver answers.

    It is signed as all webhooks, and its type is webhook.test. If the receiver takes it, deliveries go on at once that
    had stopped, because it had answered 410 or seemed to be away. The exit code is 1 if it does not.
    """
    load_dotenv()
    receipt = runtime.webhook().test(f"test_{secrets.token_hex(8)}")
    text = f"not delivered: {receipt.failure}" if receipt.failure else "delivered"
    if not receipt.failure:
        outbox.end_refusal(account_ledger(), Consumer.WEBHOOKS)
    fields = {"delivered": not receipt.failure, "why": receipt.failure or None}
    print_result(text, fields, as_json=prints_json)
    sys.exit(Exit.REFUSED if receipt.failure else Exit.DONE)


@click.command()
@click.option("--json", "prints_json", is_flag=True, help="Print each event as a line of JSON.")
@reports_errors
def ls(*, prints_json: bool) -> None:
    """List the events that wait for another try, and those that were given up, newest first.

    Of each number only the first event that waits is shown: the others stand behind it. Numbers are masked.
    """
    load_dotenv()
    ledger = account_ledger()
    shown = list(_lines(ledger))
    if prints_json:
        for line in shown:
            click.echo(json_line(asdict(line)))
        return
    for text in delivery_lines([one for one in deliveries(ledger) if one.consumer == Consumer.WEBHOOKS]):
        console().print(text)
    table = Table.grid(padding=(0, 2))
    for line in shown:
        table.add_row(*map(Text, (line.id, line.event or "no longer kept", line.outcome, clock(line.at), line.why)))
    console().print(table)


@click.command()
@click.argument("event_id", required=False)
@click.option("--since", type=Duration(KEPT), help="All events of so long, such as 1h, in their order.")
@JSON
@AS
@reports_errors
def replay(event_id: str | None, since: timedelta | None, actor: str | None, *, prints_json: bool) -> None:
    """Send an event once more, or all events --since a time.

    They keep their ids, by which a receiver knows them. Those that wait for a try anyway are not sent twice. Events are
    kept for a week.
    """
    load_dotenv()
    if (event_id is None) == (since is None):
        raise click.UsageError("Give an EVENT-ID, or --since with a time such as 1h.")
    ledger = account_ledger()
    note(actor, "replay", event_id or f"--since {since}")
    if event_id is not None:
        events: Iterator[Event] = iter([_find(ledger, event_id)])
    else:
        events = taken_events(ledger, Consumer.WEBHOOKS, ledger.now() - (since or timedelta()))
    count = 0
    while some := list(islice(events, outbox.ENTRIES_AT_ONCE)):
        count += outbox.replay(ledger, Consumer.WEBHOOKS, some)
    print_result(f"{counted(count, 'event')} will be sent once more", {"events": count}, as_json=prints_json)


def _find(ledger: Ledger, event_id: str) -> Event:
    entry_id = entry_id_of(event_id)
    event = find_event(ledger, entry_id) if entry_id else None
    if event is None:
        raise InvalidRequest("event-id", event_id, "give the webhook-id of an event of the last week")
    return event


def _lines(ledger: Ledger) -> Iterator[EventLine]:
    for entry_id, tries, at in waiting_events(ledger, Consumer.WEBHOOKS, MOST_SHOWN):
        yield EventLine.of(
            entry_id,
            find_event(ledger, entry_id),
            "waits until",
            at,
            f"{tries} tries have failed" if tries else "the receiver was away",
        )
    for entry_id, at, why in given_up_events(ledger, Consumer.WEBHOOKS, MOST_SHOWN):
        yield EventLine.of(entry_id, find_event(ledger, entry_id), "given up at", at, why)

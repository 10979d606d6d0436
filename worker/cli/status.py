"""`ringproof status`: where a number stands, or the sending as a whole."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click
from rich.console import RenderableType

from ringproof import runtime
from ringproof.errors import LedgerUnavailable
from ringproof.events.delivery_status import Delivery, deliveries
from worker.cli.account import account_ledger, account_name
from worker.cli.options import REGION, e164_of, load_dotenv, reports_errors
from worker.observe.accounts import NO_ACCOUNTS, Fleet, read_fleet
from worker.observe.facts import Facts, read_facts
from worker.observe.findings import Finding, findings, redis_away, worst_first
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.movement import exit_of, finding_line, finding_lines, verdict
from worker.views.sending import sending_view
from worker.views.status_json import away_json, status_json
from worker.views.text import clock

if TYPE_CHECKING:
    from ringproof.batches.model import Batch
    from ringproof.ledger.ledger import Ledger

WATCH_SECONDS: Final = 2.0

MOST_BATCHES: Final = 20
"""Unfinished batches whose costs are shown, the newest."""


@click.command()
@click.argument("number", required=False)
@REGION
@click.option("--watch", "watches", is_flag=True, help="Show it again every 2 s, until Ctrl-C; not for a NUMBER.")
@click.option("--json", "prints_json", is_flag=True, help="Print a line of JSON; a number's record is unmasked.")
@reports_errors
def status(number: str | None, region: str | None, *, watches: bool, prints_json: bool) -> None:
    """Show where a NUMBER stands, or the sending as a whole.

    For a number: its state, what happens next, and its history. Without one: whether sending goes on, what is wrong and
    what to do, the pace and what takes it, each lane, the workers, and the deliveries of events.

    Without a number, the exit code is 0 if all is well, 1 if nothing moves, and 3 if something is held back. It then
    counts all accounts and names those with trouble; ringproof --account NAME status shows one in full.
    """
    if number is not None and watches:
        raise click.UsageError("--watch shows the sending as a whole; leave out the number")
    load_dotenv()
    if number is None:
        reading = _watched(prints_json=prints_json) if watches else _read()
        if not watches:
            reading.show(prints_json=prints_json)
        sys.exit(exit_of(reading.found))
    sys.exit(_show_number(e164_of(number, region), prints_json=prints_json))


def _show_number(number: str, *, prints_json: bool) -> Exit:
    """Show where a number stands. The status of the sending loads nothing of this."""
    from ringproof.ledger import reverification  # noqa: PLC0415
    from ringproof.ledger.activity import sender_of  # noqa: PLC0415
    from ringproof.phone.masking import mask  # noqa: PLC0415
    from worker.views.number import number_json, number_view, unknown_number_json  # noqa: PLC0415

    record = account_ledger().read(number)
    sender = sender_of(runtime.ledger(), record) if record else None
    if prints_json:
        click.echo(number_json(record, sender) if record else unknown_number_json(number))
    elif record:
        console().print(number_view(record, reverification.next_date(account_ledger(), number), sender))
    else:
        console().print(f"{mask(number)} is unknown here; to send a code: ringproof initiate NUMBER")
    return Exit.of(record)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read at one moment. Without Redis there are no facts, and one finding."""

    facts: Facts | None
    found: Sequence[Finding]
    deliveries: Sequence[Delivery] = ()
    fleet: Fleet = NO_ACCOUNTS
    priced: Sequence["Batch"] = ()

    def show(self, *, prints_json: bool) -> None:
        if prints_json:
            click.echo(self.json())
        else:
            console().print(self.view())

    def json(self) -> str:
        if not self.facts:
            return away_json(self.found[0])
        return status_json(self.facts, self.found, self.deliveries, self.fleet, self.priced)

    def view(self) -> RenderableType:
        if not self.facts:
            return finding_lines(self.found)
        return sending_view(self.facts, self.found, self.deliveries, self.fleet, self.priced)

    def line(self) -> str:
        if not self.facts:
            return finding_line(self.found)
        parts = [verdict(self.facts, self.found).plain, *([finding_line(self.found)] if self.found else [])]
        return f"{clock(self.facts.now)}  {'; '.join(parts)}"


def _read() -> _Reading:
    ledger = account_ledger()
    try:
        facts = read_facts(ledger, runtime.ledger())
        fleet = NO_ACCOUNTS if account_name() else read_fleet()
        found = worst_first([*findings(facts), *fleet.named])
        return _Reading(facts, found, deliveries(ledger), fleet, _priced(ledger, facts))
    except LedgerUnavailable as error:
        if error.is_refusal:
            raise
        return _Reading(None, [redis_away(error)])


def _priced(ledger: "Ledger", facts: Facts) -> Sequence["Batch"]:
    """Return the unfinished batches that have prices. Without batches, nothing about them is loaded."""
    if not ledger.run("exists", ledger.keys.batches):
        return ()
    from ringproof.batches.summary import unfinished_batches  # noqa: PLC0415  # it takes a quarter of a second

    return [one for one in unfinished_batches(ledger, MOST_BATCHES, facts.sending).newest if one.cost]


def _watched(*, prints_json: bool) -> _Reading:
    """Show readings until Ctrl-C: in place on a terminal, elsewhere as a line each. Return the last one."""
    last = _read()
    try:
        if prints_json or not console().is_terminal:
            for reading in _readings(last):
                last = reading
                click.echo(last.json() if prints_json else last.line())
        else:
            from rich.live import Live  # noqa: PLC0415  # the other ways to show a status need none of it

            with Live(console=console(), auto_refresh=False) as live:
                for reading in _readings(last):
                    last = reading
                    live.update(last.view(), refresh=True)
    except KeyboardInterrupt:
        console(stderr=True).print("no longer watched; to watch again: ringproof status --watch")
    return last


def _readings(first: _Reading) -> Iterator[_Reading]:
    yield first
    while True:
        time.sleep(WATCH_SECONDS)
        yield _read()

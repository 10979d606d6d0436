"""`ringproof ls`: which numbers are in which state."""

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from heapq import nlargest
from typing import Any, Final

import click

from ringproof import errors, runtime
from ringproof.clock import duration_text, epoch_ms
from ringproof.ledger.activity import sender_of
from ringproof.ledger.filtered import Page, RecordFilter, filtered
from ringproof.ledger.record import Lane, Record, State
from worker.cli.account import account_ledger
from worker.cli.audit import AS, note
from worker.cli.options import JSON, REGION, Country, Duration, e164_of, load_dotenv, numbers_of, reports_errors
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.listing import Listing
from worker.views.text import counted

LONGEST: Final = timedelta(days=3650)


class States(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """States with commas between them, such as in_doubt,failed."""

    name = "STATES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[State]:
        """Return the states, or fail with the list of all states."""
        names = [name.strip().lower() for name in str(value).split(",")]
        if unknown := [name for name in names if name not in set(State)]:
            self.fail(f"{unknown[0]!r} is not one of {', '.join(State)}", param, ctx)
        return frozenset(map(State, names))


@click.command()
@click.argument("numbers", nargs=-1, metavar="[NUMBER]...")
@click.option(
    "--state", "states", type=States(), metavar="in_doubt,failed", help="Numbers in these states, with commas between."
)
@click.option("--since", type=Duration(LONGEST), metavar="1h", help="Numbers that have changed within that time.")
@click.option("--country", type=Country(), metavar="XX", help="Numbers of this country, such as US.")
@click.option("--lane", type=click.Choice(list(map(str, Lane))), help="Numbers whose last request is in this lane.")
@click.option("--limit", type=click.IntRange(1), metavar="20", help="Only so many: those that changed last.")
@click.option("--unmasked", is_flag=True, help="Show the numbers in full.")
@REGION
@JSON
@AS
@reports_errors
def ls(
    numbers: Sequence[str],
    states: frozenset[State] | None,
    since: timedelta | None,
    country: str | None,
    lane: str | None,
    limit: int | None,
    region: str | None,
    actor: str | None,
    *,
    unmasked: bool,
    prints_json: bool,
) -> None:
    """List numbers: all, these NUMBERs, or those in a state.

    Use - to read NUMBERs from standard input, one a line. Several options narrow the choice together. The list has a
    line for each number, in no order, or with --limit the newest first: when the number changed, its state and the
    reason, country, lane and alias. --json prints a line of JSON for each, as ringproof status NUMBER --json does.

    Numbers are masked unless --unmasked is given. A number is verified as long as its verification stands, also while
    a newer request for it is in another state.

    All keys of Redis are read, a few hundred at a time: Redis serves others in between. For states that are not final
    only the agenda is read. Memory does not grow with the numbers. A number may come twice if their count changes much
    meanwhile. The exit code is 0 also if there is none, and 1 if a NUMBER is no telephone number.
    """
    load_dotenv()
    ledger = account_ledger()
    begin = ledger.now() - since if since else None
    wanted = RecordFilter(states or frozenset(), begin, country, Lane(lane) if lane else None)
    chosen = _text(wanted, since)
    if unmasked:
        note(actor, "ls --unmasked", chosen if not numbers else f"numbers that were named {chosen}".rstrip())
    with Listing(prints_json=prints_json, masked=not unmasked) as listing:
        try:
            named = _parsed(numbers, region, listing) if numbers else None
            records = _records(filtered(ledger, wanted, named), listing)
            for record in nlargest(limit, records, key=_changed_at) if limit else records:
                listing.show(record, sender_of(runtime.ledger(), record) if prints_json else None)
        except KeyboardInterrupt:
            listing.stop()
            console(stderr=True).print(f"stopped after {counted(listing.count, 'number')}; there may be more")
            sys.exit(Exit.UNFINISHED)
    nothing = f"no number {chosen}" if chosen else "no number is known here" if not numbers else "no number"
    console(stderr=True).print(counted(listing.count, "number") if listing.count else nothing)
    sys.exit(Exit.REFUSED if listing.refused else Exit.DONE)


def _parsed(written: Sequence[str], region: str | None, listing: Listing) -> Iterator[str]:
    """Yield the numbers that are named, each once, and show what is none."""
    seen: set[str] = set()
    for text in numbers_of(written):
        try:
            number = e164_of(text, region)
        except errors.InvalidNumber as error:
            listing.show_refused(error)
            continue
        if number not in seen:
            seen.add(number)
            yield number


def _records(pages: Iterator[Page], listing: Listing) -> Iterator[Record]:
    """Yield the records of all pages, and show what else was found."""
    for page in pages:
        yield from page.records
        for number in page.unknown:
            listing.show_unknown(number)
        for number in page.damaged:
            listing.show_damaged(number)
        listing.has_read(page.read)


def _changed_at(record: Record) -> int:
    return epoch_ms(record.updated_at)


def _text(wanted: RecordFilter, since: timedelta | None) -> str:
    """Return which numbers are meant: `in the state failed, changed in the last 60 min, of US, in the lane bulk`."""
    parts = {
        "in the state": " or ".join(state for state in State if state in wanted.states),
        "changed in the last": duration_text(since) if since else "",
        "of": wanted.country,
        "in the lane": wanted.lane,
    }
    return ", ".join(f"{how} {what}" for how, what in parts.items() if what)

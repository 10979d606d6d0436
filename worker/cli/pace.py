"""The commands that move the pace: pause, resume, and other limits for a while."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import click
from rich.table import Table

from ringproof import runtime
from ringproof.ledger import control
from ringproof.ledger.control import sending_status
from ringproof.ledger.record import Lane
from ringproof.policy import Rate
from worker.cli.options import Duration, load_dotenv, says_what_is_wrong
from worker.views.console import Exit, console
from worker.views.sending import as_json as situation_as_json
from worker.views.text import clock

LONGEST: Final = timedelta(days=30)
"""Whoever wants another limit for longer writes it into the workers' environment."""


LANE = click.option("--lane", type=click.Choice([str(lane) for lane in Lane]), help="This lane alone  [default: all]")


@click.command()
@LANE
@click.option("--reason", default="", help="Why, for whoever asks: ringproof status.")
@says_what_is_wrong
def pause(lane: str | None, reason: str) -> None:
    """Keep everybody, or a lane, from being sent to.

    Until ringproof resume. Within a second nothing is sent any more. What is accepted meanwhile waits; bulk and
    schedule have as much longer to their end, and a person's request ends after 15 minutes as always.
    """
    load_dotenv()
    new = control.pause(runtime.ledger(), Lane(lane) if lane else None, reason)
    console().print(f"{lane or 'everything'} is paused{'' if new else ' already'}; to go on: ringproof resume")


@click.command()
@LANE
@says_what_is_wrong
def resume(lane: str | None) -> None:
    """Let a lane, or all, go on.

    What Plivo had refused is tried at once. Exit 1 if no person had paused it.
    """
    load_dotenv()
    if control.resume(runtime.ledger(), Lane(lane) if lane else None):
        console().print(f"{lane or 'everything'} goes on, at the pace")
        return
    console().print(f"{lane or 'nothing'} was not paused by a person" if lane else "nothing was paused by a person")
    sys.exit(Exit.REFUSED)


@click.group(invoke_without_command=True)
@click.pass_context
def limits(context: click.Context) -> None:
    """Show the limits, or set others for a while."""
    if context.invoked_subcommand is None:
        context.invoke(show)


@limits.command()
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON.")
@says_what_is_wrong
def show(*, as_json: bool = False) -> None:
    """Show the limits, and their history."""
    load_dotenv()
    found, history = sending_status(runtime.ledger()), control.rate_history(runtime.ledger())
    if as_json:
        click.echo(situation_as_json(found))
        return
    table = Table.grid(padding=(0, 2))
    for name, now in (("RATE", found.rate), ("CALL_RATE", found.call_rate)):
        usual = found.usual[name.lower()]
        until = f"until {clock(found.limited_until)}; usually {usual}" if found.limited_until and now != usual else ""
        table.add_row(name, now, until)
    console().print(table)
    for change in history:
        told = " ".join(
            f"{name}={rate}" for name, rate in (("RATE", change.rate), ("CALL_RATE", change.call_rate)) if rate
        )
        console().print(f"{clock(change.at)}  " + (f"{told} until {clock(change.until)}" if told else "the usual ones"))


@limits.command(name="set")
@click.argument("rates", nargs=-1, required=True, metavar="RATE=240/5s...")
@click.option("--for", "lasts", type=Duration(LONGEST), required=True, help="How long they hold, such as 1h.")
@says_what_is_wrong
def set_(rates: Sequence[str], lasts: timedelta) -> None:
    """Have other limits hold for a while.

    Everywhere within a second, and afterwards the environment's again. RATE= is the account's, CALL_RATE= that of
    calls. Nothing is sent for the first window of the new limit: what was sent before is still counted by Plivo.
    """
    load_dotenv()
    asked = dict(_rate(written) for written in rates)
    until = control.override_rates(runtime.ledger(), lasts, rate=asked.get("RATE"), call_rate=asked.get("CALL_RATE"))
    console().print(f"{' '.join(f'{name}={rate}' for name, rate in asked.items())} until {clock(until)}")


@limits.command()
@says_what_is_wrong
def reset() -> None:
    """Put the environment's limits back at once."""
    load_dotenv()
    control.restore_rates(runtime.ledger())
    console().print("the usual limits hold")


def _rate(written: str) -> tuple[str, Rate]:
    name, equals, rate = written.partition("=")
    if not equals or name not in {"RATE", "CALL_RATE"}:
        raise click.BadParameter(f"{written!r}: write RATE=240/5s, or CALL_RATE=1/1s", param_hint="RATE")
    try:
        return name, Rate.parse(rate)
    except ValueError as error:
        raise click.BadParameter(f"{rate!r}: {error}", param_hint=name) from None

"""The commands that change how fast codes are sent: pause, resume and limits."""

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

import click
from rich.table import Table

from ringproof import runtime
from ringproof.ledger import control
from ringproof.ledger.control import RateOverride, SendingStatus, sending_status
from ringproof.ledger.record import Lane
from ringproof.policy import Rate
from worker.cli.audit import AS, note
from worker.cli.options import JSON, Duration, load_dotenv, reports_errors
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.sending import names_of, sending_json
from worker.views.text import clock, duration_text

LONGEST: Final = timedelta(days=30)
"""Limits for a longer time belong in the workers' environment."""

LANE = click.option("--lane", type=click.Choice([str(lane) for lane in Lane]), help="This lane only  [default: all]")


@click.command()
@LANE
@click.option("--reason", default="", help="Why; ringproof status shows it.")
@AS
@reports_errors
def pause(lane: str | None, reason: str, actor: str | None) -> None:
    """Pause sending, in all lanes or in one.

    Within a second nothing is sent any more, until ringproof resume. Requests are still accepted, and wait. Deadlines
    of bulk and scheduled requests move by the pause. A person's request ends after 15 minutes, as always.
    """
    load_dotenv()
    note(actor, "pause", f"{lane or 'all lanes'}{': ' if reason else ''}{reason}")
    is_new = control.pause(runtime.ledger(), Lane(lane) if lane else None, reason)
    console().print(f"{lane or 'everything'} is paused{'' if is_new else ' already'}; to go on: ringproof resume")


@click.command()
@LANE
@AS
@reports_errors
def resume(lane: str | None, actor: str | None) -> None:
    """End a pause, of all lanes or of one.

    Without --lane, a pause for unknown credentials ends, too. If other answers of Plivo's had caused a pause, the
    worker asks Plivo again at once. It also tries a number of each country that Plivo refuses, as soon as one waits.
    The exit code is 1 if there was nothing to resume.
    """
    load_dotenv()
    ledger = runtime.ledger()
    refused = () if lane else sending_status(ledger).refused_destinations
    note(actor, "resume", lane or "all lanes")
    was_paused = control.resume(ledger, Lane(lane) if lane else None)
    if was_paused:
        console().print(f"{lane or 'everything'} goes on, at the pace")
    if refused:
        console().print(f"tried again at once, as soon as a number waits: {names_of(refused)}")
    if was_paused or refused:
        return
    console().print(f"{lane} was not paused by a person" if lane else "nothing was paused by a person")
    sys.exit(Exit.REFUSED)


@click.group(invoke_without_command=True)
@click.pass_context
def limits(context: click.Context) -> None:
    """Show the limits, or set other limits for a while."""
    if context.invoked_subcommand is None:
        context.invoke(show)


@limits.command()
@JSON
@reports_errors
def show(*, prints_json: bool = False) -> None:
    """Show the limits and their history."""
    load_dotenv()
    status, history = sending_status(runtime.ledger()), control.rate_history(runtime.ledger())
    if prints_json:
        click.echo(sending_json(status))
        return
    table = Table.grid(padding=(0, 2))
    for row in _limit_rows(status):
        table.add_row(*row)
    console().print(table)
    for change in history:
        console().print(f"{clock(change.at)}  {_change_text(change)}")


@limits.command(name="set")
@click.argument("rates", nargs=-1, required=True, metavar="RATE=240/5s...")
@click.option("--for", "duration", type=Duration(LONGEST), required=True, help="For how long, such as 1h.")
@AS
@reports_errors
def set_(rates: Sequence[str], duration: timedelta, actor: str | None) -> None:
    """Set other limits for a while.

    RATE= is the limit of the account, CALL_RATE= that of calls. All workers and web apps follow them within a second;
    afterwards the environment's limits apply again. The first slot of a new limit is one window after the last one of
    the old limit, because Plivo still counts the codes that were sent before.
    """
    load_dotenv()
    new = dict(_rate(written) for written in rates)
    written = " ".join(f"{name}={rate}" for name, rate in new.items())
    note(actor, "limits set", f"{written} for {duration_text(duration)}")
    until = control.override_rates(runtime.ledger(), duration, rate=new.get("RATE"), call_rate=new.get("CALL_RATE"))
    console().print(f"{written} until {clock(until)}")


@limits.command()
@AS
@reports_errors
def reset(actor: str | None) -> None:
    """Go back to the environment's limits, at once."""
    load_dotenv()
    note(actor, "limits reset")
    control.restore_rates(runtime.ledger())
    console().print("the usual limits apply")


def _limit_rows(status: SendingStatus) -> Iterator[tuple[str, str, str]]:
    """Yield each limit's name, its rate, and what it usually is if an operator has set another."""
    for name, rate in (("RATE", status.rate), ("CALL_RATE", status.call_rate)):
        usual = status.usual[name.lower()]
        is_set = status.limited_until and rate != usual
        yield name, rate, f"until {clock(status.limited_until)}; usually {usual}" if is_set else ""


def _change_text(change: RateOverride) -> str:
    """Return what an operator set: `RATE=240/5s until 15:04:05`, or that the usual limits came back."""
    rates = " ".join(
        f"{name}={rate}" for name, rate in (("RATE", change.rate), ("CALL_RATE", change.call_rate)) if rate
    )
    return f"{rates} until {clock(change.until)}" if rates else "the usual limits"


def _rate(written: str) -> tuple[str, Rate]:
    """Read `RATE=240/5s` or `CALL_RATE=1/1s`."""
    name, equals, rate = written.partition("=")
    if not equals or name not in {"RATE", "CALL_RATE"}:
        raise click.BadParameter(f"{written!r}: write RATE=240/5s, or CALL_RATE=1/1s", param_hint="RATE")
    try:
        return name, Rate.parse(rate)
    except ValueError as error:
        raise click.BadParameter(f"{rate!r}: {error}", param_hint=name) from None

"""The commands that change how fast codes are sent: pause, resume and limits."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Final

import click
from rich.table import Table

from ringproof.clock import duration_text
from ringproof.ledger import control
from ringproof.ledger.control import RateOverride, SendingStatus, sending_status
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.policy import Rate
from worker.cli.account import account_ledger
from worker.cli.audit import AS, note
from worker.cli.options import JSON, Duration, load_dotenv, print_result, reports_errors
from worker.views.console import console, lines
from worker.views.exit_code import Exit
from worker.views.sending import names_of, over_cap_lines
from worker.views.text import clock, json_line

LONGEST: Final = timedelta(days=30)
"""Limits for a longer time belong in the workers' environment."""

LANE = click.option("--lane", type=click.Choice([str(lane) for lane in Lane]), help="This lane only  [default: all]")


@click.command()
@LANE
@click.option("--reason", default="", help="Why; ringproof status shows it.")
@JSON
@AS
@reports_errors
def pause(lane: str | None, reason: str, actor: str | None, *, prints_json: bool) -> None:
    """Pause sending, in all lanes or in one.

    Within a second nothing is sent any more, until ringproof resume. Requests are still accepted, and wait. Deadlines
    of bulk and scheduled requests move by the pause. A person's request ends after 15 minutes, as always.
    """
    load_dotenv()
    note(actor, "pause", f"{lane or 'all lanes'}{': ' if reason else ''}{reason}")
    is_new = control.pause(account_ledger(), Lane(lane) if lane else None, reason)
    text = f"{lane or 'everything'} is paused{'' if is_new else ' already'}; to go on: ringproof resume"
    print_result(text, {"lane": lane, "paused": True, "changed": is_new}, as_json=prints_json)


@click.command()
@LANE
@JSON
@AS
@reports_errors
def resume(lane: str | None, actor: str | None, *, prints_json: bool) -> None:
    """End a pause, of all lanes or of one.

    Without --lane, a pause for unknown credentials ends, too. If other answers of Plivo's had caused a pause, the
    worker asks Plivo again at once. It also tries a number of each country that Plivo refuses, as soon as one waits.
    The exit code is 1 if there was nothing to resume.
    """
    load_dotenv()
    ledger = account_ledger()
    refused = () if lane else sending_status(ledger).refused_destinations
    note(actor, "resume", lane or "all lanes")
    was_paused = control.resume(ledger, Lane(lane) if lane else None)
    texts = [f"{lane or 'everything'} goes on, at the pace"] if was_paused else []
    if refused:
        texts.append(f"tried again at once, as soon as a number waits: {names_of(refused)}")
    if not texts:
        texts.append(f"{lane} was not paused by a person" if lane else "nothing was paused by a person")
    tried = [one.name for one in refused]
    if prints_json:
        click.echo(json_line({"lane": lane, "paused": False, "changed": was_paused, "tried_again": tried}))
    else:
        console().print(lines(texts))
    sys.exit(Exit.DONE if was_paused or refused else Exit.REFUSED)


@click.command()
@JSON
@reports_errors
def show(*, prints_json: bool = False) -> None:
    """Show the limits and their history."""
    load_dotenv()
    ledger = account_ledger()
    if prints_json:
        click.echo(_limits_json(ledger))
        return
    status, history = sending_status(ledger), control.rate_history(ledger)
    table = Table.grid(padding=(0, 2))
    for row in _limit_rows(status):
        table.add_row(*row)
    console().print(table)
    for text in over_cap_lines(status):
        console().print(f"the caps are {text}")
    for change in history:
        console().print(f"{clock(change.at)}  {_change_text(change)}")


@click.command(name="set")
@click.argument("rates", nargs=-1, metavar="[RATE=240/5s]...")
@click.option(
    "--over-cap",
    "blocks",
    multiple=True,
    metavar="+1415555",
    help="Lift the caps for the numbers that begin so: a + and 7 to 9 digits. May be given several times.",
)
@click.option("--for", "duration", type=Duration(LONGEST), required=True, help="For how long, such as 1h.")
@JSON
@AS
@reports_errors
def set_(
    rates: Sequence[str], blocks: Sequence[str], duration: timedelta, actor: str | None, *, prints_json: bool
) -> None:
    """Set other limits for a while.

    RATE= is the limit of the account, CALL_RATE= that of calls. All workers and web apps follow them within a second;
    afterwards the environment's limits apply again. The first slot of a new limit is one window after the last one of
    the old limit, because Plivo still counts the codes that were sent before.

    --over-cap is for a block of your own numbers. People get codes there beyond RINGPROOF_RANGE_CODES_PER_HOUR,
    RINGPROOF_COUNTRY_CODES_PER_HOUR, RINGPROOF_PEOPLE_CODES_PER_DAY, and the two caps of a requester. These codes count
    in the caps, which hold again afterwards. The caps of each single number, the cooldown, the breaker and
    RINGPROOF_COUNTRIES hold all the time.
    """
    load_dotenv()
    if not rates and not blocks:
        raise click.UsageError("Name a limit, such as RATE=240/5s, or a block of numbers with --over-cap.")
    ledger, new = account_ledger(), dict(_rate(written) for written in rates)
    blocks = [re.sub(r"[ ().-]", "", block) for block in blocks]
    control.check_blocks(ledger, blocks)
    written = " ".join(f"{name}={rate}" for name, rate in new.items())
    # The trail masks what may be a number: the beginning of a block is worth more than its end.
    short = [written, *(f"--over-cap {block[:6]}…" for block in blocks)]
    note(actor, "limits set", f"{' '.join(filter(None, short))} for {duration_text(duration)}")
    texts = []
    if new:
        until = control.override_rates(ledger, duration, rate=new.get("RATE"), call_rate=new.get("CALL_RATE"))
        texts.append(f"{written} until {clock(until)}")
    if blocks:
        until = control.lift_caps(ledger, blocks, duration)
        texts.append(f"people get codes beyond the caps until {clock(until)}: {', '.join(blocks)}")
    if prints_json:
        click.echo(_limits_json(ledger))
    else:
        console().print(lines(texts))


@click.command()
@JSON
@AS
@reports_errors
def reset(actor: str | None, *, prints_json: bool) -> None:
    """Go back to the environment's limits, and to all caps, at once."""
    load_dotenv()
    note(actor, "limits reset")
    control.restore_rates(account_ledger())
    if prints_json:
        click.echo(_limits_json(account_ledger()))
    else:
        console().print("the usual limits apply")


def _limits_json(ledger: Ledger) -> str:
    """Return the limits that apply now, and their history, as a line of JSON."""
    status, history = sending_status(ledger), control.rate_history(ledger)
    return json_line(
        {
            "rate": status.rate,
            "call_rate": status.call_rate,
            "until": status.limited_until,
            "usual": {name: status.usual[name] for name in ("rate", "call_rate")},
            "over_cap": [asdict(one) for one in status.over_cap],
            "history": [asdict(change) for change in history],
        }
    )


def _limit_rows(status: SendingStatus) -> Iterator[tuple[str, str, str]]:
    """Yield each limit's name, its rate, and what it usually is if an operator has set another."""
    for name, rate in (("RATE", status.rate), ("CALL_RATE", status.call_rate)):
        usual = status.usual[name.lower()]
        is_set = status.limited_until and rate != usual
        yield name, rate, f"until {clock(status.limited_until)}; usually {usual}" if is_set else ""


def _change_text(change: RateOverride) -> str:
    """Return what an operator set: `RATE=240/5s until 15:04:05`, or that the usual limits came back."""
    rates = [f"{name}={rate}" for name, rate in (("RATE", change.rate), ("CALL_RATE", change.call_rate)) if rate]
    what = " ".join([*rates, *(f"--over-cap {block}" for block in change.over_cap)])
    return f"{what} until {clock(change.until)}" if what else "the usual limits"


def _rate(written: str) -> tuple[str, Rate]:
    """Read `RATE=240/5s` or `CALL_RATE=1/1s`."""
    name, equals, rate = written.partition("=")
    if not equals or name not in {"RATE", "CALL_RATE"}:
        raise click.BadParameter(f"{written!r}: write RATE=240/5s, or CALL_RATE=1/1s", param_hint="RATE")
    try:
        return name, Rate.parse(rate)
    except ValueError as error:
        raise click.BadParameter(f"{rate!r}: {error}", param_hint=name) from None

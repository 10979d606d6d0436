"""The commands for this machine: sandbox and demo."""

import sys
from functools import partial
from typing import Any

import click

from ringproof import errors
from worker.cli.extras import import_with
from worker.cli.options import is_redis_named, load_dotenv, reports_errors


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8077, show_default=True, help="0 takes a free port.")
@click.option("--answers", metavar="WEIGHTS", help="How people enter their codes, such as right=80,wrong=10,never=10.")
@click.option(
    "--answer-after", metavar="SECONDS", help="After how many seconds they do, such as 3 or 1-5  [default: 1-5]"
)
@click.option(
    "--enter",
    "enters",
    is_flag=True,
    help="They enter them themselves: through Ringproof if RINGPROOF_REDIS_URL is set, otherwise at the sandbox.",
)
@reports_errors
def sandbox(port: int, answers: str | None, answer_after: str | None, *, enters: bool) -> None:
    """Serve Plivo's API on this machine, for tests; nothing is sent.

    It needs no Redis and no worker. A browser shows at its address what each phone has got. GET /sandbox/ lists all
    that it can do, with a curl line for each switch.

    With --answers, simulated people enter their codes: the right one, a wrong one, or none. GET /sandbox/answers
    returns what they enter, for your program to enter it. With --enter they do so themselves.
    """
    people = import_with("local", "worker.local.sandbox.people").People.read(answers, answer_after)
    enter = _entering(has_people=people is not None) if enters else None
    import_with("local", "worker.local.sandbox.server").serve(port=port, people=people, enter=enter)


def _entering(*, has_people: bool) -> Any:
    """Return what enters the codes of the sandbox's people. Raises `InvalidRequest` if there are none."""
    if not has_people:
        raise errors.InvalidRequest("enter", "without --answers", "say how people answer: --answers right=80,never=20")
    load_dotenv()
    entering = import_with("local", "worker.local.sandbox.entering")
    take = entering.through_ringproof() if is_redis_named() else None
    click.echo(f"people enter their codes {'through confirm_verification' if take else 'at the sandbox itself'}")
    return partial(entering.enter_codes, take=take)


@click.command()
@click.option(
    "--stay", is_flag=True, help="Keep everything running afterwards, for a second terminal or your application."
)
@reports_errors
def demo(*, stay: bool) -> None:
    """Show 200 rows being sent to, and a worker being killed.

    The demo starts a Redis, a Plivo and a worker of its own, all on this machine. It does not read your settings, and
    leaves nothing behind.
    """
    sys.exit(import_with("local", "worker.local.demo.demo").run(stay=stay))

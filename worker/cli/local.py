"""The commands for this machine: sandbox and demo."""

import sys
from importlib import import_module
from typing import Any

import click

from ringproof import errors
from worker.cli.options import reports_errors


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8077, show_default=True, help="0 takes a free port.")
@click.option("--answers", metavar="WEIGHTS", help="How people enter their codes, such as right=80,wrong=10,never=10.")
@click.option(
    "--answer-after", metavar="SECONDS", help="After how many seconds they do, such as 3 or 1-5  [default: 1-5]"
)
@reports_errors
def sandbox(port: int, answers: str | None, answer_after: str | None) -> None:
    """Serve Plivo's API on this machine, for tests; nothing is sent.

    With --answers, simulated people enter their codes: the right one, a wrong one, or none. GET /sandbox/answers
    returns what they enter.
    """
    people = _local("worker.local.sandbox.people").People.read(answers, answer_after)
    _local("worker.local.sandbox.server").serve(port=port, people=people)


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
    sys.exit(_local("worker.local.demo.demo").run(stay=stay))


def _local(module: str) -> Any:
    """Load a module that needs the extra `local`. Raises `Misconfigured` if that is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise errors.Misconfigured(
            f"{error.name} is not installed; to install it: pip install 'ringproof[local]'"
        ) from None

"""The commands for this machine: is it healthy, be Plivo, show the whole system at work."""

import json
import sys
from importlib import import_module
from typing import Any

import click

from ringproof import errors, runtime
from ringproof.celery.ping import workers_that_answer
from worker.cli.options import load_dotenv, says_what_is_wrong
from worker.views.console import Exit, console
from worker.views.follow import START_A_WORKER


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON.")
@says_what_is_wrong
def health(*, as_json: bool) -> None:
    """Ask whether Redis and a worker answer: exit 0, or else 1."""
    load_dotenv()
    runtime.ledger().ping()
    workers = workers_that_answer()
    if as_json:
        click.echo(json.dumps({"redis": True, "workers": workers}))
    else:
        answering = f"workers: {', '.join(workers)}" if workers else f"no worker does. Start one: {START_A_WORKER}"
        console().print(f"Redis answers; {answering}")
    sys.exit(Exit.DONE if workers else Exit.REFUSED)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8077, show_default=True, help="0: a free one.")
@click.option("--answers", metavar="WEIGHTS", help="What people do with their codes: right=80,wrong=10,never=10")
@click.option("--answer-after", metavar="SECONDS", help="After how long, such as 3 or 1-5  [default: 1-5]")
@says_what_is_wrong
def sandbox(port: int, answers: str | None, answer_after: str | None) -> None:
    """Be Plivo on this machine, for tests: no text leaves it.

    With --answers the people whose phones get a code enter it rightly, wrongly or never: GET /sandbox/answers offers
    what they enter.
    """
    people = _local("worker.local.sandbox.people").People.read(answers, answer_after)
    _local("worker.local.sandbox.server").serve(port=port, people=people)


@click.command()
@click.option("--stay", is_flag=True, help="Keep it running afterwards, for a second terminal or your app.")
@says_what_is_wrong
def demo(*, stay: bool) -> None:
    """Watch 200 rows being sent to, and a worker being killed.

    It brings a Redis, a Plivo and a worker of its own, all on this machine, reads nothing of your settings and leaves
    nothing behind.
    """
    sys.exit(_local("worker.local.demo.demo").run(stay=stay))


def _local(module: str) -> Any:
    """Load what only the extra `local` brings."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise errors.Misconfigured(f"{error.name} is not installed; pip install 'ringproof[local]'") from None

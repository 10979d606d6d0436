"""`ringproof health`: whether Redis answers, and a worker takes messages.

A healthcheck runs it every few seconds, so that it loads neither redis-py nor rich.
"""

import json
import sys

import click

from ringproof import runtime
from ringproof.ledger.heartbeats import workers_alive_at
from ringproof.printable import printable
from worker.cli.options import JSON, load_dotenv, reports_errors
from worker.views.exit_code import Exit
from worker.views.patience import START_A_WORKER


@click.command()
@JSON
@reports_errors
def health(*, prints_json: bool) -> None:
    """Check that Redis answers and workers run: exit code 0, else 1.

    Each worker says in Redis every 5 s that it takes messages. One that was silent for 20 s does not count.
    """
    load_dotenv()
    current = runtime.settings(only=("redis_url", "prefix"))
    workers = workers_alive_at(current.redis_url.get_secret_value(), current.prefix)
    if prints_json:
        click.echo(json.dumps({"redis": True, "workers": workers}))
    else:
        names = f"workers: {', '.join(workers)}"
        nobody = f"no worker takes messages; start one: {START_A_WORKER}"
        click.echo(printable(f"Redis answers; {names if workers else nobody}"))
    sys.exit(Exit.DONE if workers else Exit.REFUSED)

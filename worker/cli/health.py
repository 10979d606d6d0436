"""`ringproof health`: whether Redis and a worker answer."""

import json
import sys

import click

from ringproof import runtime
from ringproof.celery.ping import workers_that_answer
from worker.cli.options import JSON, load_dotenv, reports_errors
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.patience import START_A_WORKER


@click.command()
@JSON
@reports_errors
def health(*, prints_json: bool) -> None:
    """Check that Redis and a worker answer: exit code 0 if so, else 1."""
    load_dotenv()
    runtime.ledger().ping()
    workers = workers_that_answer()
    if prints_json:
        click.echo(json.dumps({"redis": True, "workers": workers}))
    else:
        answering = f"workers: {', '.join(workers)}" if workers else f"no worker answers; start one: {START_A_WORKER}"
        console().print(f"Redis answers; {answering}")
    sys.exit(Exit.DONE if workers else Exit.REFUSED)

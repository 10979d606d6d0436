"""The commands that run Ringproof's processes: a worker, and beat.

They start what `celery -A worker worker` and `celery -A worker beat` start. Celery puts the current folder before all
others on Python's path while it loads modules, so that a project's own `worker.py` or `tasks.py` there would be loaded
in place of Ringproof's. These commands have loaded the right ones before.
"""

import sys
from importlib import import_module

import click

from worker.celery import TASKS, app
from worker.cli.options import load_dotenv, says_what_is_wrong

PASSES_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=PASSES_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF CELERY]...")
@says_what_is_wrong
def worker(arguments: tuple[str, ...]) -> None:
    """Run a worker, from any folder.

    All options are those of Celery: ringproof worker -n bulk@%h -Q ringproof.scheduled,ringproof.bulk -c 2. They are
    listed by: celery worker --help. Without any, the worker serves all four queues, a process for each core.
    """
    _run("worker", arguments)


@click.command(context_settings=PASSES_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF CELERY]...")
@says_what_is_wrong
def beat(arguments: tuple[str, ...]) -> None:
    """Run beat, which has the sweep and the feeder run each second.

    Several may run. All options are those of Celery, as celery beat --help lists them.
    """
    _run("beat", arguments)


def _run(process: str, arguments: tuple[str, ...]) -> None:
    load_dotenv()
    for name in TASKS:
        import_module(f"tasks.{name}")
    sys.exit(app.start([process, *arguments]))

"""The commands that run Ringproof's processes: a worker, and beat.

They start what `celery -A worker worker` and `celery -A worker beat` start. With those, Celery looks for modules in the
current folder first, so a project's own `worker.py` or `tasks.py` there would be loaded in place of Ringproof's. These
commands load Ringproof's modules before Celery looks.
"""

from importlib import import_module

import click

from worker.celery import TASKS
from worker.cli.options import load_dotenv, reports_errors

PASSES_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=PASSES_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF CELERY]...")
@reports_errors
def worker(arguments: tuple[str, ...]) -> None:
    """Run a worker, from any folder.

    One worker for everything: ringproof worker -P threads -c 16 -B. It takes messages of all four queues with 16
    threads, and -B has it run beat. Each process of a worker sends to 64 numbers at once, whatever -c is. The options
    are those of Celery's worker; to list them: celery worker --help.
    """
    _run("worker", arguments)


@click.command(context_settings=PASSES_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF CELERY]...")
@reports_errors
def beat(arguments: tuple[str, ...]) -> None:
    """Run beat, which starts the sweep and the feeder when needed.

    Several beats may run at once. The options are those of Celery's beat. To list them: celery beat --help.
    """
    _run("beat", arguments)


def _run(process: str, arguments: tuple[str, ...]) -> None:
    """Run Celery's own command on our application, and end as it ends."""
    from celery.bin.celery import celery  # noqa: PLC0415  # its import looks up this machine's name

    if {"-D", "--detach"} & set(arguments):
        raise click.UsageError("A detached process would not find Ringproof. Run it under a supervisor instead.")
    load_dotenv()
    for name in TASKS:
        import_module(f"tasks.{name}")
    celery.main(["-A", "worker", process, *arguments], prog_name="ringproof", auto_envvar_prefix="CELERY")

"""`ringproof doctor`: everything that can be tried on an installation, each with what to do."""

import sys
from contextlib import nullcontext

import click
from rich.text import Text

from ringproof import runtime
from worker.cli.options import JSON, load_dotenv, reports_errors
from worker.observe.doctor.examination import examine
from worker.views.console import console
from worker.views.doctor import doctor_json, group_view, has_failed, summary
from worker.views.exit_code import Exit


@click.command()
@JSON
@reports_errors
def doctor(*, prints_json: bool) -> None:
    """Try everything that can be tried, and say what to do.

    It looks at the settings here, Redis, the workers and beat, the clocks, and the way to Plivo. Where a worker's
    credentials are in the environment, it asks Plivo for one entry of its list, at a slot of the pace. It changes
    nothing, and ends within 20 s also if Redis or Plivo hang.

    The exit code is 1 if a check has failed, and 0 otherwise, with warnings, too.
    """
    load_dotenv()
    groups, terminal = {}, console()
    with nullcontext() if prints_json else terminal.status("trying Redis, the workers and Plivo"):
        for name, lines in examine(runtime.environment()):
            groups[name] = lines
            if not prints_json:
                terminal.print(group_view(name, lines), Text())
    if prints_json:
        click.echo(doctor_json(groups))
    else:
        terminal.print(summary(groups))
    sys.exit(Exit.REFUSED if has_failed(groups) else Exit.DONE)

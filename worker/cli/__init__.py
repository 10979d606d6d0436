"""The `ringproof` command."""

import os
import sys
from pathlib import Path

import click

from ringproof import runtime
from ringproof.ledger.rights import Role
from worker.cli import audit, batch, cancel, local, number, pace, processes, resend, roster, verified


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ringproof", prog_name="ringproof")
def main() -> None:
    """Verify phone numbers with Plivo: one code a number, none lost, none sent twice.

    To try it: ringproof demo. It needs no Plivo account, and no Redis.

    The command reads RINGPROOF_REDIS_URL and its other variables from the environment. It reads variables that are
    not set there from .env in this folder.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 accepted but not finished, or in doubt.
    """
    runtime.role = Role.OPERATOR
    # None: the parent process has closed it.
    sys.stdin = sys.stdin or Path(os.devnull).open()  # noqa: SIM115 - it stays open until the process ends
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - the same
    if sys.stdout is None:
        raise click.UsageError("Standard output is closed. Send it somewhere, such as to /dev/null.")


batch.batch.add_command(resend.resend)
for command in (
    number.initiate,
    number.status,
    cancel.cancel,
    number.confirm,
    number.remove,
    number.erase,
    verified.numbers,
    verified.sync,
    verified.reverify,
    roster.import_,
    batch.batch,
    pace.pause,
    pace.resume,
    pace.limits,
    processes.worker,
    processes.beat,
    audit.audit,
    local.health,
    local.sandbox,
    local.demo,
):
    main.add_command(command)

"""The `ringproof` command."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from ringproof import runtime
from ringproof.ledger.role import Role
from worker.cli.account import check_command
from worker.cli.lazy_group import LazyGroup
from worker.observe import hints

_COMMANDS: Final = {
    "accounts": "accounts:accounts",
    "audit": "audit:audit",
    "batch": "batch:batch",
    "beat": "processes:beat",
    "cancel": "cancel:cancel",
    "confirm": "number:confirm",
    "demo": "local:demo",
    "doctor": "doctor:doctor",
    "door": "door:door",
    "erase": "number:erase",
    "health": "health:health",
    "import": "roster:import_",
    "initiate": "number:initiate",
    "limits": "pace:limits",
    "ls": "ls:ls",
    "metrics": "metrics:metrics",
    "page": "serve:page",
    "pause": "pace:pause",
    "remove": "number:remove",
    "resume": "pace:resume",
    "reverify": "verified:reverify",
    "sandbox": "local:sandbox",
    "serve": "serve:serve",
    "status": "status:status",
    "sync": "verified:sync",
    "webhook": "webhook:webhook",
    "worker": "processes:worker",
}
"""Each command with its module in this package, and its name there."""


@click.group(cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ringproof", prog_name="ringproof")
@click.option(
    "--account", metavar="NAME", help="The account it is about  [default: RINGPROOF_ACCOUNT, or the default one]"
)
@click.pass_context
def main(context: click.Context, account: str | None) -> None:
    """Verify phone numbers with Plivo: one code a number, none lost, none sent twice.

    To try it: ringproof demo. It needs no Plivo account, and no Redis.

    The command reads RINGPROOF_REDIS_URL and its other variables from the environment. It reads variables that are
    not set there from .env in this folder.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 accepted but not finished, or in doubt.
    """
    check_command(account, context.invoked_subcommand)
    hints.account = account
    runtime.role = Role.OPERATOR
    # None: the parent process has closed it.
    sys.stdin = sys.stdin or Path(os.devnull).open()  # noqa: SIM115 - it stays open until the process ends
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - the same
    if sys.stdout is None:
        raise click.UsageError("Standard output is closed. Send it somewhere, such as to /dev/null.")

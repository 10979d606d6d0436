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
    "accounts": ("groups:accounts", "Show the accounts beside the default one, and try them."),
    "audit": ("audit:audit", "Show who did what, and when: oldest first, in UTC."),
    "batch": ("groups:batch", "Look after batches. ringproof import makes them."),
    "beat": ("processes:beat", "Run beat, which starts the sweep and the feeder when needed."),
    "cancel": ("cancel:cancel", "Cancel what has not begun, of a NUMBER or of many numbers."),
    "confirm": ("number:confirm", "Enter the code that a NUMBER got."),
    "demo": ("local:demo", "Show 200 rows being sent to, and a worker being killed."),
    "doctor": ("doctor:doctor", "Try everything that can be tried, and say what to do."),
    "door": ("groups:door", "Show and change who may call ringproof serve."),
    "erase": ("number:erase", "Delete a NUMBER here: its record, its history, its requests."),
    "health": ("health:health", "Check that Redis takes writes and work is taken: exit 0, else 1."),
    "import": ("roster:import_", "Send a code to each number of a roster."),
    "initiate": ("number:initiate", "Send a code to each NUMBER, and report the results."),
    "limits": ("groups:limits", "Show the limits, or set other limits for a while."),
    "ls": ("ls:ls", "List numbers: all, these NUMBERs, or those in a state."),
    "metrics": ("metrics:metrics", "Tell Prometheus what is sent, what waits, and what is wrong."),
    "page": ("serve:page", "Show batches, the sending and numbers in a browser."),
    "pause": ("pace:pause", "Pause sending, in all lanes or in one."),
    "remove": ("number:remove", "Delete a verified NUMBER at Plivo, and erase it here."),
    "resume": ("pace:resume", "End a pause, of all lanes or of one."),
    "reverify": ("verified:reverify", "Verify verified NUMBERs again, now."),
    "sandbox": ("local:sandbox", "Serve Plivo's API on this machine, for tests; nothing is sent."),
    "serve": ("serve:serve", "Serve Plivo's API from the ledger, to programs in any language."),
    "status": ("status:status", "Show where a NUMBER stands, or the sending as a whole."),
    "sync": ("verified:sync", "Read Plivo's whole list of verified numbers."),
    "webhook": ("groups:webhook", "Test webhooks, list what waits, and send events once more."),
    "worker": ("processes:worker", "Run a worker, from any folder."),
}
"""Each command with its module in this package, its name there, and the first sentences of its help."""


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

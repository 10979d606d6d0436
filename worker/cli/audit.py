"""`ringproof audit`, and how the other commands note what an operator does."""

import getpass
import os
import socket
from dataclasses import asdict
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from ringproof import runtime
from ringproof.ledger import audit as trail
from worker.cli.account import account_ledger
from worker.cli.options import load_dotenv, reports_errors
from worker.views.console import console
from worker.views.text import json_line

MOST_SHOWN: Final = 100

AS = click.option(
    "--as", "actor", metavar="NAME", help="Who does this, for ringproof audit  [default: this user at this host]"
)


def note(actor: str | None, action: str, subject: str = "") -> None:
    """Note in the account's audit trail what the command is about to do, before it does it."""
    trail.note(account_ledger(), actor or user_at_host(), action, subject)


def note_at_home(actor: str | None, action: str, subject: str = "") -> None:
    """Do the same in the trail of the default account: for what concerns the whole installation."""
    trail.note(runtime.ledger(), actor or user_at_host(), action, subject)


@click.command()
@click.option(
    "--last",
    "count",
    type=click.IntRange(1, trail.MOST_ENTRIES),
    default=MOST_SHOWN,
    show_default=True,
    help="How many of the newest entries to show.",
)
@click.option("--json", "prints_json", is_flag=True, help="Print each entry as a line of JSON.")
@reports_errors
def audit(count: int, *, prints_json: bool) -> None:
    """Show who did what, and when: oldest first, in UTC.

    Each account has a trail of its own. Credentials of the front door are in that of the default account.

    A command adds its entry before it pauses, resumes or cancels something, sets limits, imports, retries or resends
    rows, verifies numbers again, ends verifications, writes numbers in full, erases a number or removes it. Numbers are
    masked. The last 10,000 entries are kept. Nothing proves the name in an entry.
    """
    load_dotenv()
    entries = list(trail.entries(account_ledger(), count))
    if prints_json:
        for entry in entries:
            click.echo(json_line(asdict(entry)))
        return
    if not entries:
        console(stderr=True).print("no entry yet: nobody has changed anything with the command")
        return
    table = Table.grid(padding=(0, 2))
    for entry in entries:
        table.add_row(*map(Text, (f"{entry.at:%Y-%m-%d %H:%M:%SZ}", entry.actor, entry.action, entry.subject)))
    console().print(table)


def user_at_host() -> str:
    """Return who runs the command, as well as this machine knows: `alice@ops1`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in a container the user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"

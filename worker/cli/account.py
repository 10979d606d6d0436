"""Which account a command is about: that of `ringproof --account NAME …`, or of RINGPROOF_ACCOUNT."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click

from ringproof import runtime
from worker.cli.options import ACCOUNT

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

_FOR_ALL: Final = "its processes serve all accounts"

WITHOUT_ACCOUNT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "accounts": "it is about all accounts; ringproof accounts check NAME is about one",
        "beat": _FOR_ALL,
        "demo": "it has a Redis and an account of its own",
        "sandbox": "it serves Plivo's API for any account",
        "worker": _FOR_ALL,
    }
)
"""The commands that are about no account, each with why. RINGPROOF_ACCOUNT does not matter to them."""


def check_command(account: str | None, command: str | None) -> None:
    """Raise `UsageError` if --account was given to a command that is about none."""
    if account is not None and (why := WITHOUT_ACCOUNT.get(command or "")):
        raise click.UsageError(f"ringproof {command} takes no --account: {why}.")


def account_name() -> str | None:
    """Return the name of the account; None: the default account. Call it after `load_dotenv`."""
    given: str | None = click.get_current_context().find_root().params.get("account")
    return (given if given is not None else runtime.environment().get(ACCOUNT, "")).strip() or None


def account_ledger() -> "Ledger":
    """Return the account's ledger. Raises `UnknownAccount`."""
    return runtime.ledger(account_name())

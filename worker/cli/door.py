"""`ringproof door`: who may call the front door."""

import sys
from typing import Any, Final

import click

from ringproof import runtime
from ringproof.ledger import credentials
from ringproof.ledger.credentials import Scope
from worker.cli.account import account_name
from worker.cli.audit import AS, note_at_home
from worker.cli.options import JSON, load_dotenv, print_result, reports_errors
from worker.views.console import console
from worker.views.exit_code import Exit
from worker.views.text import json_line

ALL: Final = ",".join(Scope)


class Scopes(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3 alone
    """Scopes with commas between them, such as verify,read."""

    name = "SCOPES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[Scope]:
        """Return the scopes, or fail with their names."""
        try:
            return frozenset(Scope(name.strip().lower()) for name in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not allowed; write some of {ALL}, with commas between them", param, ctx)


ACCOUNT: Final = click.option(
    "--account", metavar="NAME", help="The account in whose name it acts  [default: that of ringproof --account]"
)


@click.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=Scopes(),
    default=ALL,
    show_default=True,
    metavar="SCOPES",
    help="What it may do: have codes sent and checked, import batches, and learn about numbers.",
)
@ACCOUNT
@JSON
@AS
@reports_errors
def add(name: str, scopes: frozenset[Scope], account: str | None, actor: str | None, *, prints_json: bool) -> None:
    """Make a credential, and print its token once.

    The auth id and the token take the place of Plivo's in a client of Plivo's. Other programs send the token alone:
    `Authorization: Bearer TOKEN`. Redis keeps a hash of it, so that a lost token cannot be shown again.
    """
    load_dotenv()
    chosen = account_name() if account is None else account.strip() or None
    runtime.ledger(chosen)  # it names an account that there is not
    note_at_home(actor, "door add", f"{name} for {chosen}" if chosen else name)
    issued = credentials.issue(runtime.ledger(), name, scopes, account=chosen)
    auth_id, token = issued.credential.auth_id, issued.token.get_secret_value()
    if prints_json:
        shown = {"name": name, "auth_id": auth_id, "token": token, "scopes": sorted(scopes), "account": chosen}
        click.echo(json_line(shown))
        return
    click.echo(f"auth_id {auth_id}\ntoken   {token}")
    console(stderr=True).print("the token is not shown again; keep it where the program reads its secrets")


@click.command()
@JSON
@reports_errors
def ls(*, prints_json: bool) -> None:
    """List the credentials, without their tokens: those of all accounts, or those of ringproof --account NAME."""
    load_dotenv()
    account = account_name()
    known = [one for one in credentials.credentials(runtime.ledger()) if account in {None, one.account}]
    for one in known:
        if prints_json:
            shown = {"name": one.name, "auth_id": one.auth_id, "scopes": sorted(one.scopes), "account": one.account}
            click.echo(json_line(shown | {"created_at": one.created_at}))
        else:
            owner = f"  for {one.account}" if one.account else ""
            scopes = ",".join(sorted(one.scopes))
            console().print(f"{one.auth_id}  {one.created_at:%Y-%m-%d}  {scopes}  {one.name}{owner}")
    if not known:
        whose = f" for {account}" if account else ""
        console(stderr=True).print(
            f"no program may call the front door{whose}; to make a credential: ringproof door add NAME"
            f"{f' --account {account}' if account else ''}"
        )


@click.command()
@click.argument("name")
@JSON
@AS
@reports_errors
def revoke(name: str, actor: str | None, *, prints_json: bool) -> None:
    """Revoke a credential: within a second nobody can use it.

    The exit code is 1 if none has this name.
    """
    load_dotenv()
    account, home = account_name(), runtime.ledger()
    is_known = not account or any((name, account) == (one.name, one.account) for one in credentials.credentials(home))
    note_at_home(actor, "door revoke", name)
    is_revoked = is_known and credentials.revoke(home, name)
    whose = f" of {account}" if account else ""
    text = (
        f"revoked {name}"
        if is_revoked
        else f"no credential{whose} has the name {name}; to list them: ringproof door ls"
    )
    print_result(text, {"name": name, "revoked": is_revoked}, as_json=prints_json)
    sys.exit(Exit.DONE if is_revoked else Exit.REFUSED)

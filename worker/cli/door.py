"""`ringproof door`: who may call the front door."""

import sys
from typing import Any, Final

import click

from ringproof import runtime
from ringproof.ledger import credentials
from ringproof.ledger.credentials import Scope
from worker.cli.audit import AS, note
from worker.cli.options import JSON, load_dotenv, reports_errors
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


@click.group()
def door() -> None:
    """Show and change who may call ringproof serve."""


@door.command()
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
@JSON
@AS
@reports_errors
def add(name: str, scopes: frozenset[Scope], actor: str | None, *, prints_json: bool) -> None:
    """Make a credential, and print its token once.

    The auth id and the token take the place of Plivo's in a client of Plivo's. Other programs send the token alone:
    `Authorization: Bearer TOKEN`. Redis keeps a hash of it, so that a lost token cannot be shown again.
    """
    load_dotenv()
    ledger = runtime.ledger()
    note(actor, "door add", name)
    issued = credentials.issue(ledger, name, scopes)
    auth_id, token = issued.credential.auth_id, issued.token.get_secret_value()
    if prints_json:
        click.echo(json_line({"name": name, "auth_id": auth_id, "token": token, "scopes": sorted(scopes)}))
        return
    click.echo(f"auth_id {auth_id}\ntoken   {token}")
    console(stderr=True).print("the token is not shown again; keep it where the program reads its secrets")


@door.command()
@JSON
@reports_errors
def ls(*, prints_json: bool) -> None:
    """List the credentials, without their tokens."""
    load_dotenv()
    known = credentials.credentials(runtime.ledger())
    for one in known:
        if prints_json:
            shown = {"name": one.name, "auth_id": one.auth_id, "scopes": sorted(one.scopes)}
            click.echo(json_line(shown | {"created_at": one.created_at}))
        else:
            console().print(f"{one.auth_id}  {one.created_at:%Y-%m-%d}  {','.join(sorted(one.scopes))}  {one.name}")
    if not known:
        console(stderr=True).print("no program may call the front door; to make a credential: ringproof door add NAME")


@door.command()
@click.argument("name")
@AS
@reports_errors
def revoke(name: str, actor: str | None) -> None:
    """Revoke a credential: within a second nobody can use it.

    The exit code is 1 if none has this name.
    """
    load_dotenv()
    note(actor, "door revoke", name)
    if not credentials.revoke(runtime.ledger(), name):
        console().print(f"no credential has the name {name}; to list them: ringproof door ls")
        sys.exit(Exit.REFUSED)
    console().print(f"revoked {name}")

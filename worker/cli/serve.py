"""`ringproof serve` and `ringproof page`: the front door, and the live page without it."""

from pathlib import Path
from typing import Any

import click

from ringproof import runtime
from ringproof.ledger.role import Role
from worker.cli.account import account_name
from worker.cli.audit import user_at_host
from worker.cli.extras import import_with
from worker.cli.options import load_dotenv, reports_errors

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8088, show_default=True, help="0 takes a free port.")
@click.option("--behind-proxy", is_flag=True, help="A proxy in front of it has TLS.")
@click.option("--tls-cert", type=FILE, metavar="FILE", help="The certificate of this server, in PEM.")
@click.option("--tls-key", type=FILE, metavar="FILE", help="The key of that certificate, in PEM.")
@click.option("--no-auth", is_flag=True, help="Ask no caller for a credential: on this machine, for development.")
@reports_errors
def serve(
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    *,
    behind_proxy: bool,
    no_auth: bool,
) -> None:
    """Serve Plivo's API from the ledger, to programs in any language.

    A client of Plivo's calls it in place of Plivo, with a credential of `ringproof door add`. However often the client
    repeats a request, Plivo gets it once. Workers send the codes.

    Its page at / shows the batches, what holds sending back and the story of a number, to people who log in with such a
    credential. A credential acts for one account, and its caller sees nothing of the others.

    It listens on this machine unless --host says otherwise, and beyond it only with TLS, its own or a proxy's.
    SIGTERM and Ctrl-C let what runs be answered.
    """
    load_dotenv()
    runtime.role = Role.WORKER
    server, account = import_with("web", "worker.web.server"), account_name()
    if account and not no_auth:
        _refuse_account()
    link = _login_link(account) if no_auth else None
    place = server.Place(host, port, behind_proxy, tls_cert, tls_key, no_auth, link)
    server.serve(runtime.settings(), runtime.ledger(), place, lambda url: _announce(url, link))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8089, show_default=True, help="0 takes a free port.")
@reports_errors
def page(port: int) -> None:
    """Show batches, the sending and numbers in a browser.

    The command prints a link that lets one person in, once. Where ringproof serve runs, the same page is at its
    address, for people who log in with a credential.

    It listens on 127.0.0.1 alone. Ctrl-C ends it.
    """
    load_dotenv()
    runtime.role = Role.WORKER
    server, link = import_with("web", "worker.web.server"), _login_link(account_name())
    place = server.Place(port=port, is_open=True, link=link)
    server.serve_page(runtime.settings(), runtime.ledger(), place, lambda url: _announce_page(url, link))


def _refuse_account() -> None:
    """Refuse --account; RINGPROOF_ACCOUNT is for other commands, and does not matter to a server of all accounts."""
    if click.get_current_context().find_root().params.get("account"):
        raise click.UsageError(
            "ringproof serve takes --account with --no-auth only: a caller's credential says which account it acts for."
        )


def _login_link(account: str | None) -> Any:
    """Return a link to the page of an account. Raises `UnknownAccount`."""
    runtime.ledger(account)
    return import_with("web", "worker.web.login_link").LoginLink(user_at_host(), account)


def _announce(url: str, link: Any) -> None:
    click.echo(f"the front door is at {url}{', and asks nobody for a credential' if link else ''}")
    if link:
        _announce_page(url, link)


def _announce_page(url: str, link: Any) -> None:
    click.echo(f"the live page is at {url}{link.path()} (the link works once)")

"""`ringproof serve`: the front door."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ringproof import errors, runtime
from ringproof.ledger.role import Role
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

    It listens on this machine unless --host says otherwise, and beyond it only with TLS, its own or a proxy's.
    SIGTERM and Ctrl-C let what runs be answered.
    """
    load_dotenv()
    runtime.role = Role.WORKER
    server = _web("worker.web.server")
    place = server.Place(host, port, behind_proxy, tls_cert, tls_key, no_auth)
    server.serve(runtime.settings(), runtime.ledger(), place, lambda url: _announce(url, is_open=no_auth))


def _announce(url: str, *, is_open: bool) -> None:
    click.echo(f"the front door is at {url}{', and asks nobody for a credential' if is_open else ''}")


def _web(module: str) -> Any:
    """Load a module that needs the extra `web`. Raises `Misconfigured` if that is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise errors.Misconfigured(
            f"{error.name} is not installed; to install it: pip install 'ringproof[web]'"
        ) from None

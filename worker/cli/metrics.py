"""`ringproof metrics`: the exporter for Prometheus."""

import contextlib
import signal
from types import FrameType
from typing import Final

import click

from ringproof import runtime
from worker.cli.account import account_name
from worker.cli.extras import import_with
from worker.cli.options import load_dotenv, reports_errors

PORT: Final = 9464
"""The port that OpenTelemetry's exporters for Prometheus use."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free port.")
@reports_errors
def metrics(host: str, port: int) -> None:
    """Tell Prometheus what is sent, what waits, and what is wrong.

    The series of an account beside the default one have the label account. The first 50 accounts have all of them, and
    the others are counted; ringproof --account NAME metrics has all of one.

    It reads Redis at each scrape, so that one process is enough, and it can be restarted at any time.

    It listens on this machine unless --host says otherwise. It asks nobody for a credential, and shows no number, code
    or token. SIGTERM and Ctrl-C end it.
    """
    load_dotenv()
    exporter = import_with("observe", "worker.observe.exporter")
    account = account_name()
    runtime.ledger(account)  # it names an account that there is not
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.suppress(KeyboardInterrupt):
        exporter.serve(runtime.ledger(), host, port, _announce, account)


def _announce(url: str) -> None:
    click.echo(f"Prometheus finds the metrics at {url}")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt

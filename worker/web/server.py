"""The front door's server: where it may listen, and how it stops."""

import logging
import signal
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from ringproof.errors import Misconfigured
from ringproof.ledger.credentials import credentials
from ringproof.ledger.ledger import Ledger
from ringproof.network.this_machine import is_this_machine
from ringproof.settings import Settings
from worker.celery.logs import set_up_logging
from worker.plivo_http.connection import TimedConnection
from worker.plivo_http.server import KEEP_ALIVE_SECONDS, SocketServer, bound
from worker.web.app import application, page_application
from worker.web.login_link import LoginLink
from worker.web.site import Site

LAST_ANSWERS_SECONDS: Final = 15
"""How long a stop waits for the answers that run. The longest one, a wait of the API's, ends when the stop begins."""

SWITCH_SECONDS: Final = 0.0005
"""How long a thread may keep the interpreter while others wait for it. A roster that is read takes all it gets. Beside
four of them a person waited 0.56 s in the median with Python's 5 ms, and 0.14 s with this.
"""

_NO_CREDENTIAL: Final = (
    "no program has a credential yet; make one with `ringproof door add NAME`, or start with --no-auth on this machine"
)
_IN_CLEAR: Final = (
    "tokens and phone numbers would cross the network in clear; give --tls-cert and --tls-key, or start with "
    "--behind-proxy if a proxy in front of it has TLS"
)
_OPEN: Final = "--no-auth is for 127.0.0.1 alone: everybody who reaches the port could have codes sent"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server listens, and how it is reached."""

    host: str = "127.0.0.1"
    port: int = 8088
    is_behind_proxy: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    is_open: bool = False
    link: LoginLink | None = None

    @property
    def is_secure(self) -> bool:
        """Whether callers reach it by TLS."""
        return self.is_behind_proxy or self.tls_cert is not None

    def check(self, ledger: Ledger) -> None:
        """Raise `Misconfigured` unless it is safe to listen here. Raises `LedgerUnavailable`."""
        problems = []
        is_local = is_this_machine(self.host)
        if not is_local and not self.is_behind_proxy and not self.tls_cert:
            problems.append(f"--host {self.host}: {_IN_CLEAR}")
        if self.is_open and (not is_local or self.is_behind_proxy):
            problems.append(_OPEN)
        if bool(self.tls_cert) != bool(self.tls_key):
            problems.append("--tls-cert and --tls-key belong together; give both files")
        elif self.tls_cert:
            problems += _faults_of_tls(self.tls_cert, self.tls_key)
        if not self.is_open and not credentials(ledger):
            problems.append(_NO_CREDENTIAL)
        if problems:
            raise Misconfigured(*problems)


class DoorServer(SocketServer):
    """Serves an application of one site. A signal ends it when what runs is answered."""

    def __init__(self, app: Starlette, site: Site, place: Place, ready: Callable[[str], None]) -> None:
        self._site = site
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,  # it would have numbers in it
                http=TimedConnection,
                lifespan="on",
                log_config=None,
                log_level="warning",
                loop="asyncio",
                proxy_headers=False,  # nothing depends on a caller's address, so that nobody is believed about it
                server_header=False,
                ssl_certfile=place.tls_cert,
                ssl_keyfile=place.tls_key,
                timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                ws="none",
            ),
            bound(place.host, place.port),
            ready,
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._site.stopping.set()
        super().handle_exit(signal.SIGTERM if sig == signal.SIGINT else sig, frame)


def serve(settings: Settings, ledger: Ledger, place: Place, ready: Callable[[str], None]) -> None:
    """Run the front door until SIGINT or SIGTERM. Call it in the main thread, because it takes the signals.

    `ready` gets the URL. Raises `Misconfigured` if it is not safe to listen there, and `LedgerUnavailable`.
    """
    place.check(ledger)
    set_up_logging(logging.INFO)
    sys.setswitchinterval(SWITCH_SECONDS)
    site = Site.build(settings, ledger, is_open=place.is_open, is_secure=place.is_secure, link=place.link)
    DoorServer(application(site), site, place, ready).run()


def serve_page(settings: Settings, ledger: Ledger, place: Place, ready: Callable[[str], None]) -> None:
    """Run the live page alone, as `serve` runs the front door. The place must be on this machine, and have a link."""
    ledger.ping()
    set_up_logging(logging.INFO)
    site = Site.build(settings, ledger, is_open=True, link=place.link)
    DoorServer(page_application(site), site, place, ready).run()


def _faults_of_tls(cert: Path, key: Path | None) -> list[str]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError) as error:
        return [f"--tls-cert {cert}: it cannot be used with its key ({error}); give files in PEM, without a password"]
    return []

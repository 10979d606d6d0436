"""A company's network on this machine: a real proxy in a process of its own, and a private certificate authority."""

import contextlib
import ssl
import sys
from pathlib import Path

import trustme
from proxy.http.proxy import HttpProxyBasePlugin
from support.harness import Process, eventually

PLIVO = "plivo.test"
"""A name that only the proxy knows."""
LOGIN = ("worker", "pass:w/rd@1é")
ESCAPED = "pass%3Aw%2Frd%401%C3%A9"


class KnowsPlivo(HttpProxyBasePlugin):
    """Has the proxy look up Plivo's name, which is this machine. It is loaded in the proxy's own process."""

    def resolve_dns(self, host, _port):
        return ("127.0.0.1", None) if host == PLIVO else (None, None)


class CompanyProxy(Process):
    """A real HTTP proxy. It writes a line into its log for each CONNECT, when the tunnel has ended."""

    def __init__(self, folder: Path, environ, login=None):
        port_file = folder / "port"
        command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", "0", "--port-file", port_file]
        command += ["--num-workers", "1", "--num-acceptors", "1", "--data-dir", folder]
        command += ["--plugins", "support.company_proxy.KnowsPlivo"]
        if login:
            command += ["--basic-auth", ":".join(login)]
        tests = str(Path(__file__).parents[1])
        super().__init__([str(word) for word in command], folder / "proxy.log", environ | {"PYTHONPATH": tests}, folder)
        with contextlib.suppress(AssertionError):
            eventually(lambda: port_file.exists() and port_file.read_text().strip(), why="the proxy does not start")
        self.port = int(port_file.read_text())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def tunnels(self):
        return self.log.count(f"CONNECT {PLIVO}:")


class Authority:
    """A private certificate authority, as a company has one that looks into TLS."""

    def __init__(self, folder: Path):
        self._authority = trustme.CA()
        self.bundle = folder / "company.pem"
        self._authority.cert_pem.write_to_path(self.bundle)

    def server(self, *names):
        """What a TLS server of these names needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names).configure_cert(context)
        return context

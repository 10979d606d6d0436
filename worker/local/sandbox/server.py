"""The sandbox's server: Plivo on this machine, for demos and tests. It sends nothing, and remembers the codes.

`/v1/Account/{auth_id}/VerifiedCallerId/` is Plivo's resource (resource.py). `/sandbox/` has the sandbox's own routes
(routes.py), and `/` is the page with what each phone has got (inbox.py). All state is in memory, and one process is
one account.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import click
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from ringproof.errors import Misconfigured
from worker.local.sandbox.people import People
from worker.local.sandbox.resource import VerifiedCallerIdResource
from worker.local.sandbox.routes import SandboxRoutes, version
from worker.local.sandbox.state import SandboxState
from worker.local.sandbox.switches import Switches
from worker.plivo_http.server import KEEP_ALIVE_SECONDS, SocketServer, bound

PORT = 8077
ANY_AUTH_ID, ANY_AUTH_TOKEN = "MASANDBOX00000000000", "sandbox"  # any others work, too
NO_SWITCHES = Switches()

Enter = Callable[[SandboxState], Coroutine[Any, Any, None]]
"""Enters what the people of a sandbox enter, until it is cancelled (entering.py)."""


class Sandbox(SocketServer):
    """Serve on one loopback socket, refuse connections for a while on demand, and end without a traceback.

    SIGINT and SIGTERM end it within a second, even if clients still wait for an answer. uvicorn writes the `Server`
    header, so that its own 500 has it, too. Only its 400 for bytes that are no HTTP has none.
    """

    def __init__(
        self,
        host: str,
        port: int,
        switches: Switches,
        credentials: tuple[str, str] | None,
        ready: Callable[[str], None],
        people: People | None,
        enter: Enter | None,
    ) -> None:
        self._listening_again: asyncio.Task[None] | None = None
        self._entering: asyncio.Task[None] | None = None
        self._enter = enter
        self.state = state = SandboxState(switches, people)
        resource = VerifiedCallerIdResource(state, credentials, self.wire)
        super().__init__(
            uvicorn.Config(
                self._quiet_at_the_end(SandboxRoutes(state, self.refuse).app(resource)),
                access_log=False,  # it would have numbers in it
                headers=[("Server", f"ringproof-sandbox/{version()}")],
                http="h11",
                lifespan="off",
                log_config=None,
                log_level="warning",
                loop="asyncio",
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                ws="none",
            ),
            bound(host, port),
            ready,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and have people enter their codes if they do."""
        if self._enter:
            self._entering = asyncio.create_task(self._enter(self.state))
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Abort all open connections and end, without waiting for any client."""
        for own in (self._listening_again, self._entering):
            if own:
                own.cancel()
        for connection in list(self.server_state.connections):
            _transport(connection).abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await super().shutdown(sockets)
        self.listening.close()

    def wire(self, peer: tuple[str, int]) -> asyncio.Transport | None:
        """Return the connection of a peer, for what no ASGI message can do; None: the peer is gone."""
        transports = (_transport(connection) for connection in self.server_state.connections)
        return next((transport for transport in transports if transport.get_extra_info("peername") == peer), None)

    def refuse(self, seconds: float) -> None:
        """Refuse connections for so many seconds, from this moment on.

        Idle connections end; the others end after their answer. The port stays bound without a listener, so that no
        other process can take it.
        """
        for server in self.servers:
            server.close()
        self.servers.clear()
        self.listening = bound(*self.address, listen=False)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        self._listening_again = asyncio.create_task(self._listen_again(seconds))

    async def start_again(self) -> None:
        """Forget everything, accept connections again at once, and abort the open ones: nobody waits for an answer."""
        self.state.reset()
        if self._listening_again and not self._listening_again.done():
            self._listening_again.cancel()
            await self._listen_again(0)
        for connection in list(self.server_state.connections):
            _transport(connection).abort()

    async def _listen_again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(self._connection, sock=self.listening))

    def _connection(self) -> asyncio.Protocol:
        protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return protocol(config=self.config, server_state=self.server_state, app_state={})

    def _quiet_at_the_end(self, app: ASGIApp) -> ASGIApp:
        async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:  # by shutdown; uvicorn would print a traceback
                if not self.should_exit:
                    raise

        return quiet


def serve(
    port: int = PORT,
    *,
    switches: Switches = NO_SWITCHES,
    credentials: tuple[str, str] | None = None,
    ready: Callable[[str], None] | None = None,
    host: str = "127.0.0.1",
    people: People | None = None,
    enter: Enter | None = None,
) -> None:
    """Run the sandbox until SIGINT or SIGTERM. Call it in the main thread, because it takes the signals.

        serve(0, switches=Switches(code_length=8), people=People.read("right=80,wrong=20", "1-5"))

    With port 0 it gets a free one. `ready` gets the URL when the sandbox listens; without `ready`, one line shows what
    to export. If `credentials` are given, the sandbox accepts no others. Without `people`, no person answers. `enter`
    has their codes entered for as long as the sandbox runs; without it, the sandbox only offers them.

    Raises `Misconfigured` if the port is taken or the address is not this machine's own.
    """
    if not (host == "localhost" or _is_loopback(host)):
        raise Misconfigured(f"the sandbox serves this machine only, not {host}; use 127.0.0.1")
    Sandbox(host, port, switches, credentials, ready or (lambda url: _announce(url, credentials)), people, enter).run()


def _announce(url: str, credentials: tuple[str, str] | None) -> None:
    exported = f"PLIVO_BASE_URL={url}/v1"
    if credentials is None:  # given ones may be real; they are not printed
        exported += f" PLIVO_AUTH_ID={ANY_AUTH_ID} PLIVO_AUTH_TOKEN={ANY_AUTH_TOKEN}"
    click.echo(f"Plivo's sandbox is at {url}/ (the phones' inbox) - to use it: export {exported}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _transport(connection: Any) -> asyncio.Transport:
    transport: asyncio.Transport = connection.transport
    return transport

"""Plivo on this machine, for demos and tests: it sends nothing, and remembers what it would have sent.

`/v1/Account/{auth_id}/VerifiedCallerId/` is Plivo's resource (resource.py); `/sandbox/` is the other side:
the ledger, the phones, what their people answer, the switches, the misfortunes, the clock. All state is in
memory; one process is one account.
"""

import asyncio
import errno
import ipaddress
import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib import metadata
from itertools import islice
from typing import Any

import click
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ringproof.errors import InvalidRequest, Misconfigured
from worker.local.sandbox.misfortunes import OPERATIONS, MisfortuneKind, script
from worker.local.sandbox.people import People
from worker.local.sandbox.resource import VerifiedCallerIdResource
from worker.local.sandbox.state import SandboxState
from worker.local.sandbox.switches import Switches, is_between, number_field

PORT = 8077
ANY_AUTH_ID, ANY_AUTH_TOKEN = "MASANDBOX00000000000", "sandbox"  # any others do as well
KEEP_ALIVE_SECONDS = 75  # a balancer's; uvicorn's own 5 s would be a misfortune that nobody armed
FARTHEST_CLOCK_SECONDS = 10 * 365 * 86400.0  # farther, and a date has no year to be written with
NO_SWITCHES = Switches()


@cache
def version() -> str:
    """Ringproof's version; 0 where it runs from a checkout that was never installed."""
    try:
        return metadata.version("ringproof")
    except metadata.PackageNotFoundError:
        return "0"


class Sandbox(uvicorn.Server):
    """The server: one socket on loopback, that can be deaf for a while, and an end without a traceback.

    SIGINT and SIGTERM end it within a second, whoever still waits for an answer. uvicorn writes the `Server`
    header, so that a 500 of its own has it too; only its 400 for what is no HTTP at all has none.
    """

    def __init__(
        self,
        host: str,
        port: int,
        switches: Switches,
        credentials: tuple[str, str] | None,
        ready: Callable[[str], None],
        people: People | None,
    ) -> None:
        self._listening = _bound(host, port)
        self._address: tuple[str, int] = self._listening.getsockname()
        self._ready = ready
        self._hearing_again: asyncio.Task[None] | None = None
        self.url = f"http://{self._address[0]}:{self._address[1]}"
        state = SandboxState(switches, people)
        resource = VerifiedCallerIdResource(state, credentials, self.wire)
        super().__init__(
            uvicorn.Config(
                self._quiet_at_the_end(Control(state, self.refuse).app(resource)),
                access_log=False,  # it would hold numbers
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
            )
        )

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal comes."""
        asyncio.run(self.serve(sockets or [self._listening]))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        self._ready(self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut whatever is open, so that nothing is waited for."""
        if self._hearing_again:
            self._hearing_again.cancel()
        for connection in list(self.server_state.connections):
            _transport(connection).abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await super().shutdown(sockets)
        self._listening.close()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGINT and SIGTERM; uvicorn's own would raise them once more, and exit other than with 0."""
        loop = asyncio.get_running_loop()
        ends = (signal.SIGINT, signal.SIGTERM)
        for number in ends:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in ends:
                loop.remove_signal_handler(number)

    def wire(self, peer: tuple[str, int]) -> asyncio.Transport | None:
        """The connection of this peer itself, for what no ASGI message can do to it; None: the peer is gone."""
        transports = (_transport(connection) for connection in self.server_state.connections)
        return next((one for one in transports if one.get_extra_info("peername") == peer), None)

    def refuse(self, seconds: float) -> None:
        """Stop listening for so long: from this moment to connect is refused.

        Idle connections end, others end when they are answered. The port stays ours, bound with nobody
        listening, so that no other process can take it.
        """
        for server in self.servers:
            server.close()
        self.servers.clear()
        self._listening = _bound(*self._address, listen=False)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        self._hearing_again = asyncio.create_task(self._hear_again(seconds))

    async def _hear_again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(self._connection, sock=self._listening))

    def _connection(self) -> asyncio.Protocol:
        protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return protocol(config=self.config, server_state=self.server_state, app_state={})

    def _quiet_at_the_end(self, app: ASGIApp) -> ASGIApp:
        async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:  # by shutdown, whose client is gone; uvicorn would print a traceback
                if not self.should_exit:
                    raise

        return quiet


class Control:
    """The routes under /sandbox/: no part of Plivo, so they need no credentials and spend no limit."""

    def __init__(self, state: SandboxState, refuse: Callable[[float], None]) -> None:
        self._state, self._refuse = state, refuse

    def app(self, resource: ASGIApp) -> Starlette:
        """The whole application: Plivo's resource under /v1, and these routes."""
        self._routes = [
            Route("/sandbox/", self.about),
            Route("/sandbox/sends", self.sends),
            Route("/sandbox/sends", self.reset, methods=["DELETE"]),
            Route("/sandbox/requests", self.requests),
            Route("/sandbox/phones/{number}", self.phone),
            Route("/sandbox/answers", self.answers),
            Route("/sandbox/switches", self.switches, methods=["GET", "POST"]),
            Route("/sandbox/misfortunes", self.misfortunes, methods=["GET", "POST", "DELETE"]),
            Route("/sandbox/clock", self.clock, methods=["GET", "POST"]),
            Route("/sandbox/reset", self.reset, methods=["POST"]),
        ]
        app = Starlette(
            routes=[Route("/v1/{path:path}", resource), Route("/sandbox", self.about), *self._routes],
            exception_handlers={InvalidRequest: _invalid, HTTPException: _http_error},
        )
        app.router.redirect_slashes = False
        return app

    async def about(self, _request: Request) -> Response:
        """What this is, and what can be asked of it."""
        return JSONResponse(
            {
                "this_is": "Ringproof's sandbox of Plivo's VerifiedCallerId API; it sends nothing to anybody",
                "version": version(),
                "plivo": "/v1/Account/{auth_id}/VerifiedCallerId/",
                "routes": {route.path: self._methods(route.path) for route in self._routes},
                "misfortunes": list(MisfortuneKind),
                "operations": OPERATIONS,
                "answers": "what people enter, when it is time (?since=N): nobody has entered it as yet",
                "people": self._state.people and asdict(self._state.people),
            }
        )

    def _methods(self, path: str) -> list[str]:
        methods = {method for route in self._routes if route.path == path for method in route.methods or ()}
        return sorted(methods - {"HEAD"})

    async def sends(self, request: Request) -> Response:
        """The ledger of codes sent: `?number=` for one phone, `?since=` to leave out so many of the first."""
        state, query = self._state, request.query_params
        found = state.sends[_since(request) :]
        if "number" in query:
            number = number_field("number", query["number"])
            found = [send for send in found if send.phone_number == number]
        return JSONResponse(
            {
                "sends": [send.as_json() for send in found],
                "next": len(state.sends),
                "requests": state.requests,
                "refused_429": state.refused_429,
            }
        )

    async def requests(self, request: Request) -> Response:
        """The last 100,000 requests to /v1 in the order of their arrival; `?since=` as for the ledger."""
        state = self._state
        forgotten = state.requests - len(state.arrivals)
        found = islice(state.arrivals, max(0, _since(request) - forgotten), None)
        return JSONResponse({"requests": [asdict(arrival) for arrival in found], "next": state.requests})

    async def phone(self, request: Request) -> Response:
        """One phone's inbox."""
        return JSONResponse(self._state.inbox(number_field("number", request.path_params["number"])))

    async def answers(self, request: Request) -> Response:
        """What people enter of the codes they got, those whose time has come; how many more will is `waiting`.

        `?since=` as for the ledger.
        """
        answers = self._state.answers
        found, following = answers.since(_since(request), self._state.clock.now())
        return JSONResponse({"answers": found, "next": following, "waiting": len(answers)})

    async def switches(self, request: Request) -> Response:
        """Show the switches, or set some of them."""
        if request.method == "POST":
            self._state.switches = self._state.switches.changed(await _wish(request))
        return JSONResponse(asdict(self._state.switches))

    async def misfortunes(self, request: Request) -> Response:
        """Show what is armed, arm more, or clear them all; `refused` begins before it is answered."""
        headers = None
        if request.method == "DELETE":
            self._state.misfortunes.clear()
        if request.method == "POST":
            wished = script(await _wish(request))
            self._state.misfortunes += [one for one in wished if one.kind is not MisfortuneKind.REFUSED]
            refusals = [one.seconds or 0 for one in wished if one.kind is MisfortuneKind.REFUSED]
            if refusals:
                self._refuse(max(refusals))
                await asyncio.sleep(0)  # idle connections end in the loop's next round: who is answered finds none
                headers = {"Connection": "close"}
        return JSONResponse({"misfortunes": [one.as_json() for one in self._state.misfortunes]}, headers=headers)

    async def clock(self, request: Request) -> Response:
        """Show the clock, move it by `advance_seconds`, or put it `offset_seconds` from the real time."""
        clock = self._state.clock
        if request.method == "POST":
            wish = await _wish(request)
            if wish.keys() not in ({"advance_seconds"}, {"offset_seconds"}):
                raise InvalidRequest("clock", repr(sorted(wish)), "one of advance_seconds and offset_seconds")
            ((name, seconds),) = wish.items()
            start = clock.offset_seconds if name == "advance_seconds" else 0.0
            if not is_between(seconds, -FARTHEST_CLOCK_SECONDS - start, FARTHEST_CLOCK_SECONDS - start):
                raise InvalidRequest(name, repr(seconds), "seconds; the clock goes as far as ten years from now")
            clock.offset_seconds = start + seconds
        return JSONResponse({"now": clock.now(), "offset_seconds": clock.offset_seconds})

    async def reset(self, _request: Request) -> Response:
        """Back to the first moment: ledger, phones, verified numbers, misfortunes, switches, clock."""
        self._state.reset()
        return JSONResponse({"reset": True})


def serve(
    port: int = PORT,
    *,
    switches: Switches = NO_SWITCHES,
    credentials: tuple[str, str] | None = None,
    ready: Callable[[str], None] | None = None,
    host: str = "127.0.0.1",
    people: People | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; port 0 takes a free one. From the main thread, whose signals it takes.

    `ready` gets the URL once it listens; without it, one line says what to export. `credentials`, if given,
    are the only ones taken; without `people` nobody answers. Misconfigured: the port is taken, or the address is
    not this machine's own.
    """
    if not (host == "localhost" or _is_loopback(host)):
        raise Misconfigured(f"the sandbox serves this machine only, so not {host}; leave it at 127.0.0.1")
    Sandbox(host, port, switches, credentials, ready or (lambda url: _announce(url, credentials)), people).run()


def _announce(url: str, credentials: tuple[str, str] | None) -> None:
    exported = f"PLIVO_BASE_URL={url}/v1"
    if credentials is None:  # those that were given are known to whoever gave them, and may be real
        exported += f" PLIVO_AUTH_ID={ANY_AUTH_ID} PLIVO_AUTH_TOKEN={ANY_AUTH_TOKEN}"
    click.echo(f"Plivo's sandbox is at {url}/sandbox/ - to use it: export {exported}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _bound(host: str, port: int, *, listen: bool = True) -> socket.socket:
    """A socket of ours on this address; Misconfigured if it cannot be had."""
    # asyncio sets TCP_NODELAY only if the protocol is named; without it each answer waits 40 ms for an ACK
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        if listen:
            bound.listen()
    except (OSError, OverflowError) as error:
        bound.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be had ({error})"
        raise Misconfigured(f"port {port} {why}; choose another with --port, or a free one with --port 0") from error
    return bound


def _transport(connection: Any) -> asyncio.Transport:
    transport: asyncio.Transport = connection.transport
    return transport


async def _wish(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; InvalidRequest if it is none."""
    try:
        wish = json.loads(await request.body())
    except (ValueError, RecursionError):
        wish = None
    if not isinstance(wish, dict):
        raise InvalidRequest("body", "this one", "send a JSON object")
    return wish


def _since(request: Request) -> int:
    text = request.query_params.get("since", "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InvalidRequest("since", repr(text), "a whole number, 0 or more")
    return int(text)


async def _invalid(_request: Request, error: Exception) -> Response:
    text, field = (error.message, error.field) if isinstance(error, InvalidRequest) else (str(error), None)
    return JSONResponse({"error": text, "field": field}, 400)


async def _http_error(_request: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return JSONResponse({"error": f"{detail}; GET /sandbox/ tells what there is"}, status)

"""The sandbox's own routes under /sandbox/: its ledger, phones, entered codes, switches, misfortunes and clock."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib import metadata
from itertools import islice
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ringproof.errors import InvalidRequest
from worker.local.sandbox.inbox import InboxPage
from worker.local.sandbox.misfortunes import MisfortuneKind, read_misfortunes
from worker.local.sandbox.state import SandboxState
from worker.local.sandbox.switchboard import as_text, described
from worker.local.sandbox.switches import is_between, number_field
from worker.plivo_http.bounded_body import BoundedBody
from worker.plivo_http.local_only import LocalOnly
from worker.plivo_http.page_headers import HEADERS

FARTHEST_CLOCK_SECONDS = 10 * 365 * 86400.0  # a year far beyond that cannot be written as a date


@cache
def version() -> str:
    """Return Ringproof's version; 0 if it runs from a checkout that was never installed."""
    try:
        return metadata.version("ringproof")
    except metadata.PackageNotFoundError:
        return "0"


class SandboxRoutes:
    """The routes under /sandbox/. Plivo has none of them, so they need no credentials and count towards no limit.

    `refuse` makes the server refuse connections for so many seconds.
    """

    def __init__(self, state: SandboxState, refuse: Callable[[float], None]) -> None:
        self._state, self._refuse = state, refuse

    def app(self, resource: ASGIApp) -> Starlette:
        """Return the whole application: Plivo's resource under /v1, these routes, and the inbox page at /."""
        routes = [
            Route("/sandbox", self.about),
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
            routes=[Route("/v1/{path:path}", resource), *routes, *InboxPage(self._state).routes()],
            exception_handlers={InvalidRequest: _invalid, HTTPException: _http_error},
            middleware=[Middleware(LocalOnly), Middleware(BoundedBody)],
        )
        app.router.redirect_slashes = False
        return app

    async def about(self, request: Request) -> Response:
        """Describe the sandbox, with curl lines for all that it can do: as text for a person, else as JSON."""
        about = described(self._state, str(request.base_url).rstrip("/"), version())
        headers = {"Vary": "Accept, User-Agent"}
        if _is_for_a_person(request):
            return PlainTextResponse(as_text(about), headers={**HEADERS, **headers})
        return JSONResponse(about, headers=headers)

    async def sends(self, request: Request) -> Response:
        """Return the ledger of codes sent: `?number=` for one phone, `?since=` to omit so many of the first."""
        state, query = self._state, request.query_params
        sends = state.sends[_since(request) :]
        if "number" in query:
            number = number_field("number", query["number"])
            sends = [send for send in sends if send.phone_number == number]
        return JSONResponse(
            {
                "sends": [send.as_json() for send in sends],
                "next": len(state.sends),
                "requests": state.requests,
                "refused_429": state.refused_429,
            }
        )

    async def requests(self, request: Request) -> Response:
        """Return the last 100,000 requests to /v1 in the order of their arrival; `?since=` as for the ledger."""
        state = self._state
        forgotten = state.requests - len(state.arrivals)
        arrivals = islice(state.arrivals, max(0, _since(request) - forgotten), None)
        return JSONResponse({"requests": [asdict(arrival) for arrival in arrivals], "next": state.requests})

    async def phone(self, request: Request) -> Response:
        """Return one phone's inbox."""
        return JSONResponse(self._state.inbox(number_field("number", request.path_params["number"])))

    async def answers(self, request: Request) -> Response:
        """Return the codes that people enter by now; `waiting` counts those that will follow.

        `?since=` as for the ledger.
        """
        entries = self._state.entries
        due, following = entries.since(_since(request), self._state.clock.now())
        return JSONResponse({"answers": due, "next": following, "waiting": len(entries)})

    async def switches(self, request: Request) -> Response:
        """Show the switches, or set some of them."""
        if request.method == "POST":
            self._state.switches = self._state.switches.changed(await _json_object(request))
        return JSONResponse(asdict(self._state.switches))

    async def misfortunes(self, request: Request) -> Response:
        """Show the armed misfortunes, arm more, or clear them all. `refused` begins before this answer is sent."""
        headers = None
        if request.method == "DELETE":
            self._state.misfortunes.clear()
        if request.method == "POST":
            added = read_misfortunes(await _json_object(request))
            refusals = [armed.seconds or 0 for armed in added if armed.kind is MisfortuneKind.REFUSED]
            self._state.misfortunes += [armed for armed in added if armed.kind is not MisfortuneKind.REFUSED]
            if refusals:
                self._refuse(max(refusals))
                await asyncio.sleep(0)  # idle connections end in the loop's next round, before this answer
                headers = {"Connection": "close"}
        return JSONResponse({"misfortunes": [armed.as_json() for armed in self._state.misfortunes]}, headers=headers)

    async def clock(self, request: Request) -> Response:
        """Show the clock, move it by `advance_seconds`, or set it to `offset_seconds` from the real time."""
        clock = self._state.clock
        if request.method == "POST":
            body = await _json_object(request)
            if body.keys() not in ({"advance_seconds"}, {"offset_seconds"}):
                raise InvalidRequest("clock", repr(sorted(body)), "one of advance_seconds and offset_seconds")
            ((name, seconds),) = body.items()
            start = clock.offset_seconds if name == "advance_seconds" else 0.0
            if not is_between(seconds, -FARTHEST_CLOCK_SECONDS - start, FARTHEST_CLOCK_SECONDS - start):
                raise InvalidRequest(name, repr(seconds), "seconds; the clock can go up to ten years from now")
            clock.offset_seconds = start + seconds
        return JSONResponse({"now": clock.now(), "offset_seconds": clock.offset_seconds})

    async def reset(self, _request: Request) -> Response:
        """Start again from nothing: ledger, phones, verified numbers, misfortunes, switches and clock."""
        self._state.reset()
        return JSONResponse({"reset": True})


def _is_for_a_person(request: Request) -> bool:
    """Whether a browser asks, or curl in a terminal: curl takes anything, as programs' clients do."""
    accept = request.headers.get("accept", "")
    is_curls = request.headers.get("user-agent", "").startswith(("curl/", "Wget/"))
    return "text/" in accept or (is_curls and "json" not in accept)


async def _json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body. Raises `InvalidRequest` if there is none."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InvalidRequest("body", "not a JSON object", "send a JSON object")
    return body


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
    return JSONResponse({"error": f"{detail}; GET /sandbox/ lists the routes"}, status)

"""The application: the routes of the front door's parts, under one roof."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from worker.plivo_http.local_only import LocalOnly
from worker.web.api.app import build_api
from worker.web.door import resource
from worker.web.site import Site


def application(site: Site) -> Starlette:
    """Return the whole application. Without a lock, it answers programs of this machine alone."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with site.watch:
            yield

    app = Starlette(
        routes=[*resource.routes(site)],
        middleware=[Middleware(LocalOnly)] if site.locks.is_open else [],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.router.default = build_api(site)  # not mounted: a Mount leaves out paths with a line break in them
    app.router.redirect_slashes = False  # Plivo's clients repeat a POST as a POST, or without its credentials
    return app


async def _http_error(_request: Request, error: Exception) -> Response:
    status, detail, headers = (
        (error.status_code, error.detail, error.headers) if isinstance(error, HTTPException) else (500, "error", None)
    )
    return JSONResponse({"error": detail}, status, headers)

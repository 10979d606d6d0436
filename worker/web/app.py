"""The application: the routes of the front door's parts, under one roof."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from worker.plivo_http.local_only import LocalOnly
from worker.web.api.app import build_api
from worker.web.door.resource import DoorRoute
from worker.web.page import routes as page
from worker.web.site import Site


def application(site: Site) -> Starlette:
    """Return the whole application. Without a lock, it answers programs and people of this machine alone."""
    app = Starlette(
        routes=[DoorRoute(site), *page.routes(site)],
        middleware=[Middleware(LocalOnly, forms_under=page.PATHS)] if site.locks.is_open else [],
        exception_handlers={HTTPException: _http_error},
    )
    app.router.default = build_api(site)  # not mounted: a Mount leaves out paths with a line break in them
    app.router.redirect_slashes = False  # Plivo's clients repeat a POST as a POST, or without its credentials
    return app


def page_application(site: Site) -> Starlette:
    """Return the live page alone. It answers this machine only."""
    app = Starlette(routes=page.routes(site), middleware=[Middleware(LocalOnly, forms_under=page.PATHS)])
    app.router.redirect_slashes = False
    return app


async def _http_error(_request: Request, error: Exception) -> Response:
    status, detail, headers = (
        (error.status_code, error.detail, error.headers) if isinstance(error, HTTPException) else (500, "error", None)
    )
    return JSONResponse({"error": detail}, status, headers)

"""The API as one application: its operations, its OpenAPI document, and the page that shows it."""

from functools import cache
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ringproof.errors import RingproofError
from worker.web.api import batches, events, numbers, verifications
from worker.web.api.access import Access
from worker.web.api.page import page
from worker.web.api.problems import Refused, on_crash, on_error, on_http_error, on_invalid, on_refused, problems
from worker.web.site import Site

ROUTERS = (verifications.router, numbers.router, batches.router, events.router)

_DESCRIPTION = """\
Verify phone numbers through Plivo: one code per number, none lost. Each call sends a token of `ringproof door add` as \
`Authorization: Bearer TOKEN`. An error is a problem document (RFC 9457), whose `reason` is a word for programs.\
"""


def build_api(site: Site) -> FastAPI:
    """Return the API. It answers every path: one that it does not have with a problem, as all else."""
    app = FastAPI(
        title="Ringproof",
        version=metadata.version("ringproof"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=[Route("/openapi.json", _document), Route("/docs", _page)],
        middleware=[Middleware(Access, site=site)],
        exception_handlers={
            RingproofError: on_error,
            Refused: on_refused,
            RequestValidationError: on_invalid,
            HTTPException: on_http_error,
            Exception: on_crash,
        },
        responses=problems(401, 403, 413, 422, 429, 503),
        generate_unique_id_function=_operation_id,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.state.operations = [*app.routes, *(route for router in ROUTERS for route in router.routes)]
    app.state.site = site
    app.state.uploads = batches.limiter()
    app.state.streams = 0
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}"


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application."""
    return get_openapi(
        title=app.title,
        version=app.version,
        description=_DESCRIPTION,
        routes=app.routes,
    )


@cache
def _rendered(app: FastAPI) -> str:
    return page(document(app))


async def _document(request: Request) -> Response:
    return JSONResponse(document(request.app))


async def _page(request: Request) -> Response:
    nothing_else = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    return HTMLResponse(_rendered(request.app), headers={"Content-Security-Policy": nothing_else})

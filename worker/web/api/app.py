"""The API as one application: its operations, its OpenAPI document, and the page that shows it."""

from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse
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

_NOTHING_ELSE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
"""The page loads nothing, and no other page shows it in a frame."""


def build_api(site: Site) -> FastAPI:
    """Return the API. It answers every path: one that it does not have with a problem, as all else."""
    app = FastAPI(
        title="Ringproof",
        version=metadata.version("ringproof"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Access, site=site)],
        exception_handlers={
            RingproofError: on_error,
            Refused: on_refused,
            RequestValidationError: on_invalid,
            HTTPException: on_http_error,
            Exception: on_crash,
        },
        responses=problems(401, 403, 413, 422, 429, 500, 503),
        generate_unique_id_function=_operation_id,
    )
    for router in ROUTERS:
        app.include_router(router)
    described = document(app)
    for path, answer in {
        "/openapi.json": JSONResponse(described),
        "/docs": HTMLResponse(page(described), headers=_NOTHING_ELSE),
    }.items():
        app.router.routes.append(Route(path, answer, methods=["GET"]))
    app.state.operations = [route for one in (*ROUTERS, app.router) for route in one.routes]
    app.state.site = site
    app.state.uploads = batches.limiter()
    app.state.streams = events.places()
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}"


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application."""
    described = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    for operations in described["paths"].values():
        for operation in operations.values():  # one of the scopes is enough; in one entry, all would be needed
            needed = [(scheme, scope) for one in operation["security"] for scheme in one for scope in one[scheme]]
            operation["security"] = [{scheme: [scope]} for scheme, scope in needed]
    return described

"""The paths of the live page, who may see each, and what answers there."""

from functools import partial
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from ringproof.ledger.credentials import Scope
from worker.plivo_http.page_headers import HEADERS
from worker.web.page import batches, login, numbers, overview, roster
from worker.web.page.guard import LIVE, Guarded, Refused, Visit
from worker.web.page.live import live
from worker.web.page.rendering import FOLDER
from worker.web.page.shared import Shared
from worker.web.site import Site

PATHS: Final = "/page/"
"""What all paths of the page begin with, but the overview's, which is `/`."""

_FILES: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""
    shared = Shared()
    guarded = partial(Guarded, site, shared)
    steers = (Scope.BATCH, Scope.VERIFY)  # who stops everything may do all that it stops
    return [
        Route("/", guarded(get=overview.show)),
        Route("/page/login", login.Login(site, shared)),
        Route("/page/logout", guarded(post=login.log_out)),
        Route(LIVE, guarded(get=live)),
        Route("/page/sending/pause", guarded(*steers, post=overview.pause)),
        Route("/page/sending/resume", guarded(*steers, post=overview.resume)),
        Route("/page/import", guarded(Scope.BATCH, get=roster.form, post=roster.dry_run, form=roster.read_upload)),
        Route("/page/import/yes", guarded(Scope.BATCH, post=roster.import_)),
        Route("/page/batches/{name}", guarded(get=batches.show)),
        Route("/page/batches/{name}/rows", guarded(Scope.READ, get=batches.rows)),
        Route("/page/batches/{name}/{action}", guarded(Scope.BATCH, post=batches.change)),
        Route("/page/numbers", guarded(Scope.READ, post=numbers.search)),
        Route("/page/numbers/{id}", guarded(Scope.READ, get=numbers.show, post=numbers.unmask)),
        Route("/page/static/{name}", _file, methods=["GET"]),
        Route("/page/{path:path}", guarded(get=_nothing, post=_nothing)),
    ]


async def _file(request: Request) -> Response:
    kind = _FILES.get(request.path_params["name"])
    if kind is None:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    file = FOLDER / "static" / request.path_params["name"]
    return FileResponse(file, media_type=kind, headers={**HEADERS, "Cache-Control": "no-cache"})


async def _nothing(_visit: Visit) -> Response:
    raise Refused(HTTPStatus.NOT_FOUND, "there is no such page; go back to the overview")

"""Keeps an open page current: a stream of server-sent events has each part of it that has changed, as HTML."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from anyio import WouldBlock
from starlette.responses import Response

from ringproof import errors
from ringproof.ledger.credentials import Scope
from worker.plivo_http.page_headers import HEADERS
from worker.web.api.problems import problem_of
from worker.web.event_stream import EventStream
from worker.web.page import batches, numbers, overview
from worker.web.page.guard import Refused, Visit, credential_of, session_of
from worker.web.page.rendering import as_event, render

SECONDS: Final = 1.0
"""Between two readings."""

View = Callable[[Visit], Awaitable[dict[str, str]]]

VIEWS: Final[Mapping[str, tuple[View, frozenset[Scope]]]] = {
    "overview": (overview.parts, frozenset()),
    "batch": (batches.parts, frozenset()),
    "number": (numbers.parts, frozenset({Scope.READ})),
}
"""The pages that change, and the scopes that each needs."""


async def live(visit: Visit) -> Response:
    """Answer with the stream of one page: `/page/live?view=batch&name=spring`."""
    view, needs = VIEWS.get(visit.request.query_params.get("view", ""), (None, frozenset()))
    if view is None or not visit.may(*needs):
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such page, or it is not for your credential")
    try:
        return EventStream(_stream(visit, view), visit.shared.streams, headers=HEADERS)
    except WouldBlock:
        text = "too many pages are open; close some, and reload this one"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, text) from None


async def _stream(visit: Visit, view: View) -> AsyncIterator[str]:
    """Yield the parts that have changed, each second; end when the process stops or the session ends."""
    sent: dict[str, str] = {}
    while not visit.site.stopping.is_set():
        try:
            if not await _is_logged_in(visit):
                yield as_event("ended")
                return
            parts = {**await view(visit), "problem": ""}
        except (errors.RingproofError, Refused) as error:
            text = error.text if isinstance(error, Refused) else problem_of(error).detail
            parts = {"problem": render("parts/problem.html", text=text)}
        changed = {name: html for name, html in parts.items() if sent.get(name) != html}
        sent |= changed
        yield as_event("parts", changed) if changed else ": nothing new\n\n"
        with suppress(TimeoutError):
            await asyncio.wait_for(visit.site.stopping.wait(), SECONDS)


async def _is_logged_in(visit: Visit) -> bool:
    session = await session_of(visit.site, visit.shared, visit.token)
    return session is not None and await credential_of(visit.site, session) == visit.credential

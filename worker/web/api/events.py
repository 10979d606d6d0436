"""The stream of events: a program that stays connected gets each event of a number or a batch as it happens."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Annotated, Final

from anyio import CapacityLimiter, WouldBlock
from fastapi import APIRouter, Header
from redis.exceptions import RedisError
from starlette.requests import Request

from ringproof import runtime
from ringproof.errors import LedgerUnavailable
from ringproof.events.event import Event
from ringproof.events.reader import WAIT, follow_events
from ringproof.ledger.async_connection import connect_async
from ringproof.ledger.credentials import Credential
from worker.web.api.access import Here, Reader
from worker.web.api.problems import Refused
from worker.web.event_stream import EventStream
from worker.web.site import Site

MOST_STREAMS: Final = 100
"""Streams of one process. Each has a connection to Redis of its own, which waits for the next event."""

router = APIRouter(tags=["events"])

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=64,
        description="Begin after this event. Without it, the stream begins with the next event that happens.",
    ),
]


@router.get(
    "/events",
    response_class=EventStream,
    responses={
        200: {
            "description": "Server-sent events: `id`, `event` and `data`, which is JSON. A comment every two seconds "
            "shows that the stream is alive.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def events(request: Request, site: Here, caller: Reader, last_event_id: LastEventId = None) -> EventStream:
    """Stream the events of numbers and batches: each one at least once, those of one number in order.

    A client that connects again with the id of the last event that it got misses none, as long as the outbox has it.
    Events are kept from the first time on that a program asks for them.
    """
    await site.threads(site.ledger.ping)
    try:
        return EventStream(_stream(site, caller, last_event_id), request.app.state.streams)
    except WouldBlock:
        detail = f"this process has {MOST_STREAMS} streams; close one, or ask again later"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail) from None


async def _stream(site: Site, caller: Credential, after: str | None) -> AsyncIterator[str]:
    """Yield each event as text.

    The stream ends if Redis does not answer or this process stops: clients come again. It ends, too, once the caller's
    credential is revoked: nothing else would, for weeks.
    """
    url = runtime.redis_url(site.account).get_secret_value()
    client = connect_async(url, socket_timeout=2 * WAIT.total_seconds())
    async with client, aclosing(follow_events(client, site.ledger.keys, after)) as following:
        with suppress(RedisError, OSError, LedgerUnavailable):
            async for event in following:
                if site.stopping.is_set() or not await site.locks.still_holds(caller):
                    return
                yield _text(event) if event else ": nothing new\n\n"


def places() -> CapacityLimiter:
    """Return what bounds the streams of one process."""
    return CapacityLimiter(MOST_STREAMS)


def _text(event: Event) -> str:
    return f"id: {event.id}\nevent: {event.kind.type}\ndata: {event.as_json()}\n\n"

"""The stream of events: a program that stays connected gets each event of a number or a batch as it happens."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Annotated, Final

import redis.asyncio
from fastapi import APIRouter, Header
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import StreamingResponse

from ringproof.errors import LedgerUnavailable
from ringproof.events.event import Event
from ringproof.events.reader import WAIT, follow_events
from ringproof.ledger.bare_redis import SOCKET_SECONDS
from ringproof.ledger.credentials import Credential
from worker.web.api.access import Here, Reader
from worker.web.api.problems import Refused
from worker.web.site import Site

MOST_STREAMS: Final = 100
"""Streams of one process. Each has a connection to Redis of its own, which waits for the next event."""

_UNBUFFERED: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No proxy should keep events back."""

router = APIRouter(tags=["events"])

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=64,
        description="Begin after this event. Without it, the stream begins with the next event that happens.",
    ),
]


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


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
    if request.app.state.streams >= MOST_STREAMS:
        detail = f"this process has {MOST_STREAMS} streams; close one, or ask again later"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail)
    return EventStream(_stream(request, site, caller, last_event_id), headers=_UNBUFFERED)


async def _stream(request: Request, site: Site, caller: Credential, after: str | None) -> AsyncIterator[str]:
    """Yield each event as text.

    The stream ends if Redis does not answer or this process stops: clients come again. It ends, too, once the caller's
    credential is revoked: nothing else would, for weeks.
    """
    request.app.state.streams += 1
    try:
        client = redis.asyncio.Redis.from_url(
            site.settings.redis_url.get_secret_value(),
            decode_responses=True,
            socket_timeout=2 * WAIT.total_seconds(),
            socket_connect_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        async with client, aclosing(follow_events(client, site.ledger.keys, after)) as following:
            with suppress(RedisError, OSError, LedgerUnavailable):
                async for event in following:
                    if site.stopping.is_set() or not await site.locks.still_holds(caller):
                        return
                    yield _text(event) if event else ": nothing new\n\n"
    finally:
        request.app.state.streams -= 1


def _text(event: Event) -> str:
    return f"id: {event.id}\nevent: {event.kind.type}\ndata: {event.as_json()}\n\n"

"""Reads the outbox as it grows, for a program on asyncio: an API's stream of events."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ringproof.clock import boot_clock
from ringproof.events.event import Event, entry_id_of
from ringproof.events.outbox import READERS
from ringproof.ledger.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

PAGE: Final = 100
WAIT: Final = timedelta(seconds=2)
"""How long one question waits for the next event: less than a connection's time limit, which is 5 s."""

SIGN: Final = timedelta(minutes=1)
"""How often a reader says that it is there. Without a sign for three days nothing is kept for readers."""


async def want_events(client: "Redis", keys: Keys) -> None:
    """Have the outbox keep events for readers from now on. A server of an API calls this at its start."""
    seconds, _ = await client.time()
    await client.hset(keys.consumers, f"{READERS}:seen", str(seconds * 1000))


async def follow_events(client: "Redis", keys: Keys, after: str | None = None) -> AsyncGenerator[Event | None, None]:
    """Yield each event after that with the id `after`, or from now on, as they come; and None every two seconds
    in which there is none, so that the caller can see whether its own reader has gone.

    An id that the outbox does not have any more, or that is none: the first event is the oldest that it has. Raises
    `redis.RedisError` if Redis does not answer. The client decodes answers.
    """
    await want_events(client, keys)
    signed_at = boot_clock()
    place = await _newest(client, keys) if after is None else entry_id_of(after) or "0-0"
    while True:
        answer: Any = await client.xread({keys.outbox: place}, count=PAGE, block=round(WAIT.total_seconds() * 1000))
        entries = answer[0][1] if answer else []
        for entry_id, fields in entries:
            place = entry_id
            yield Event.unpack(entry_id, fields, keys.account)
        if not entries:
            yield None
        if boot_clock() - signed_at > SIGN.total_seconds():
            await want_events(client, keys)
            signed_at = boot_clock()


async def _newest(client: "Redis", keys: Keys) -> str:
    newest: Any = await client.xrevrange(keys.outbox, count=1)
    return newest[0][0] if newest else "0-0"

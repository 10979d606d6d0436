"""What all open pages of one process share, so that they read it together."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from anyio import CapacityLimiter

from ringproof.ledger.page_sessions import LASTS, PageSession
from ringproof.secret_str import SecretStr
from worker.web.page.uploads import Uploads

FRESH_SECONDS: Final = 0.9
"""How old a reading may be: streams read once a second."""

MOST_READINGS: Final = 100

MOST_SESSIONS: Final = 100

MOST_STREAMS: Final = 50
"""Open pages. One that is not looked at has no stream."""

MOST_RECEIVED: Final = 4
"""Rosters that come in at once."""

MOST_READ: Final = 2
"""Reading rosters is work for one processor, which people's requests need as well."""


@dataclass(slots=True)
class _Reading:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = float("-inf")
    value: Any = None


class KeptSessions:
    """Sessions that began while Redis refused to write, for as long as this process runs.

    A person must get in to see that Redis is full.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, PageSession] = {}

    def keep(self, token: SecretStr, session: PageSession) -> None:
        """Keep a session for 12 hours, in place of the oldest one of too many. Call it in the event loop."""
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[token.get_secret_value()] = session
        asyncio.get_running_loop().call_later(LASTS.total_seconds(), self.end, token)

    def find(self, token: SecretStr) -> PageSession | None:
        """Return the session of a token; None if it is not here."""
        return self._sessions.get(token.get_secret_value())

    def end(self, token: SecretStr) -> None:
        """Forget the session of a token."""
        self._sessions.pop(token.get_secret_value(), None)


@dataclass(slots=True)
class Shared:
    """The readings that are fresh, and the uploads that wait for a yes.

    `streams` bounds the open pages, `receiving` the rosters that come in at once, and `reading` those that are read,
    each by a thread.
    """

    sessions: KeptSessions = field(default_factory=KeptSessions)
    uploads: Uploads = field(default_factory=Uploads)
    receiving: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MOST_RECEIVED))
    reading: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MOST_READ))
    streams: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MOST_STREAMS))
    _readings: dict[str, _Reading] = field(default_factory=dict)

    async def read(self, name: str, read: Callable[[], Awaitable[Any]], *, now: bool) -> Any:
        """Return what `read` returns; unless it is wanted `now`, what it returned for this name less than a second ago.

        After a form a person wants to see what it has done.
        """
        reading = self._readings.pop(name, None) or _Reading()
        self._readings[name] = reading  # the last one is the newest
        while len(self._readings) > MOST_READINGS:
            del self._readings[next(iter(self._readings))]
        async with reading.lock:
            started = time.monotonic()
            if now or started - reading.read_at > FRESH_SECONDS:
                reading.value = await read()
                reading.read_at = started
            return reading.value

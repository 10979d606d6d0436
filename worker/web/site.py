"""What all parts of the front door share in one process: settings, ledger, threads, locks, and who waits."""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Self

from ringproof.ledger.credentials import credentials
from ringproof.ledger.ledger import Ledger
from ringproof.settings import Settings
from worker.web.locks import Locks
from worker.web.threads import Threads
from worker.web.watch import Watch

THREADS: Final = 32
"""Calls of the ledger that run at once. Each takes a millisecond; with Redis away, up to its time limit."""


@dataclass(frozen=True, slots=True)
class Site:
    """One process of the front door: `await site.threads(site.ledger.read, number)`.

    `stopping` is set when the process stops: what lasts long, such as a stream of events, ends then.
    """

    settings: Settings
    ledger: Ledger
    threads: Threads
    locks: Locks
    watch: Watch
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def build(cls, settings: Settings, ledger: Ledger, *, is_open: bool) -> Self:
        """Build the parts on one ledger. If `is_open`, there is no lock."""
        threads = Threads(THREADS, "ledger")
        locks = Locks(lambda: threads(credentials, ledger), settings.door_rate, is_open=is_open)
        return cls(settings, ledger, threads, locks, Watch(ledger, settings.redis_url, threads))

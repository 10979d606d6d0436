"""Looks whether Redis has gone back, for the accepts of the last minute, in an event loop and not in a thread."""

import asyncio
import logging
from collections.abc import Callable

from ringproof.aio.ledger import AsyncLedger
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import last_accepts
from ringproof.ledger.generation import generation_of, reading_generation

_log = logging.getLogger(__name__)


class AcceptsOfLoop:
    """Keeps accepts as `LastAccepts` does, and looks once a second by a task that is over in a moment.

    If Redis has gone back, a look fails, or this loop ends before the minute does, the thread of `LastAccepts` takes
    over.
    """

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger, self._kept = ledger, ledger.blocking.last_accepts
        self._loop = asyncio.get_running_loop()
        self._is_looking = False
        self._task: asyncio.Task[None] | None = None

    def keep(self, accept_again: Callable[[], object]) -> None:
        """Keep an accept for a minute. The call may block: only the thread makes it."""
        if self._kept.add(accept_again, lambda: not self._loop.is_closed()):
            self._is_looking = True
            self._look_later()

    def leave(self) -> None:
        """Leave the rest of the minute to the thread, if this loop looks."""
        if self._is_looking:
            self._is_looking = False
            self._kept.watch()

    def _look_later(self) -> None:
        self._loop.call_later(last_accepts.LOOK_SECONDS, self._begin_look)

    def _begin_look(self) -> None:
        if self._is_looking:
            self._task = self._loop.create_task(self._look(), name="last-accepts")

    async def _look(self) -> None:
        try:
            looked_at = boot_clock()
            now = generation_of(await self._ledger.try_all(*reading_generation(self._ledger.blocking.keys)))
            if self._kept.shows_gone_back(now):
                self.leave()
                return
            self._kept.note(looked_at, now)
        except LedgerUnavailable:
            pass  # while Redis is away, nothing gets too old
        except Exception:  # noqa: BLE001  # the task would end with it, and nobody would repeat what is kept
            _log.exception("an error of Ringproof's own; a thread looks after what this process keeps")
            self.leave()
            return
        if self._kept.is_over():
            self._is_looking = False
        else:
            self._look_later()

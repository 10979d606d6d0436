"""What Ringproof has open in one event loop: connections, and watches of what changes in Redis.

It is made when the loop first needs it, and closed with the loop: `asyncio.run`, uvicorn and pytest-asyncio close a
loop's asynchronous generators at its end, and one of these is ours.
"""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ringproof import runtime
from ringproof.aio.connections import Connections
from ringproof.aio.last_accepts import AcceptsOfLoop
from ringproof.aio.ledger import AsyncLedger
from ringproof.aio.watch import Watch
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import attention
from ringproof.secret_str import SecretStr

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger


_Place = tuple[runtime.Origin | None, SecretStr]
"""A Redis, as this process's settings or those of a test lead to it."""


class OpenHere:
    """The connections of one event loop: `here = await open_here()`."""

    def __init__(self) -> None:
        self._connections: dict[_Place, Connections] = {}
        self._watches: dict[_Place, Watch] = {}
        self._known: WeakKeyDictionary[Ledger, tuple[_Place, asyncio.Lock]] = WeakKeyDictionary()
        self._accepts: WeakKeyDictionary[Ledger, AcceptsOfLoop] = WeakKeyDictionary()
        self.lifetime: AsyncGenerator[None, None] = self._live()

    def ledger(self, account: str | None = None) -> AsyncLedger:
        """Return the ledger of an account, or of the installation's own (None). Raises `UnknownAccount`."""
        blocking = runtime.ledger(account)
        known = self._known.get(blocking)
        if known is None:
            place = runtime.current_origin(), runtime.redis_url(account)
            if place not in self._connections:
                self._connections[place] = Connections(place[1])
            known = self._known[blocking] = place, asyncio.Lock()
        place, measures = known
        return AsyncLedger(blocking, self._connections[place], measures, self._note_work)

    def watch(self, account: str | None = None) -> Watch:
        """Return the watch of the Redis that has an account's records."""
        ledger = self.ledger(account)
        place, _ = self._known[ledger.blocking]
        if place not in self._watches:
            self._watches[place] = Watch(ledger)
        return self._watches[place]

    def accepts(self, ledger: AsyncLedger) -> AcceptsOfLoop:
        """Return what this loop does for the accepts of the last minute."""
        known = self._accepts.get(ledger.blocking)
        if known is None:
            known = self._accepts[ledger.blocking] = AcceptsOfLoop(ledger)
        return known

    async def close(self) -> None:
        """Close all connections, and leave the accepts of the last minute to a thread."""
        for accepts in self._accepts.values():
            accepts.leave()
        for connections in self._connections.values():
            await connections.close()

    async def _note_work(self, account: str) -> None:
        """Note in the installation's own ledger that an account has work, as `runtime` does."""
        if not runtime.is_note_due(account):
            return
        home = self.ledger()
        try:
            await home.do(attention.noting(home.blocking, account))
        except LedgerUnavailable:
            runtime.note_failed(account)

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _forget(self)
            await self.close()


_by_loop: dict[asyncio.AbstractEventLoop, OpenHere] = {}
_inherited: list[Any] = []
_changes = threading.Lock()


async def open_here() -> OpenHere:
    """Return what Ringproof has open in the running event loop."""
    loop = asyncio.get_running_loop()
    here = _by_loop.get(loop)
    if here is None:
        here = OpenHere()
        with _changes:
            for closed in [one for one in _by_loop if one.is_closed()]:  # without its generators
                del _by_loop[closed]  # what it has left open warns of itself
            _by_loop[loop] = here
        await anext(here.lifetime)
    return here


def _forget(here: OpenHere) -> None:
    with _changes:
        for loop in [loop for loop, one in _by_loop.items() if one is here]:
            del _by_loop[loop]


def _begin_child() -> None:
    """Leave what the parent has open as it is: the parent goes on with these sockets."""
    global _changes  # noqa: PLW0603  # another thread of the parent may hold it
    _changes = threading.Lock()
    _inherited.append(dict(_by_loop))
    _by_loop.clear()


os.register_at_fork(after_in_child=_begin_child)

"""A program's accepts of the last minute: it repeats them if Redis has gone back, and may lack them.

An installation without replicas that confirm, or a Redis that was restored from an older file, forgets requests that
`.delay` has returned. The program is still there, and knows them.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable, RingproofError
from ringproof.ledger.generation import Generation, has_gone_back, read_generation

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

KEPT_SECONDS: Final = 60.0
"""So long an accept is kept: what replicas lack, or the disk, are seconds."""

MOST_KEPT: Final = 10_000
"""Accepts that one process keeps, in about 10 MB. The newest ones are those that a failover forgets."""

LOOK_SECONDS: Final = 1.0
"""How often a process looks whether Redis has gone back, while it keeps accepts. It is one round trip."""

_log = logging.getLogger(__name__)


def _by_nobody() -> bool:
    return False


def _by_thread() -> bool:
    return True  # it says itself when it ends


class LastAccepts:
    """What one process has had accepted within the last minute, as calls that accept it once more. Thread-safe.

        ledger.last_accepts.keep(partial(accept_again, ledger, wanted, request=accepted.request))

    A call is made again if Redis has gone back. So it has to change nothing if Redis has not forgotten the request.
    While any are kept, a thread looks once a second, or an event loop (`ringproof.aio`). A child process begins
    without any.
    """

    def __init__(self, ledger: "Ledger") -> None:
        self._ledger = ledger
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._kept: deque[tuple[float, Callable[[], object]]] = deque(maxlen=MOST_KEPT)
        self._changed = threading.Lock()
        self._is_watched: Callable[[], bool] = _by_nobody
        self._known: Generation | None = None

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def keep(self, accept_again: Callable[[], object]) -> None:
        """Keep an accept for a minute."""
        if self.add(accept_again, _by_thread):
            self.watch()

    def add(self, accept_again: Callable[[], object], is_watched: Callable[[], bool]) -> bool:
        """Keep an accept, and return whether the caller has to look from now on, because nobody else does.

        `is_watched` says later whether the caller still does.
        """
        if self._pid != os.getpid():
            self._begin()
        with self._changed:
            self._kept.append((boot_clock(), accept_again))
            if self._is_watched():
                return False
            self._is_watched = is_watched
            return True

    def watch(self) -> None:
        """Have a thread look until nothing is kept any more."""
        self._is_watched = _by_thread
        try:
            threading.Thread(target=self._watch, name="last-accepts", daemon=True).start()
        except RuntimeError:  # the system has no thread left: the next accept tries again
            self._is_watched = _by_nobody

    def forget(self) -> None:
        """Forget all that are kept: what they have accepted is gone on purpose."""
        with self._changed:
            self._kept.clear()

    def look(self) -> int:
        """Look once whether Redis has gone back, and accept all again if it has; return how many were.

        Raises `LedgerUnavailable`; then the next look finds the same.
        """
        looked_at, now = boot_clock(), read_generation(self._ledger)
        repeated = self._repeat() if self.shows_gone_back(now) else 0
        self.note(looked_at, now)
        return repeated

    def shows_gone_back(self, now: Generation) -> bool:
        """Whether Redis has gone back since the last look."""
        return self._known is not None and has_gone_back(self._known, now)

    def note(self, looked_at: float, now: Generation) -> None:
        """Note what a look has found, and that all accepts of the last minute are done with."""
        self._known = now
        with self._changed:
            while self._kept and self._kept[0][0] < looked_at - KEPT_SECONDS:
                self._kept.popleft()

    def is_over(self) -> bool:
        """Whether nothing is kept any more. Then who looked does not look again."""
        with self._changed:
            if not self._kept:
                self._is_watched = _by_nobody
            return not self._kept

    def _watch(self) -> None:
        """Look until nothing is kept any more."""
        pause = threading.Event()
        while True:
            try:
                self.look()
            except LedgerUnavailable:
                pass  # while Redis is away, nothing gets too old
            except Exception:  # noqa: BLE001  # the thread would end with it, and nobody would repeat what is kept
                _log.exception("an error of Ringproof's own; what this process keeps is looked after all the same")
            if self.is_over():
                return
            pause.wait(LOOK_SECONDS)

    def _repeat(self) -> int:
        with self._changed:
            calls = [call for _, call in self._kept]
        for call in calls:
            try:
                call()
            except LedgerUnavailable:
                raise
            except RingproofError as error:  # a cap, or a list of countries, that is another by now
                _log.warning("a request that Redis had forgotten is not accepted again: %s", error)
        if calls:
            _log.warning("Redis has gone back: the requests of the last minute were accepted again: %d", len(calls))
        return len(calls)

"""Notices that Redis has gone back in time, and reports to it what this process remembers.

Redis may be restored from an older AOF, emptied, or replaced by a replica that lags. Then it does not know which
numbers have got a code. So each process compares what it has seen with what Redis knows: with each call of begin, and
once a second while it remembers sends. If Redis knows less, or another server runs, the gate is closed: nobody sends
(`lua/lib/gate.lua`). It is opened when all processes that Redis knows of have reported what they
remember, or when the leases of the others have passed.
"""

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.gate import whole
from ringproof.ledger.keys import Keys
from ringproof.ledger.memory import Attempt, Memory

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

LOOK_SECONDS: Final = 1.0
"""How often a process that remembers sends compares: for so long nobody notices that Redis has gone back."""

CLOSED_SECONDS: Final = 0.2
"""How often it looks whether the gate is open again, and whether Redis is back."""

PORTION: Final = 100
"""Attempts in one call: Redis does nothing else for a few milliseconds."""

LEAVE_SECONDS: Final = 3.0
"""How long the end of a process waits for a Redis that is away, to say that it has nothing left."""

CLOSED: Final = "closed"
"""What begin answers while the gate is closed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Generation:
    """What a producer compares: see `has_gone_back`. What Redis forbids it to read is empty."""

    id: str = ""
    counter: int = 0
    closing: int = 0
    server: str = ""


def reading_generation(keys: Keys) -> tuple[tuple[str, ...], ...]:
    """Return the commands that read what shows that Redis has gone back: for `try_all`, in one round trip."""
    return ("hmget", keys.generation, "id", "counter", "closing"), ("info", "server")


def generation_of(answers: Sequence[Any]) -> Generation:
    """Return what the answers to these commands show."""
    fields, info = answers
    known = fields if isinstance(fields, list) else [None, None, None]
    server = info.get("run_id", "") if isinstance(info, Mapping) else ""
    return Generation(known[0] or "", whole(known[1]), whole(known[2]), str(server))


def read_generation(ledger: "Ledger") -> Generation:
    """Read what shows that Redis has gone back. Raises `LedgerUnavailable` if it does not answer."""
    return generation_of(ledger.try_all(*reading_generation(ledger.keys)))


def has_gone_back(before: Generation, now: Generation) -> bool:
    """Whether Redis may have forgotten something since: it was closed, emptied, or another server runs."""
    return (
        bool(before.server and now.server and before.server != now.server)
        or bool(before.id and before.id != now.id)
        or now.closing != before.closing
        or now.counter < before.counter
    )


_leaving_since: float | None = None


def _end_of_leaving() -> float:
    """Return until when (`boot_clock()`) this process waits for Redis: the ledgers of all accounts together."""
    global _leaving_since  # noqa: PLW0603  # of this process alone
    if _leaving_since is None:
        _leaving_since = boot_clock()
    return _leaving_since + LEAVE_SECONDS


class GenerationWatch:
    """What one process has seen of Redis, and what it remembers of its sends. Thread-safe.

    A process that sends calls `begin_watching` once, and `close` at its end. Without it nothing is remembered: then
    another process that has seen more has to notice that Redis has gone back.
    """

    def __init__(self, ledger: "Ledger") -> None:
        self._ledger = ledger
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._seen_id, self._seen_counter = "", 0
        self.member = ""
        self.memory: Memory | None = None
        self._changed = threading.Condition()
        self._is_watching = self._is_hurried = self._is_closing = False
        self._closing = 0  # for which this process has begun to report

    @property
    def seen(self) -> str:
        """What this process has seen, as the scripts take it: `ID COUNTER`, or empty."""
        with self._lock:
            return f"{self._seen_id} {self._seen_counter}" if self._seen_id else ""

    def begin_watching(self, member: str) -> None:
        """Remember from now on what this process begins. `member` is the id of the process. A second call does nothing.

        Another process may get this id later, and another ledger of this process has it, too: they remember nothing of
        this one. So the member's own id has a random part.
        """
        with self._lock:
            if self.memory is None:
                self.member, self.memory = f"{member}-{secrets.token_hex(3)}", Memory()

    def note_answer(self, text: str) -> None:
        """Note what begin has answered about Redis."""
        if text == CLOSED:
            self._hurry()
        else:
            self._adopt(text)

    def watch(self) -> None:
        """Look once a second, in a thread of its own, for as long as this process remembers anything."""
        with self._changed:
            if self._is_watching or self._is_closing or self.memory is None:
                return
            self._is_watching = True
        threading.Thread(target=self._watch, name="generation", daemon=True).start()

    def compare(self) -> bool:
        """Compare once, and report if it has to be; return whether the gate is closed. Raises `LedgerUnavailable`."""
        with self._one_at_a_time:
            args = [self.seen, self.member, ""]
            seen, closing, since_ms, must_report = self._ledger.run_script("generation/compare", args=args)
            has_reported = not must_report or self._report(int(closing), int(since_ms))
            if has_reported:
                self._adopt(seen, is_whole=True)
            return bool(closing)

    def close(self) -> None:
        """Say that this process has nothing left to report: it ends. A Redis that is away is asked for a moment."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self.memory is None or not self._seen_id:
            return
        until = _end_of_leaving()
        while True:
            try:
                self.compare()
                self._ledger.run_script("generation/compare", args=[self.seen, self.member, "1"])
            except LedgerUnavailable:
                if boot_clock() > until:
                    return
                threading.Event().wait(CLOSED_SECONDS)
            else:
                return

    def _hurry(self) -> None:
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
        self.watch()

    def _adopt(self, text: str, *, is_whole: bool = False) -> None:
        """Take over what Redis knows: the larger counter, or that of another history once all is reported."""
        seen_id, _, counter = text.partition(" ")
        with self._lock:
            if seen_id == self._seen_id:
                self._seen_counter = max(self._seen_counter, int(counter))
            elif is_whole or not self._seen_id:
                self._seen_id, self._seen_counter = seen_id, int(counter)

    def _watch(self) -> None:
        is_closed = False
        while self._wait(CLOSED_SECONDS if is_closed else LOOK_SECONDS):
            try:
                is_closed = self.compare()
            except LedgerUnavailable:
                is_closed = True  # what comes back may be another Redis
            except Exception:  # noqa: BLE001  # a thread would end with it, and nobody would learn of it
                _log.exception("an error of Ringproof's own; what this process remembers is reported again")
                is_closed = True

    def _wait(self, seconds: float) -> bool:
        """Wait so long, unless begin has met a closed gate. Return False if there is nothing to watch any more."""
        with self._changed:
            if not self._is_hurried:
                self._changed.wait_for(lambda: self._is_closing or self._is_hurried, seconds)
            hurried, self._is_hurried = self._is_hurried, False
            memory = self.memory
            memory_is_empty = memory is not None and not hurried and not memory.is_needed()
            if self._is_closing or memory_is_empty:
                self._is_watching = False
        if not self._is_closing and memory_is_empty:
            self._leave()
        return not (self._is_closing or memory_is_empty)

    def _leave(self) -> None:
        """Say that this process remembers nothing any more: it is idle, and costs nothing."""
        try:
            self._ledger.run_script("generation/compare", args=[self.seen, self.member, "1"])
        except LedgerUnavailable:
            self.watch()  # and again

    def _report(self, closing: int, since_ms: int) -> bool:
        """Report to Redis what it may have forgotten. Returns False if the gate was closed once more: then again."""
        memory = self.memory
        assert memory is not None  # noqa: S101  # only a member has to tell
        if closing != self._closing:
            self._closing = closing
            _log.warning(
                "Redis was restarted or has gone back in time: nothing is sent until the workers have reported "
                "what they remember"
            )
        since = boot_clock() - since_ms / 1000 if since_ms >= 0 else 0.0
        mended, changed_from = 0, since
        while attempts := memory.changed_since(changed_from):
            changed_from = boot_clock()  # what changes meanwhile is reported again
            for start in range(0, len(attempts), PORTION):
                mended += self._report_some(closing, attempts[start : start + PORTION])
        if mended:
            _log.error("Redis has gone back in time: %d numbers were reported to it again", mended)
        now = boot_clock()
        slots = [round((now - at) * 1e6) if at else "" for at in (memory.last_slot, memory.last_call_slot)]
        is_complete = memory.is_complete_since(since)
        args = [self.seen, self.member, closing, int(is_complete), *slots]
        return bool(self._ledger.run_script("generation/end_report", args=args))

    def _report_some(self, closing: int, attempts: list[Attempt]) -> int:
        now = boot_clock()
        keys = [self._ledger.keys.record(one.phone_number) for one in attempts]
        args = [part for one in attempts for part in one.arguments(now)]
        mended, *lost_batches = self._ledger.run_script("generation/report", keys, [closing, *args])
        for name in lost_batches:
            _log.error("Redis does not know the batch %s any more; import its roster again", name)
        return int(mended)

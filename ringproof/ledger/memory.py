"""What one process remembers of the numbers that it has begun: to report them to a Redis that has gone back.

It remembers a number for as long as a code of it may live. Redis knows nearly all of it as well, so hardly anything is
ever read here: the fields of an entry stay packed as begin has returned them, until they are reported.
"""

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from ringproof.clock import boot_clock
from ringproof.ledger.answers import Outcome, Settlement
from ringproof.ledger.record import State
from ringproof.phone.masking import shorten

KEPT: Final = timedelta(minutes=17)
"""A lease and the life of a code, with a minute to spare: after it no code of an attempt can live."""

MOST: Final = 40_000
"""Attempts, in about 30 MB. At 300/5s a process that sends alone makes 61,000 in `KEPT`; most installations have
several, and far less to do. The oldest ones are forgotten first, and then only a Redis that is older than they are
shows it.
"""

REPORTED_FIELDS: Final = frozenset(
    (
        *("lane", "channel", "subaccount", "country", "resend", "attempts", "ends_at"),
        *("batch", "row", "again", "reverifies", "reverify_after", "personal", "test"),
    )
)
"""What a record is made of that Redis does not know any more, beside the alias."""

REPORTED_STATES: Final = frozenset((State.CODE_SENT, State.IN_DOUBT, State.FAILED, State.WAITING, State.QUEUED))
"""How an attempt ends. What a look-up finds out later is found out again."""


_BETWEEN: Final = "\0"
"""Between the names and values of a packed entry: no name or value of a request has it."""

_CALL: Final = _BETWEEN.join(("channel", "call", ""))


@dataclass(slots=True)
class Attempt:
    """One attempt: what begin claimed, and how it ended (None: it goes on). Moments are of the boot clock."""

    phone_number: str = field(repr=False)
    request: int
    fence: str = field(repr=False)
    begun_at: float
    slot_at: float
    packed: str = field(repr=False)
    changed_at: float
    outcome: Outcome | None = None
    ended_at: float = 0.0

    def arguments(self, now: float) -> list[Any]:
        """Return the attempt as `generation/report` takes it: moments as ms ago."""

        def ago(at: float) -> int:
            return round((now - at) * 1000)

        outcome = self.outcome
        result = ["", "", "", "", ""]
        if outcome:
            result = [
                *(str(outcome.state), str(outcome.reason or ""), shorten(outcome.detail)),
                *(outcome.verification_uuid, outcome.api_id),
            ]
        moments = [ago(self.begun_at), ago(self.slot_at), ago(self.ended_at) if outcome else 0]
        return [self.phone_number, self.request, self.fence, *moments, *result, self._reported()]

    def _reported(self) -> str:
        """Return the fields that are reported, as a flat list in JSON."""
        parts = self.packed.split(_BETWEEN)
        pairs = zip(parts[::2], parts[1::2], strict=False)
        return json.dumps([part for pair in pairs if _is_reported(pair[0]) for part in pair])


class Memory:
    """The attempts of one process, by number and request: the last one of each. Thread-safe.

    memory = Memory()
    memory.note_begun("+14155550123", 1764376884, fence, begun_at, slot_at, ["lane", "bulk", …])
    memory.note_settled([settlement])
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._attempts: OrderedDict[tuple[str, int], Attempt] = OrderedDict()  # the one changed last comes last
        self._dropped_at = -math.inf  # when the newest of those that had no room had changed
        self.last_slot = self.last_call_slot = 0.0

    def __len__(self) -> int:
        """Return how many attempts are remembered."""
        return len(self._attempts)

    def is_complete_since(self, since: float) -> bool:
        """Whether it remembers everything that has changed since then (`boot_clock()`), and may still matter."""
        return self._dropped_at < max(since, boot_clock() - KEPT.total_seconds())

    def is_needed(self) -> bool:
        """Whether it remembers anything that may still matter."""
        with self._lock:
            self._drop_old()
            return bool(self._attempts)

    def note_begun(
        self, number: str, request: int, fence: str, begun_at: float, slot_at: float, flat: Sequence[str]
    ) -> None:
        """Note what begin has claimed, with the fields that it returned as a flat list.

        A second call with the same fence confirms the claim: it was made at the first one.
        """
        packed = _BETWEEN.join(map(str, flat))
        with self._lock:
            before = self._attempts.pop((number, request), None)
            if before and before.fence == fence:
                begun_at = before.begun_at
            attempt = Attempt(number, request, fence, begun_at, slot_at, packed, boot_clock())
            self._attempts[number, request] = attempt
            self.last_slot = max(self.last_slot, slot_at)
            if _CALL in packed:
                self.last_call_slot = max(self.last_call_slot, slot_at)
            while len(self._attempts) > self._most:
                _, oldest = self._attempts.popitem(last=False)
                self._dropped_at = max(self._dropped_at, oldest.changed_at)

    def note_settled(self, settlements: Sequence[Settlement]) -> None:
        """Note how attempts have ended. Called before it is written: Redis may forget it, or not take it."""
        now = boot_clock()
        with self._lock:
            for one in settlements:
                attempt = self._attempts.get((one.phone_number, one.request))
                if attempt and attempt.fence == one.fence and one.outcome.state in REPORTED_STATES:
                    attempt.outcome, attempt.ended_at = one.outcome, now - one.ago.total_seconds()
                    attempt.changed_at = now
                    self._attempts.move_to_end((one.phone_number, one.request))

    def forget(self, number: str, request: int, fence: str) -> None:
        """Forget an attempt that was taken back: nothing was sent."""
        with self._lock:
            attempt = self._attempts.get((number, request))
            if attempt and attempt.fence == fence and attempt.outcome is None:
                del self._attempts[number, request]

    def changed_since(self, since: float) -> list[Attempt]:
        """Return the attempts that have changed since then (`boot_clock()`), the last one first."""
        with self._lock:
            self._drop_old()
            return list(self._newest_until(since))

    def _newest_until(self, since: float) -> Iterator[Attempt]:
        for attempt in reversed(self._attempts.values()):
            if attempt.changed_at < since:
                return
            yield attempt

    def _drop_old(self) -> None:
        oldest_kept = boot_clock() - KEPT.total_seconds()
        while self._attempts:
            first = next(iter(self._attempts.values()))
            if first.changed_at >= oldest_kept:
                return
            self._attempts.popitem(last=False)


def _is_reported(name: str) -> bool:
    return name in REPORTED_FIELDS or name.startswith("alias")

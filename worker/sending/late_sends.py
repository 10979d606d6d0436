"""Other slots for sends that have missed theirs: those that come together get them in one call."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ringproof.errors import LeaseOver, LedgerUnavailable
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import Slot, replace_slots
from ringproof.ledger.record import Record

MOST_AT_ONCE: Final = 25
"""Sends in one call, as of results: Redis does nothing else meanwhile."""


@dataclass(slots=True, eq=False)
class _LateSend:
    record: Record
    missed_us: int
    answer: Slot | LeaseOver | Exception | None = None


class LateSends:
    """Gets other slots. Thread-safe; a process needs one for each account.

    A busy process misses many slots at once, and a call for each would keep it busy. So no send waits for others, but
    what comes while a call is under way goes into the next one.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[_LateSend] = deque()
        self._calls = threading.Lock()

    def replace(self, record: Record, missed_us: int, lead: float) -> Slot:
        """Reserve another slot for a send that has missed its own. Raises `LeaseOver` if there is none for it.

        `lead` is that of `Ledger.begin`.
        """
        late = _LateSend(record, missed_us)
        self._waiting.append(late)
        while late.answer is None:
            with self._calls:
                if late.answer is None:
                    self._call(lead)
        if isinstance(late.answer, Exception):
            raise late.answer
        return late.answer

    def _call(self, lead: float) -> None:
        """Answer the first ones that wait."""
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        error = self._answer(some, lead)
        if error is None:
            return
        if isinstance(error, LedgerUnavailable) and error.is_refusal and len(some) > 1:
            # Perhaps of one record, which is damaged: the others get their slots.
            for one in some:
                if alone := self._answer([one], lead):
                    one.answer = _end_of_lease(alone)
            return
        for one in some:
            one.answer = _end_of_lease(error)

    def _answer(self, some: Sequence[_LateSend], lead: float) -> Exception | None:
        try:
            slots = replace_slots(self._ledger, [(one.record, one.missed_us) for one in some], lead)
        except Exception as error:  # noqa: BLE001  # the threads of these sends wait for an answer
            return error
        for one, slot in zip(some, slots, strict=True):
            one.answer = slot or LeaseOver("its slot was missed, and there is no other one for it; nothing was sent")
        return None


def _end_of_lease(error: Exception) -> Exception:
    """Return what ends a send whose slot could not be replaced. An error of Ringproof's own stays what it is."""
    if not isinstance(error, LedgerUnavailable):
        return error
    ended = LeaseOver(error.message)
    ended.__cause__ = error
    return ended

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


@dataclass(slots=True)
class _LateSend:
    record: Record
    missed_us: int
    slot: Slot | None = None
    error: Exception | None = None
    is_answered: bool = False


class LateSends:
    """Gets other slots. Thread-safe; a process needs one for each account.

    A busy process misses many slots at once, and a call for each would keep it busy. So the first send that comes asks
    at once, and those that come meanwhile are asked for together.
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
        while not late.is_answered:
            with self._calls:
                if not late.is_answered:
                    self._answer_some(lead)
        if isinstance(late.error, LedgerUnavailable):
            raise LeaseOver(late.error.message) from late.error
        if late.error:
            raise late.error
        if late.slot is None:
            raise LeaseOver("its slot was missed, and there is no other one for it; nothing was sent")
        return late.slot

    def _answer_some(self, lead: float) -> None:
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        if self._ask(some, lead) and len(some) > 1:
            # Perhaps because of one record, which is damaged: the others get their slots.
            for one in some:
                self._ask([one], lead)
        for one in some:
            one.is_answered = True

    def _ask(self, some: Sequence[_LateSend], lead: float) -> bool:
        """Ask for slots for some sends, and note what comes of it; return whether Redis has refused."""
        try:
            slots = replace_slots(self._ledger, [(one.record, one.missed_us) for one in some], lead)
        except Exception as error:  # noqa: BLE001  # the threads of these sends wait for an answer
            for one in some:
                one.error = error
            return isinstance(error, LedgerUnavailable) and error.is_refusal
        for one, slot in zip(some, slots, strict=True):
            one.slot, one.error = slot, None
        return False

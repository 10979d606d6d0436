"""Notices that Redis has lost its memory of some time: it was restored from a backup, or lost what it had not saved."""

import json
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ringproof.clock import epoch_ms
from ringproof.ledger.durations import ms
from ringproof.ledger.queues import Claim
from ringproof.ledger.reports import Report

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

OVERDUE: Final = timedelta(minutes=1)
"""The sweep runs every 10 seconds or more often, and an upgrade stops the workers for less than a minute."""

KEPT: Final = timedelta(hours=1)
"""For so long the status says it. Codes of that time are dead after a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time that Redis remembers nothing of.

    `is_sure`: a process remembers more than Redis does. Otherwise it has just started, and perhaps nobody swept then.
    """

    began: datetime | None  # None: Redis was emptied
    ended: datetime
    is_sure: bool


class Memory:
    """What one process remembers of the sweeps, beside Redis. Thread-safe.

    memory = Memory()
    gap = memory.compare(claim)  # at each sweep; None: Redis remembers all that this process does
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: datetime | None = None

    def compare(self, claim: Claim) -> Gap | None:
        """Return what Redis has forgotten before this claim, and remember the claim."""
        with self._lock:
            mine, self._last = self._last, claim.at
        before = claim.before
        if mine:
            is_gap = mine < claim.at and (before is None or before < mine)  # not if Redis' clock was set back
            return Gap(before, mine, is_sure=True) if is_gap else None
        is_gap = before is not None and claim.at - before > OVERDUE
        return Gap(before, claim.at, is_sure=False) if is_gap else None


def note_gap(ledger: "Ledger", gap: Gap) -> None:
    """Note for the status what Redis has forgotten. Raises `LedgerUnavailable`."""
    fields = {"began": epoch_ms(gap.began), "ended": epoch_ms(gap.ended), "is_sure": int(gap.is_sure)}
    known = {name: value for name, value in fields.items() if value}
    ledger.run("set", ledger.keys.gap, json.dumps(known), px=ms(KEPT))


def read_gap(note: str | None) -> Gap | None:
    """Return what `note_gap` has noted; None if it is nothing, or junk."""
    report = Report.read(note or "{}")
    ended = report.moment("ended")
    return Gap(report.moment("began"), ended, bool(report.count("is_sure"))) if ended else None

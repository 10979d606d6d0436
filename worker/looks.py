"""Plivo's list, read page by page, newest first, until what an earlier look has seen. lua/look.lua has the turns.

Who was verified elsewhere is found there, at 20 numbers a request. A code that nobody entered here is expired once a
look that began after its end has come to its own.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from worker.ledger import Ledger
from worker.pace import boot_clock
from worker.record import moment

NAME: Final = "reconcile"


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is: `wait` seconds until the slot of a page, or until to ask again; None: nothing is wanted."""

    wait: float | None
    page: "PageTurn | None" = None


@dataclass(frozen=True, slots=True)
class PageTurn:
    """The page to be read: of the look that `began` then (ms), from `offset`, down to the date `mark`."""

    began: int
    offset: int
    mark: datetime
    total: int | None


def wanted(ledger: Ledger) -> bool:
    """Whether codes are over of which Plivo's list may tell more."""
    return bool(ledger.get("hexists", ledger.key(NAME), "wanted"))


def turn(ledger: Ledger) -> Turn:
    """Take the turn to read the next page, if it is anybody's; its slot is paid for then."""
    asked_at = boot_clock()
    now_us, slot_us, again_us, began, offset, mark, total = map(int, ledger.ask("look", [ledger.key(NAME)]))
    if not slot_us:
        return Turn((again_us - now_us) / 1e6 if again_us else None)
    wait = (slot_us - now_us) / 1e6 - (boot_clock() - asked_at)
    return Turn(max(0.0, wait), PageTurn(began, offset, moment(mark), total if total >= 0 else None))


def read(ledger: Ledger, page: PageTurn, following: int | None, newest: datetime | None, total: int | None) -> bool:
    """Tell that a page was read, and where to go on (None: it is the end); False if somebody else has read it."""
    return bool(
        ledger.ask(
            "looked",
            [ledger.key(NAME)],
            [
                page.began,
                page.offset,
                "" if following is None else following,
                int(newest.timestamp() * 1000) if newest else 0,
                -1 if total is None else total,
            ],
        )
    )

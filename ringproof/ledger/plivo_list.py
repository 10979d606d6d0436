"""Plivo's list, read page by page, newest first. lua/look.lua has the turns.

RECONCILE reads until what an earlier look has seen: who was verified elsewhere is found there, at 20 numbers a
request, and a code that nobody entered here is expired once a look that began after its end has come to its own. SYNC
reads all of it, when a person wants it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ringproof.clock import boot_clock
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import cut, moment


class ListScan(StrEnum):
    """Which look it is: the key of its hash."""

    RECONCILE = "reconcile"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class ScanTurn:
    """Whose turn it is: `wait` seconds until the slot of a page, or until to ask again; None: nothing is wanted."""

    wait: float | None
    page: "ScanPage | None" = None


@dataclass(frozen=True, slots=True)
class ScanPage:
    """The page to be read: of the look that `began` then (ms), from `offset`, down to the date `mark`."""

    look: ListScan
    began: int
    offset: int
    mark: datetime
    total: int | None


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a look is: `found` says what became of how many numbers, of `total`; `trouble`: why a page was not read.

    `wanted_at` is None once it has come to its end, which it did for the look that began at `looked`.
    """

    wanted_at: datetime | None
    looked: datetime | None
    found: Mapping[str, int]
    total: int | None
    trouble: str


def request_scan(ledger: Ledger, look: ListScan) -> None:
    """Have a look begun, unless one is under way: then that is gone on with."""
    ledger.run("hsetnx", ledger.keys.list_scan(look), "wanted", int(ledger.now().timestamp() * 1000))


def is_scan_requested(ledger: Ledger, look: ListScan) -> bool:
    """Whether there is more to be read: for codes that are over, or for a person."""
    return bool(ledger.run("hexists", ledger.keys.list_scan(look), "wanted"))


def scan_progress(ledger: Ledger, look: ListScan) -> ScanProgress:
    """Return how far a look is."""
    told = ledger.run("hgetall", ledger.keys.list_scan(look))
    found = {field.removeprefix("found:"): int(count) for field, count in told.items() if field.startswith("found:")}

    def when(field: str) -> datetime | None:
        return moment(int(told[field])) if field in told else None

    total = int(told.get("total", -1))
    return ScanProgress(when("wanted"), when("looked"), found, total if total >= 0 else None, told.get("trouble", ""))


def take_page(ledger: Ledger, look: ListScan) -> ScanTurn:
    """Take the turn to read the next page, if it is anybody's; its slot is paid for then."""
    asked_at = boot_clock()
    asked = ledger.run_script("plivo_list/take_page", [ledger.keys.list_scan(look)], [int(look is ListScan.SYNC)])
    now_us, slot_us, again_us, began, offset, mark, total = map(int, asked)
    if not slot_us:
        return ScanTurn((again_us - now_us) / 1e6 if again_us else None)
    wait = (slot_us - now_us) / 1e6 - (boot_clock() - asked_at)
    return ScanTurn(max(0.0, wait), ScanPage(look, began, offset, moment(mark), total if total >= 0 else None))


def page_done(
    ledger: Ledger,
    page: ScanPage,
    following: int | None,
    newest: datetime | None,
    total: int | None,
    found: Mapping[str, int],
) -> bool:
    """Tell that a page was read, and where to go on (None: it is the end); False if somebody else has read it.

    `found` says what became of its numbers, and of how many.
    """
    return bool(
        ledger.run_script(
            "plivo_list/save_page",
            [ledger.keys.list_scan(page.look)],
            [
                page.began,
                page.offset,
                "" if following is None else following,
                int(newest.timestamp() * 1000) if newest else 0,
                -1 if total is None else total,
                *(part for pair in found.items() for part in pair),
            ],
        )
    )


def page_failed(ledger: Ledger, look: ListScan, why: str) -> None:
    """Tell whoever waits why a page was not read."""
    ledger.run("hset", ledger.keys.list_scan(look), "trouble", cut(why, 200))

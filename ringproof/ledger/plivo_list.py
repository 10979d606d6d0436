"""The scans of Plivo's list of verified numbers, page by page, newest first. lua/plivo_list gives out the turns.

RECONCILE reads the newest pages, 20 numbers a request, down to what the last scan has seen. So it finds users who
confirmed elsewhere. A code that no user entered here expires only after a scan that began later has finished. SYNC
reads the whole list when an operator asks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ringproof.clock import boot_clock, epoch_ms, moment
from ringproof.ledger.attention import note_work
from ringproof.ledger.ledger import Ledger
from ringproof.phone.masking import shorten

FAILURE_BYTES: Final = 200
"""How much is kept of the reason why a page was not read: a sentence for `ringproof sync`."""


class ListScan(StrEnum):
    """Which scan it is; its key in Redis has the same name."""

    RECONCILE = "reconcile"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class ScanPage:
    """The page to read: of the scan that `began` at that time (ms), from `offset`, down to the date `mark`.

    `total` is how many numbers the list had at the last page (None: unknown).
    """

    scan: ListScan
    began: int
    offset: int
    mark: datetime
    total: int | None


@dataclass(frozen=True, slots=True)
class ScanTurn:
    """The answer of `take_page`.

    With a `page`, `at` is its slot. Without one, `at` is when to ask again, or None if no scan is requested. Both are
    moments of this process's `boot_clock()`.
    """

    at: float | None
    page: ScanPage | None = None


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is.

    `requested_at` is None when no scan is requested. `finished_scan_began_at` is when the last finished scan began.
    `counts` says how many of the list's `total` numbers had which result, such as `{"verified": 3, "already": 17}`.
    `failure` says why the last page was not read; it is empty otherwise.
    """

    requested_at: datetime | None
    finished_scan_began_at: datetime | None
    counts: Mapping[str, int]
    total: int | None
    failure: str


def request_scan(ledger: Ledger, scan: ListScan) -> None:
    """Request a scan. If one is requested already, nothing changes."""
    ledger.run("hsetnx", ledger.keys.list_scan(scan), "wanted", epoch_ms(ledger.now()))
    note_work(ledger)


def is_scan_requested(ledger: Ledger, scan: ListScan) -> bool:
    """Whether the scan is requested and has not finished."""
    return bool(ledger.run("hexists", ledger.keys.list_scan(scan), "wanted"))


def scan_progress(ledger: Ledger, scan: ListScan) -> ScanProgress:
    """Return how far a scan is."""
    fields = ledger.run("hgetall", ledger.keys.list_scan(scan))
    counts = {name.removeprefix("found:"): int(count) for name, count in fields.items() if name.startswith("found:")}

    def when(field: str) -> datetime | None:
        return moment(int(fields[field])) if field in fields else None

    return ScanProgress(
        when("wanted"), when("looked"), counts, _total(int(fields.get("total", -1))), fields.get("trouble", "")
    )


def take_page(ledger: Ledger, scan: ListScan) -> ScanTurn:
    """Take the turn to read the next page and reserve its slot, or return when to ask again."""
    asked_at = boot_clock()
    answer = ledger.run_script("plivo_list/take_page", [ledger.keys.list_scan(scan)], [int(scan is ListScan.SYNC)])
    now_us, slot_us, again_us, began, offset, mark, total = map(int, answer)
    local = ledger.slot_clock.locate(asked_at, boot_clock(), now_us)
    if not slot_us:
        return ScanTurn(local(again_us) if again_us else None)
    return ScanTurn(local(slot_us), ScanPage(scan, began, offset, moment(mark), _total(total)))


def page_done(
    ledger: Ledger,
    page: ScanPage,
    following: int | None,
    newest: datetime | None,
    total: int | None,
    counts: Mapping[str, int],
) -> bool:
    """Record that a page was read, and the offset of the next one (None: it was the last).

    `counts` says how many of its numbers had which result. Returns False if another worker has recorded this page.
    """
    return bool(
        ledger.run_script(
            "plivo_list/save_page",
            [ledger.keys.list_scan(page.scan)],
            [
                page.began,
                page.offset,
                "" if following is None else following,
                epoch_ms(newest),
                -1 if total is None else total,
                *(part for pair in counts.items() for part in pair),
            ],
        )
    )


def page_failed(ledger: Ledger, scan: ListScan, why: str) -> None:
    """Record why a page was not read, for an operator who waits for the scan."""
    ledger.run("hset", ledger.keys.list_scan(scan), "trouble", shorten(why, FAILURE_BYTES))


def _total(count: int) -> int | None:
    return count if count >= 0 else None

"""Cancel what has not begun of a country, a range of numbers or a lane: requests, and rows that were not fed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ringproof.batches.model import BatchState
from ringproof.batches.rows import BYTES_AT_ONCE, FoundRow, rows_with_bytes
from ringproof.batches.summary import batch_names
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import UNBEGUN, Lane
from ringproof.ledger.row_outcomes import LISTS, UNFED

PORTION: Final = 500
"""Requests of one call of the script. It takes about 10 ms, in which Redis does nothing else."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which requests are meant: those of this country, whose number begins so, and in this lane. None: any.

    Selection(country="BR", range="+5511", lane=Lane.INTERACTIVE)
    """

    country: str | None = None
    range: str | None = None
    lane: Lane | None = None

    def has(self, number: str, country: str | None) -> bool:
        """Return whether a number with this country is meant, in whichever lane."""
        return number.startswith(self.range or "") and self.country in {None, country}


@dataclass(frozen=True, slots=True)
class _Request:
    number: str
    request: int
    lane: str


def count_unbegun(ledger: Ledger, selection: Selection) -> int:
    """Return how many requests and rows `cancel_unbegun` would cancel now. Raises `LedgerUnavailable`."""
    rows = sum(len(page) for _, _, page in _pending_rows(ledger, selection))
    return rows + sum(map(len, _unbegun(ledger, selection)))


def cancel_unbegun(ledger: Ledger, selection: Selection) -> Iterator[int]:
    """Cancel what is meant and has not begun, in portions; yield how many each portion has cancelled.

    What is done stays done if the caller stops in between, and a second call cancels the rest. Rows come first, so that
    the feeder makes no requests of them meanwhile. A request that is made meanwhile may be left. Raises
    `LedgerUnavailable`.
    """
    for name, channel, rows in _pending_rows(ledger, selection):
        keys = ledger.keys.batch(name)
        places = [part for row in rows for part in (row.place, row.row.country)]
        script_keys = [keys.batch, keys.bytes[LISTS.index(channel)]]
        yield int(ledger.run_script("batch/cancel_rows", script_keys, [name, channel, *places]))
    for requests in _unbegun(ledger, selection):
        records = [ledger.keys.record(one.number) for one in requests]
        described = [part for one in requests for part in (one.number, one.request, one.lane)]
        yield int(ledger.run_script("number/cancel_many", records, described))


def _pending_rows(ledger: Ledger, selection: Selection) -> Iterator[tuple[str, str, list[FoundRow]]]:
    """Yield the pending rows that are meant, with the names of their batch and list, up to 1,000 at a time."""
    if selection.lane not in {None, Lane.BULK}:
        return
    for name in batch_names(ledger):
        keys = ledger.keys.batch(name)
        if ledger.run("hget", keys.batch, "state") not in {BatchState.RUNNING, BatchState.PAUSED}:
            continue
        for channel, list_key, bytes_key in zip(LISTS, keys.lists, keys.bytes, strict=True):
            length = ledger.run("llen", list_key)
            for start in range(0, length, BYTES_AT_ONCE):
                row_bytes = ledger.run("getrange", bytes_key, start, start + BYTES_AT_ONCE - 1)
                row_bytes = row_bytes.ljust(min(BYTES_AT_ONCE, length - start), UNFED)
                for page in rows_with_bytes(ledger, name, channel, start, row_bytes, UNFED):
                    if meant := [row for row in page if selection.has(row.row.number, row.row.country)]:
                        yield name, channel, meant


def _unbegun(ledger: Ledger, selection: Selection) -> Iterator[list[_Request]]:
    """Yield the requests that are meant and have not begun: each is on the agenda."""
    cursor = 0
    while True:
        cursor, page = ledger.run("zscan", ledger.keys.agenda, cursor, count=PORTION)
        numbers = sorted({number for number, _ in page if number.startswith(selection.range or "")})
        for start in range(0, len(numbers), PORTION):
            if meant := list(_meant(ledger, selection, numbers[start : start + PORTION])):
                yield meant
        if not cursor:
            return


def _meant(ledger: Ledger, selection: Selection, numbers: Sequence[str]) -> Iterator[_Request]:
    wanted = ("state", "lane", "country", "request")
    records = ledger.run_all(*(("hmget", ledger.keys.record(number), *wanted) for number in numbers))
    for number, (state, lane, country, request) in zip(numbers, records, strict=True):
        if state in UNBEGUN and selection.lane in {None, lane} and selection.has(number, country):
            yield _Request(number, int(request), lane)

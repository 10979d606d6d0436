"""The records that a person looks for, by state, time, country and lane: some hundred at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from ringproof.clock import epoch_ms
from ringproof.errors import LedgerDamaged
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.numbers import AT_ONCE, agenda_pages, number_pages
from ringproof.ledger.record import FINAL, Lane, Reason, Record, State

_FIELDS: Final = ("state", "reason", "country", "lane", "updated_at", "verified_at")
"""What a filter needs of a record. To read these and no others takes a fifth of the time."""


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records are meant. Empty or None: any.

    RecordFilter(states={State.FAILED}, since=…, country="US", lane=Lane.BULK)

    A number is `verified` as long as its verification stands, also while a newer request is in another state.
    """

    states: frozenset[State] = frozenset()
    since: datetime | None = None  # changed then or later
    country: str | None = None
    lane: Lane | None = None

    @property
    def is_on_agenda(self) -> bool:
        """Whether the agenda has all numbers that are meant: it has those that are not final."""
        return bool(self.states) and not self.states & FINAL

    def takes(self, packed: Mapping[str, str | None]) -> bool:
        """Whether a record is meant, by its fields as they are in Redis."""
        stands = packed["verified_at"] and packed["reason"] != Reason.LAPSED
        return (
            (not self.states or packed["state"] in self.states or bool(stands and State.VERIFIED in self.states))
            and (self.country is None or packed["country"] == self.country)
            and (self.lane is None or packed["lane"] == self.lane)
            and (self.since is None or int(packed["updated_at"] or 0) >= epoch_ms(self.since))
        )


@dataclass(frozen=True, slots=True)
class Page:
    """What some numbers are: those that are meant, those without a record, and those whose record is damaged."""

    read: int
    records: Sequence[Record]
    unknown: Sequence[str]
    damaged: Sequence[str]


def filtered(ledger: Ledger, wanted: RecordFilter, numbers: Iterable[str] | None = None) -> Iterator[Page]:
    """Yield what is meant of these numbers, or of all: page by page, so that others use Redis in between.

    All keys are read, or the agenda if it has all that is meant. Raises `LedgerUnavailable` as `all_records` does.
    """
    if numbers is not None:
        pages: Iterator[Sequence[str]] = _in_pages(numbers)
    else:
        pages = agenda_pages(ledger) if wanted.is_on_agenda else number_pages(ledger)
    for page in pages:
        yield _page(ledger, wanted, page, is_named=numbers is not None)


def _in_pages(numbers: Iterable[str]) -> Iterator[Sequence[str]]:
    all_numbers = iter(numbers)
    while page := list(islice(all_numbers, AT_ONCE)):
        yield page


def _page(ledger: Ledger, wanted: RecordFilter, numbers: Sequence[str], *, is_named: bool) -> Page:
    chosen = numbers
    if wanted != RecordFilter():
        rows = zip(numbers, _fields(ledger, numbers), strict=True)
        chosen = [number for number, packed in rows if packed is None or _takes(wanted, packed)]
    records: list[Record] = []
    unknown, damaged = [], []
    for number, record in zip(chosen, _read(ledger, chosen), strict=True):
        if isinstance(record, Record):
            records.append(record)
        elif record is not None:
            damaged.append(number)
        elif is_named:
            unknown.append(number)
    return Page(len(numbers), records, unknown, damaged)


def _fields(ledger: Ledger, numbers: Sequence[str]) -> list[Mapping[str, str | None] | None]:
    """Return what a filter needs of each record; None if its key has no record."""
    commands = [("hmget", ledger.keys.record(number), *_FIELDS) for number in numbers]
    try:
        return [dict(zip(_FIELDS, row, strict=True)) for row in ledger.run_all(*commands)]
    except LedgerDamaged:
        if len(numbers) == 1:
            return [None]
        return [fields for number in numbers for fields in _fields(ledger, [number])]


def _takes(wanted: RecordFilter, packed: Mapping[str, str | None]) -> bool:
    try:
        return wanted.takes(packed)
    except ValueError:  # a damaged time: to read the whole record says so
        return True


def _read(ledger: Ledger, numbers: Sequence[str]) -> Iterator[Record | LedgerDamaged | None]:
    """Yield the record of each number; None if there is none, and the error if it is damaged."""
    try:
        yield from ledger.read_many([(number, None) for number in numbers])
    except LedgerDamaged:
        for number in numbers:
            try:
                yield ledger.read(number)
            except LedgerDamaged as error:
                yield error

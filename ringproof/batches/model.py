"""A batch as values: its states, its rows and how they are packed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from ringproof.errors import InvalidRequest
from ringproof.phone.masking import mask_value


class BatchState(StrEnum):
    """Where a batch stands."""

    IMPORTING = "importing"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Batch:
    """What is known of a batch. An outcome is a state, with its reason after a colon, or why a row got no request."""

    name: str
    state: BatchState
    created_at: datetime
    completed_at: datetime | None
    rows: int
    fed: int  # handed to the ledger so far
    unfinished: int  # rows without an outcome: pending, queued, waiting, sending or in doubt
    outcomes: Mapping[str, int]
    countries: Mapping[str, Mapping[str, int]]  # "US" -> {"rows": 10, "code_sent": 3, "failed": 1, …}
    rate_per_second: float | None  # codes sent lately
    time_left: timedelta | None  # at the present pace, shared with the other running batches
    held_back_by: str  # a sentence, or empty
    source: str


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One row, and what became of it: `outcome` is a state or why it got no request."""

    number: str = field(repr=False)
    channel: str
    alias: str | None = field(repr=False)
    subaccount: str | None
    outcome: str
    reason: str
    uuid: str | None
    code_sent_at: datetime | None
    updated_at: datetime | None


class StoredRow(NamedTuple):
    """A row as it is kept, beside the list that it is in."""

    country: str
    number: str
    alias: str
    subaccount: str


def pack_row(number: str, country: str | None, alias: str | None, subaccount: str | None) -> str:
    """Write a row: `US+14155550123`, and what else it has after tabs, which no alias can have in it."""
    extras = f"\t{alias or ''}\t{subaccount or ''}".rstrip("\t") if alias or subaccount else ""
    return f"{country or ''}{number}{extras}"


def unpack_row(row: str) -> StoredRow:
    """Read what `pack_row` wrote."""
    whole, alias, subaccount = [*row.split("\t"), "", ""][:3]
    country, plus, digits = whole.partition("+")
    return StoredRow(country, plus + digits, alias, subaccount)


def check_name(name: object) -> str:
    """Return a name that a batch can have. Raises `InvalidRequest`."""
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9._][A-Za-z0-9._ -]{0,63}", name) and name.strip() == name:
        return name
    raise InvalidRequest(
        "batch", mask_value(name), "name it by 1 to 64 of letters (A to Z), digits, . _ - and space; no - first"
    )

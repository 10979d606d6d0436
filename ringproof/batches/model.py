"""A batch as values: its state and summary, its rows, and how Redis keeps a row."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from ringproof.batches.prices import Cost
from ringproof.errors import InvalidRequest
from ringproof.ledger.schema import is_newer_schema
from ringproof.phone.masking import mask_value

LONGEST_NAME: Final = 64
"""Most characters of a batch's name."""

_NAME: Final = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._ -]*")


class BatchState(StrEnum):
    """Where a batch stands."""

    IMPORTING = "importing"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    NEWER_VERSION = "newer_version"  # only shown: a newer version of Ringproof runs it

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "BatchState":
        """Return the state of a batch's hash. A state or a schema that this version does not know is NEWER_VERSION."""
        word = fields["state"]
        if is_newer_schema(fields.get("v")) or word not in _STATES:
            return cls.NEWER_VERSION
        return cls(word)


_STATES = frozenset(BatchState)


@dataclass(frozen=True, slots=True)
class Batch:
    """The summary of a batch.

        Batch(name="spring", state=BatchState.RUNNING, rows=40, fed=40, unfinished=2,
              outcomes={"code_sent": 36, "failed:rejected": 2, "queued": 2},
              countries={"US": {"rows": 40, "code_sent": 36, "failed": 2, "queued": 2}}, …)

    `outcomes` counts the rows. An outcome is the state of the row's number, with the reason after a colon, or the
    reason why the row got no request: `joined`, `live`, `verified`, `capped`, `country` or `erased`. `countries` has
    the same counts by country, without reasons. `fed` rows were handed to the ledger; `unfinished` rows have no outcome
    yet: they are pending, queued, waiting, sending or in doubt.

    `rate_per_second` is how many codes were sent lately. `time_left` is estimated at the present pace, which the batch
    shares with the other running ones. `held_back_by` is a sentence, or empty if nothing holds the batch back.
    `resent_as` is the batch that asks the unanswered numbers again. `cost` is None if the batch has no prices.
    """

    name: str
    state: BatchState
    created_at: datetime
    completed_at: datetime | None
    rows: int
    fed: int
    unfinished: int
    outcomes: Mapping[str, int]
    countries: Mapping[str, Mapping[str, int]]
    rate_per_second: float | None
    time_left: timedelta | None
    held_back_by: str
    source: str
    resent_as: str = ""
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One row of a batch with its outcome.

        BatchRow("+14155550123", "sms", "Front desk", None, "failed", "rejected", None, None, updated_at)

    `outcome` is a state, or why the row got no request: it is `joined` if an unfinished request of the same number
    counts for this row as well. `reason` is empty if there is none. `number` is empty if it was erased. `uuid`,
    `code_sent_at` and `updated_at` are None if the number's record does not belong to this row. `verified_at` is when
    the number was verified last, by this batch or otherwise.

    `line`, `written_as` and `columns` are the row's in its roster, if they were kept and read; `number_column` is the
    column with the number. A row that the import rejected has the outcome `rejected`, the reason, and no number.
    """

    number: str = field(repr=False)
    channel: str
    alias: str | None = field(repr=False)
    subaccount: str | None
    outcome: str
    reason: str
    uuid: str | None
    code_sent_at: datetime | None
    updated_at: datetime | None
    verified_at: datetime | None = None
    country: str = ""
    line: int | None = None
    written_as: str = field(default="", repr=False)
    columns: Mapping[str, object] = field(default_factory=dict, repr=False)
    number_column: str = ""


class StoredRow(NamedTuple):
    """A row as Redis keeps it; empty text for a missing part. The list that it is in gives the channel."""

    country: str
    number: str
    alias: str
    subaccount: str


def pack_row(number: str, country: str | None, alias: str | None, subaccount: str | None) -> str:
    r"""Return a row as Redis keeps it. The alias and the subaccount follow after tabs, which no alias can have in it.

    >>> pack_row("+14155550123", "US", "Front desk", None)
    'US+14155550123\tFront desk'
    """
    extras = f"\t{alias or ''}\t{subaccount or ''}".rstrip("\t") if alias or subaccount else ""
    return f"{country or ''}{number}{extras}"


def unpack_row(row: str) -> StoredRow:
    """Return the parts of a row that `pack_row` made. An erased row has only its country."""
    whole, alias, subaccount = [*row.split("\t"), "", ""][:3]
    country, plus, digits = whole.partition("+")
    return StoredRow(country, plus + digits, alias, subaccount)


def check_name(name: object) -> str:
    """Return the name of a batch if it is a possible one. Raises `InvalidRequest` if it is not."""
    if isinstance(name, str) and len(name) <= LONGEST_NAME and _NAME.fullmatch(name) and name.strip() == name:
        return name
    raise InvalidRequest(
        "batch",
        mask_value(name),
        f"use 1 to {LONGEST_NAME} of these: letters (A to Z), digits, . _ - and space; no - at the beginning",
    )

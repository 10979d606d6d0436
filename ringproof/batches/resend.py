"""Ask the unanswered numbers of a batch again: they become the rows of a new batch, to which the old one points."""

import re
from collections.abc import Iterator
from itertools import count, islice
from typing import Final, Literal

from ringproof.batches.costs import payment_of_resend
from ringproof.batches.importing import BatchImport
from ringproof.batches.kept_columns import FILE_COLUMN, kept_names
from ringproof.batches.model import LONGEST_NAME, Batch, BatchRow, BatchState
from ringproof.batches.rows import batch_rows
from ringproof.batches.summary import batch_summary
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from ringproof.phone.number import parse
from ringproof.rosters.columns import Columns
from ringproof.rosters.row import Row

ROWS_AT_ONCE: Final = 1000
"""Rows whose records one command reads."""

_SUFFIX: Final = re.compile(r"-resend(-\d+)?$")


class UnansweredRows:
    """The rows of a batch whose code was sent and not entered, to be iterated over once.

    Left out are numbers that are verified by now, and those whose code may still work: `live` counts these. What the
    ledger decides about each number when the new batch is fed holds as for any roster: a cap, the cooldown, a
    verification that came meanwhile.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.live = 0
        self._ledger, self._name = ledger, name

    def __iter__(self) -> Iterator[BatchRow]:
        sent = (
            row
            for row in batch_rows(self._ledger, self._name, with_columns=True)
            if row.number and row.outcome in {State.CODE_SENT, State.EXPIRED}
        )
        while rows := list(islice(sent, ROWS_AT_ONCE)):
            now = self._ledger.now()
            records = self._ledger.read_many([(row.number, None) for row in rows])
            for row, record in zip(rows, records, strict=True):
                if record and record.is_verified:
                    continue
                if record and record.live_until and record.live_until > now:
                    self.live += 1
                    continue
                yield row


class RowCopier:
    """Adds rows of a batch to the import of another one, with the columns that are kept."""

    def __init__(self, ledger: Ledger, name: str, importing: BatchImport) -> None:
        self._importing = importing
        self._names = tuple(column for column in kept_names(ledger, name) if column != FILE_COLUMN)
        self._number_column = ""

    def add(self, row: BatchRow) -> Row:
        """Add a row; return it as the row of a roster."""
        if row.columns and row.number_column != self._number_column:
            number = self._names.index(row.number_column)
            self._importing.keep_columns(Columns(self._names, has_header=True, number=number))
            self._number_column = row.number_column
        channel: Literal["sms", "call"] = "call" if row.channel == "call" else "sms"
        copied = Row(row.line or 0, parse(row.number), channel, row.alias, row.subaccount, row.columns)
        self._importing.add(copied)
        return copied


def resend_name(ledger: Ledger, name: str) -> str:
    """Return a free name for the batch that asks again: `spring-resend`, then `spring-resend-2`.

    The name of a resend whose import was cut short is free: the import continues.
    """
    base = _SUFFIX.sub("", name)
    for nth in count(1):
        suffix = "-resend" if nth == 1 else f"-resend-{nth}"
        candidate = base[: LONGEST_NAME - len(suffix)].rstrip() + suffix
        existing = batch_summary(ledger, candidate)
        if existing is None or existing.state is BatchState.IMPORTING:
            return candidate
    raise AssertionError("unreachable")


def finish_resend(ledger: Ledger, name: str, importing: BatchImport) -> Batch:
    """End the import of the new batch, and have the old one point to it; return the new batch's summary."""
    key = ledger.keys.batch(name).batch
    days = ledger.run("hget", key, "reverify_after")
    payment = payment_of_resend(ledger, name)
    resent = importing.finish(reverify_after_days=int(days) if days else None, payment=payment)
    ledger.run_script("batch/save_resend", [key], [resent.name])
    return resent

"""Import a roster: store its rows as a batch. The feeder takes no row before the import is finished.

A resumed import reads the same file again and skips the rows that are already stored.
"""

import logging
import os
import secrets
import shlex
import socket
from collections.abc import Callable, Iterable
from datetime import timedelta
from hashlib import blake2b
from types import TracebackType
from typing import Final, Self

from ringproof import runtime
from ringproof.batches.forecast import Tally
from ringproof.batches.kept_columns import MOST_CHARACTERS, REJECTED, ColumnKeeper
from ringproof.batches.model import Batch, BatchState, check_name, pack_row
from ringproof.batches.prices import Payment, millionths_of
from ringproof.batches.summary import batch_summary
from ringproof.errors import BatchBusy, BatchExists, InvalidRoster
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.request import check_days
from ringproof.ledger.row_outcomes import LISTS
from ringproof.rosters.columns import ColumnMapping, Columns
from ringproof.rosters.roster import Roster, roster_of
from ringproof.rosters.row import Reject, Row

PAGE_ROWS: Final = 1000
"""Rows that one script stores. It takes about 2 ms, and Redis does nothing else in that time."""

IMPORTER_TIMEOUT: Final = timedelta(seconds=10)
"""An import that has stored no page for so long may be dead. Another one may then continue in its place."""

NO_PRICES: Final = Payment()

_log = logging.getLogger(__name__)


def import_roster(
    rows: Iterable[object] | Roster,
    batch: str,
    *,
    paused: bool = False,
    mapping: ColumnMapping | None = None,
    region: str | None = None,
    channel: str = "sms",
    plus: bool = False,
    reverify_after_days: int | None = None,
    columns: bool = True,
    rejected: Callable[[Reject], object] | None = None,
    account: str | None = None,
) -> Batch:
    """Send a code to each number of `rows`, at the pace: make them a batch, which the workers then send.

    `rows` are numbers as text, mappings such as `{"phone": …, "alias": …}`, or an open roster. Nothing is sent before
    all rows are stored. `plus` reads numbers that begin with 1 to 9 as international ones whose `+` was lost.
    `rejected` is called with each row that is rejected; without it, a warning in the log counts them. If the import is
    cut short, call it again with the same rows: it continues where it was. All columns of the rows and the rejected
    rows are kept for `ringproof batch export`, unless `columns` is False. `account` is the account that sends, if it is
    not the installation's own; each account has batches of its own.

        >>> import_roster([number, {"phone": "+14155550124", "alias": "Front desk"}], "spring").rows
        2

    Raises `InvalidRoster` and `InvalidRequest` as `open_roster` does, and `InvalidRoster` also if all rows are
    rejected. Raises `BatchExists` and `BatchBusy` as `begin_import` does, and `LedgerUnavailable`.
    """
    if isinstance(rows, Roster):
        roster = rows
    else:
        roster = roster_of(rows, mapping=mapping, region=region, channel=channel, plus=plus)
    with begin_import(runtime.ledger(account), batch, fingerprint=roster.fingerprint, source=roster.name) as importing:
        if columns:
            importing.keep_columns(roster.columns)
        for row in roster:
            if isinstance(row, Row):
                importing.add(row)
                continue
            importing.add_rejected(row)
            if rejected:
                rejected(row)
        if not roster.accepted:
            importing.abandon()
            raise nothing_accepted(roster)
        if roster.reasons and not rejected:
            _log.warning("batch %s: %s", batch, rejects_text(roster))
        if roster.cleaned_aliases:
            _log.warning("batch %s: aliases cleaned to be ones that Plivo accepts: %d", batch, roster.cleaned_aliases)
        return importing.finish(paused=paused, reverify_after_days=reverify_after_days)


def nothing_accepted(roster: Roster) -> InvalidRoster:
    """Return the error of a roster without a row that can be sent to."""
    remedy = "correct them"
    if roster.lost_plus:
        remedy = f"use plus=True if the + was lost (rows that look so: {roster.lost_plus:,})"
    elif not roster.reasons.keys() - {"empty"}:
        remedy = "say which column has the numbers: mapping={'number': 'COLUMN'}"
    return InvalidRoster(roster.name, f"no row can be sent to: {rejects_text(roster)}", remedy)


def rejects_text(roster: Roster) -> str:
    """Return how many rows were rejected and why, and apart from them those without a number, which are no errors."""
    wrong = roster.reasons.copy()
    without_number = wrong.pop("empty", 0)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in wrong.most_common())
    texts = [f"rejected rows: {wrong.total():,} ({reasons})"] if wrong else []
    if without_number:
        texts.append(f"rows without a number: {without_number:,}")
    return "; ".join(texts)


def begin_import(ledger: Ledger, name: str, *, fingerprint: str | None, source: str = "") -> "BatchImport":
    """Begin the import of a batch, or continue one that was cut short.

    `fingerprint` identifies the content of the roster; `source` is its name, as the batch's summary shows it.

    Raises `BatchExists` if a batch of this name is imported already, or has other content. Raises `BatchBusy` while
    another import of the batch is alive.
    """
    keys = ledger.keys.batch(check_name(name))
    token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
    dead_importer = ""
    while True:
        answer, detail, more, rejected = ledger.run_script(
            "batch/open_import",
            [keys.batch, keys.importer, ledger.keys.batches, *keys.lists],
            [name, token, ms(IMPORTER_TIMEOUT), dead_importer, fingerprint or "", source],
        )
        if answer == "opened":
            return BatchImport(
                ledger, name, token, already_stored=int(detail), already_rejected=int(rejected), digest=more
            )
        if answer == "exists":
            raise BatchExists(name, _same_rows(detail) if more else _other_rows(name, detail))
        if dead_importer or not _is_dead(detail):
            raise BatchBusy(name)
        dead_importer = detail


class BatchImport:
    """A batch that is being imported. If its `with` block ends with an error, another import can continue it.

    >>> with begin_import(ledger, "spring", fingerprint=roster.fingerprint) as importing:
    ...     importing.keep_columns(roster.columns)
    ...     for row in roster:
    ...         if isinstance(row, Row):
    ...             importing.add(row)
    ...     batch = importing.finish()
    """

    def __init__(
        self, ledger: Ledger, name: str, token: str, *, already_stored: int, already_rejected: int, digest: str
    ) -> None:
        self.name = name
        self.already_stored = already_stored
        """How many rows an earlier run stored."""
        self._ledger, self._token = ledger, token
        self._stored_digest, self._digest = digest, blake2b(digest_size=16)
        self._already_rejected = already_rejected
        self._stored, self._rejected = already_stored, already_rejected
        self._skipped = self._skipped_rejects = 0
        self._page: dict[str, list[str]] = {channel: [] for channel in LISTS}
        self._page_rows = 0
        self._columns = ColumnKeeper()

    def keep_columns(self, columns: Columns, *, file: str | None = None) -> None:
        """Keep all columns of the rows that are added from now on, and the rejected rows, for the export.

        If the batch has rows of several files, `file` is the name of theirs; it becomes one column more.
        """
        self._columns.begin_roster(columns, file)

    def add(self, row: Row) -> None:
        """Add a row, or skip it if an earlier run stored it.

        Raises `BatchExists` at the last row to skip if the skipped rows are not the stored ones. Raises `BatchBusy` if
        another import has taken over.
        """
        packed = pack_row(row.number.e164, row.number.country, row.alias, row.subaccount)
        self._digest.update(f"{row.channel} {packed}\n".encode())
        if self._skipped < self.already_stored:
            self._skipped += 1
            if self._skipped == self.already_stored and self._digest.hexdigest() != self._stored_digest:
                raise self._has_other_rows()
            return
        self._page[row.channel].append(packed)
        self._page_rows += 1
        self._columns.add(row.channel, row.line, row.raw)
        if self._page_rows == PAGE_ROWS or self._columns.characters > MOST_CHARACTERS:
            self._store_page()

    def add_rejected(self, reject: Reject) -> None:
        """Keep a rejected row with its columns, if columns are kept; skip it if an earlier run stored it."""
        if self._skipped_rejects < self._already_rejected:
            self._skipped_rejects += 1
            return
        self._columns.add(REJECTED, reject.line, reject.raw, reject.reason)
        if self._columns.rejected == PAGE_ROWS or self._columns.characters > MOST_CHARACTERS:
            self._store_page()

    def flush(self) -> None:
        """Store the rows of the last page.

        Raises `BatchExists` if fewer rows were added than an earlier run stored, and `BatchBusy` as `add` does.
        """
        if self._skipped < self.already_stored:
            raise self._has_other_rows()
        self._store_page()

    def finish(
        self, *, paused: bool = False, reverify_after_days: int | None = None, payment: Payment = NO_PRICES
    ) -> Batch:
        """End the import, so that the batch is fed from now on, or is paused; return its summary.

        `reverify_after_days` is the re-verification period of the batch's numbers: 0 is never, None is the period of
        all other numbers. `payment` has the prices of its codes, and the budget that they may cost. Raises
        `InvalidRequest` if there is no such period, and the errors of `flush`.
        """
        days = check_days(reverify_after_days)
        self.flush()
        keys = self._ledger.keys.batch(self.name)
        is_finished = self._ledger.run_script(
            "batch/finish_import",
            [keys.batch, keys.importer, self._ledger.keys.feeding, *keys.lists],
            [self.name, self._token, self._stored, int(paused), "" if days is None else days, *self._paid(payment)],
        )
        batch = batch_summary(self._ledger, self.name) if is_finished else None
        if batch is None:
            raise BatchBusy(self.name)
        return batch

    def _paid(self, payment: Payment) -> tuple[str | int, ...]:
        """Return who pays, the prices, the budget and the currency, as the script takes them."""
        if payment.payer or payment.prices is None:
            return payment.payer, "", "", ""
        budget = "" if payment.budget is None else millionths_of(payment.budget)
        return self.name, payment.prices.packed(), budget, payment.prices.currency

    def abandon(self) -> None:
        """Delete the batch with all of its rows."""
        _leave_import(self._ledger, self.name, self._token, delete=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error, let another import continue at once: it need not wait for the timeout."""
        if kind and not issubclass(kind, BatchBusy):
            _leave_import(self._ledger, self.name, self._token, delete=False)

    def _has_other_rows(self) -> BatchExists:
        return BatchExists(self.name, _other_rows(self.name, BatchState.IMPORTING))

    def _store_page(self) -> None:
        rejected = self._columns.rejected
        if not self._page_rows and not rejected:
            return
        keys = self._ledger.keys.batch(self.name)
        texts, calls = (self._page[channel] for channel in LISTS)
        pages, names = self._columns.take()
        is_stored = self._ledger.run_script(
            "batch/add_rows",
            [keys.batch, keys.importer, keys.countries, *keys.lists, keys.columns, *keys.pages],
            [
                *(self._token, ms(IMPORTER_TIMEOUT), self._stored, self._rejected, self._digest.hexdigest()),
                *(len(texts), rejected, *pages),
                *(len(names), *names),
                *(*texts, *calls),
            ],
        )
        if not is_stored:
            raise BatchBusy(self.name)
        self._stored += self._page_rows
        self._rejected += rejected
        self._page, self._page_rows = {channel: [] for channel in LISTS}, 0


def discard_import(ledger: Ledger, name: str) -> bool:
    """Delete a batch whose import was cut short; return False if its import was finished meanwhile.

    Raises `BatchBusy` while the import is alive.
    """
    keys = ledger.keys.batch(name)
    importer = ledger.run("get", keys.importer)
    if importer and not _is_dead(importer):
        raise BatchBusy(name)
    _leave_import(ledger, name, importer or "", delete=True)
    state = ledger.run("hget", keys.batch, "state")
    if state == BatchState.IMPORTING:
        raise BatchBusy(name)
    return state is None


def tally_of(outcomes: Iterable[Row | Reject], roster: Roster, importing: BatchImport | None = None) -> Tally:
    """Read a roster to its end, import its rows if there is an import, and return the counts.

    `outcomes` are the roster's, perhaps through an iterator that stops it. Raises `InvalidRoster` if no row is right.
    """
    tally = Tally()
    for outcome in outcomes:
        if isinstance(outcome, Row):
            tally.add(outcome)
            if importing:
                importing.add(outcome)
        elif importing:
            importing.add_rejected(outcome)
    tally.add_rejected(roster)
    if not roster.accepted:
        raise nothing_accepted(roster)
    return tally


def _leave_import(ledger: Ledger, name: str, token: str, *, delete: bool) -> None:
    keys = ledger.keys.batch(name)
    own = [keys.batch, keys.importer, ledger.keys.batches, *keys.content]
    ledger.run_script("batch/leave_import", own, [name, token, int(delete)])


_STATES: Final = {
    "importing": "its import was not finished",
    "completed": "it is completed",
    "cancelled": "it is cancelled",
}


def _same_rows(state: str) -> str:
    """Return what to do if a batch with the same rows exists."""
    stands = _STATES.get(state, "it is being sent")
    return f"the same rows were imported under this name, and {stands}; look at it with ringproof batch show"


def _other_rows(name: str, state: str) -> str:
    """Return what to do if a batch with other rows exists, or with rows that cannot be compared."""
    stands = _STATES.get(state, "it is being sent")
    remedy = "choose another name"
    if state == BatchState.IMPORTING:
        remedy += f", or delete the stored rows: ringproof batch cancel {shlex.quote(name)}"
    return f"a batch of this name has other rows, as far as Ringproof can see, and {stands}; {remedy}"


def _is_dead(token: str) -> bool:
    """Whether an importer was a process of this machine that no longer runs; of another machine's, nothing is known."""
    host, pid, _ = token.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False

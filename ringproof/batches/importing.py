"""Puts the rows of a roster into a batch, of which nothing is fed before the last is in.

An import that is cut short goes on where it was: the same rows are read anew, and as many are passed over as are in.
"""

import os
import secrets
import shlex
import socket
from datetime import timedelta
from hashlib import blake2b
from types import TracebackType
from typing import Final, Self

from ringproof.batches.model import Batch, BatchState, check_name, pack
from ringproof.batches.summary import read
from ringproof.errors import BatchBusy, BatchExists
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.request import check_days
from ringproof.ledger.row_outcomes import LISTS
from ringproof.rosters.row import Row

PAGE: Final = 1000
"""Rows put in by one script, in about 2 ms in which Redis does nothing else."""

SILENCE: Final = timedelta(seconds=10)
"""An importer that has not put in a page for so long may be dead, and another one may go on in its place."""

_STATES: Final = {
    "completed": "it is completed",
    "cancelled": "it is cancelled",
    "importing": "its import has not come to its end",
}


class Importing:
    """A batch that is being imported; left with an error, it can be gone on with."""

    def __init__(self, ledger: Ledger, name: str, token: str, already: int, digest: str) -> None:
        self.name = name
        self.already = already
        self._ledger, self._token, self._known = ledger, token, digest
        self._rows = already
        self._passed = 0
        self._digest = blake2b(digest_size=16)
        self._page: dict[str, list[str]] = {one: [] for one in LISTS}
        self._waiting = 0

    def add(self, row: Row) -> None:
        """Put a row in; or pass it over, if an earlier run did, as long as all that is in comes again.

        Raises `BatchExists` at the last of these if they are others, and `BatchBusy` if another import has taken over.
        """
        packed = self._hash(row)
        if self._passed < self.already:
            self._passed += 1
            if self._passed == self.already and self._digest.hexdigest() != self._known:
                raise self._others()
            return
        self._page[row.channel].append(packed)
        self._waiting += 1
        if self._waiting == PAGE:
            self._put()

    def flush(self) -> None:
        """Put in what is left of the last page. Raises `BatchExists` if fewer rows came than were in, and as `add`."""
        if self._passed < self.already:
            raise self._others()
        self._put()

    def finish(self, *, paused: bool = False, reverify_after_days: int | None = None) -> Batch:
        """Have the batch fed from now on, or paused.

        Its numbers are to be verified again after so many days, 0 for never; None: as all others. Raises as `flush`.
        """
        days = check_days(reverify_after_days)
        self.flush()
        keys = self._ledger.keys.batch(self.name)
        told = self._ledger.run_script(
            "batch/finish_import",
            [keys.batch, keys.importer, self._ledger.keys.feeding, *keys.lists],
            [self.name, self._token, self._rows, int(paused), "" if days is None else days],
        )
        batch = read(self._ledger, self.name) if told else None
        if batch is None:
            raise BatchBusy(self.name)
        return batch

    def abandon(self) -> None:
        """Leave nothing of it."""
        self._leave(stays=False)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let another import go on at once."""
        if kind and not issubclass(kind, BatchBusy):
            self._leave(stays=True)

    def _leave(self, *, stays: bool) -> None:
        _leave(self._ledger, self.name, self._token, stays=stays)

    def _others(self) -> BatchExists:
        return BatchExists(self.name, _other(self.name, "importing"))

    def _hash(self, row: Row) -> str:
        packed = pack(row.number.e164, row.number.country, row.alias, row.subaccount)
        self._digest.update(f"{row.channel} {packed}\n".encode())
        return packed

    def _put(self) -> None:
        if not self._waiting:
            return
        keys = self._ledger.keys.batch(self.name)
        first, second = (self._page[one] for one in LISTS)
        told = self._ledger.run_script(
            "batch/add_rows",
            [keys.batch, keys.importer, keys.countries, *keys.lists],
            [self._token, ms(SILENCE), self._rows, self._digest.hexdigest(), len(first), *first, *second],
        )
        if not told:
            raise BatchBusy(self.name)
        self._rows += self._waiting
        self._page, self._waiting = {one: [] for one in LISTS}, 0


def open_batch(ledger: Ledger, name: str, *, fingerprint: str | None, source: str = "") -> Importing:
    """Begin the import of a batch, or go on with one that was cut short; `fingerprint` tells its content.

    Raises `BatchExists` if there is one of this name that is imported, or of other content, and `BatchBusy` if
    another import of it is alive.
    """
    keys = ledger.keys.batch(check_name(name))
    here = f"{socket.gethostname()}:{os.getpid()}"
    token = f"{here}:{secrets.token_hex(8)}"
    dead = ""
    while True:
        what, told, more = ledger.run_script(
            "batch/open_import",
            [keys.batch, keys.importer, ledger.keys.batches, *keys.lists],
            [name, token, ms(SILENCE), dead, fingerprint or "", source],
        )
        if what == "opened":
            return Importing(ledger, name, token, int(told), more)
        if what == "exists":
            raise BatchExists(name, _same(told) if more else _other(name, told))
        if dead or not _is_dead(told):
            raise BatchBusy(name)
        dead = told


def discard(ledger: Ledger, name: str) -> bool:
    """Leave nothing of an import that was cut short; False if it came to its end. Raises `BatchBusy` if it goes on."""
    keys = ledger.keys.batch(name)
    holder = ledger.run("get", keys.importer)
    if holder and not _is_dead(holder):
        raise BatchBusy(name)
    _leave(ledger, name, holder or "", stays=False)
    state = ledger.run("hget", keys.batch, "state")
    if state == BatchState.IMPORTING:
        raise BatchBusy(name)
    return state is None


def _leave(ledger: Ledger, name: str, token: str, *, stays: bool) -> None:
    keys = ledger.keys.batch(name)
    own = [keys.batch, keys.importer, ledger.keys.batches, *keys.content]
    ledger.run_script("batch/leave_import", own, [name, token, int(not stays)])


def _same(state: str) -> str:
    told = _STATES.get(state, "it is being sent")
    return f"the same rows were imported under this name, and {told}; ringproof batch show tells of it"


def _other(name: str, state: str) -> str:
    remedy = "name another"
    if state == BatchState.IMPORTING:
        remedy += f", or take away what is in: ringproof batch cancel {shlex.quote(name)}"
    told = _STATES.get(state, "it is being sent")
    return f"a batch of this name has other rows, as far as is known, and {told}; {remedy}"


def _is_dead(token: str) -> bool:
    """Whether an importer was a process of this machine, and is no more."""
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

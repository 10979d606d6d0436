"""The audit trail: who did what to the sending and to the numbers, and when."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ringproof.clock import moment
from ringproof.ledger.ledger import Ledger
from ringproof.phone.masking import redact

MOST_ENTRIES: Final = 10_000
"""Entries that are kept: some years of an operator's commands, in about a megabyte."""

LONGEST: Final = 200
"""Characters of each text of an entry."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act: `actor="alice@ops1"`, `action="erase"`, `subject="+1•••••••23"`."""

    at: datetime
    actor: str
    action: str
    subject: str


def note(ledger: Ledger, actor: str, action: str, subject: str = "") -> None:
    """Add an entry, and drop the oldest ones beyond `MOST_ENTRIES`. Phone numbers in its texts are masked.

    Call it before the act itself: then no act is missing, even if the process is killed in between.

    Raises `LedgerUnavailable`; the act must not follow then.
    """
    entry = {name: _line(text) for name, text in (("actor", actor), ("action", action), ("subject", subject))}
    ledger.run("xadd", ledger.keys.audit, entry, maxlen=MOST_ENTRIES, approximate=False)


def entries(ledger: Ledger, most: int) -> Iterator[AuditEntry]:
    """Yield the newest `most` entries, oldest first."""
    for entry_id, entry in reversed(ledger.run("xrevrange", ledger.keys.audit, count=most)):
        yield AuditEntry(moment(int(entry_id.partition("-")[0])), entry["actor"], entry["action"], entry["subject"])


def _line(text: str) -> str:
    """Return a text as one line without phone numbers."""
    return redact(" ".join(text.split()))[:LONGEST]

"""How many codes were sent in the last minute, and what took the slots: the counts now, less those of a minute ago.

The sweep notes the counts every ten seconds. Without a sweep the last note is older, and more than a minute is shown.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ringproof.clock import epoch_ms
from ringproof.ledger.metrics import unpack
from ringproof.ledger.queues import claim_tick

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

EVERY: Final = timedelta(seconds=10)
NOTES: Final = 8
"""One more than there are in a minute, and one for a sweep that comes late."""

MINUTE_MS: Final = 55_000
"""A note of this age is compared with: the next one would be over a minute old."""


@dataclass(frozen=True, slots=True)
class LastMinute:
    """The codes by lane, and the slots by who got them, in the last `seconds`.

    `slots` has the lanes, `question` for what sends no code, and `again` for sends that had missed their slot.
    """

    seconds: float
    codes: Mapping[str, int]
    slots: Mapping[str, int]


def note_minute(ledger: "Ledger") -> None:
    """Note the counts, unless another sweep has noted them within ten seconds. Raises `LedgerUnavailable`."""
    claim = claim_tick(ledger, "minute", EVERY)
    if not claim:
        return
    totals = _totals(ledger.run("hgetall", ledger.keys.metrics))
    note = json.dumps({"at": epoch_ms(claim.at), **totals})
    ledger.run_all(("lpush", ledger.keys.minute, note), ("ltrim", ledger.keys.minute, 0, NOTES - 1))


def last_minute(now: datetime, metrics: Mapping[str, str], notes: Sequence[str]) -> LastMinute | None:
    """Return what has happened since the note of a minute ago, or since the oldest one. None if there is no note."""
    read = sorted(filter(None, map(_read, notes)), key=lambda note: -note["at"])
    before = next((note for note in read if epoch_ms(now) - note["at"] >= MINUTE_MS), read[-1] if read else None)
    if before is None:
        return None
    since = {name: max(count - before.get(name, 0), 0) for name, count in _totals(metrics).items()}

    def of(kind: str) -> dict[str, int]:
        return {name.partition(" ")[2]: count for name, count in since.items() if name.startswith(f"{kind} ")}

    return LastMinute(max(epoch_ms(now) - before["at"], 1) / 1000, of("code"), of("slot"))


def _totals(metrics: Mapping[str, str]) -> Counter[str]:
    """Add the counts up: `{"code bulk": 1204, "slot bulk": 1210, "slot question": 3}`."""
    totals: Counter[str] = Counter()
    for one in unpack(metrics):
        if one.name == "outcome" and one.labels[:1] == ("code_sent",):
            totals[f"code {one.labels[-1]}"] += one.count
        elif one.name == "slot" and one.labels:
            totals[f"slot {one.labels[0]}"] += one.count
    return totals


def _read(note: str) -> dict[str, int] | None:
    try:
        counts = json.loads(note)
    except ValueError:
        return None
    is_note = isinstance(counts, dict) and "at" in counts and all(type(count) is int for count in counts.values())
    return counts if is_note else None

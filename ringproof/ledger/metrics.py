"""The counts of the metrics in Redis: those of the scripts, and those that processes add.

Redis counts, and not a process: so a restart loses no count, and no count falls. A field of the hash is a name, a
country (`-` for none) and other labels: `outcome US code_sent - sms bulk`, `slot - interactive sms`.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ringproof.ledger.durations import ms

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

_FIELD: Final = re.compile(r"([a-z_]{1,32}) (-|other|[A-Z]{2})((?: [\w.+-]{1,32}){0,4})", re.ASCII)
_INFINITE: Final = "inf"


@dataclass(frozen=True, slots=True)
class Count:
    """How often something has happened: `Count("outcome", "US", ("code_sent", "-", "sms", "bulk"), 17)`."""

    name: str
    country: str  # "-": none
    labels: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations by their length. `bounds` (s) are the longest durations of all buckets but the last one.

    >>> dict(Histogram("http", (0.1, 1.0)).fields(("send", "taken"), 0.25))
    {'http - send taken 1.0': 1, 'http_ms - send taken': 250}
    """

    name: str
    bounds: tuple[float, ...]

    def fields(self, labels: Sequence[str], seconds: float) -> Iterator[tuple[str, int]]:
        """Yield what one duration adds to the counts: to its bucket, and to the sum in ms."""
        nth, of = bisect_left(self.bounds, seconds), " ".join(labels)
        bucket = self.bounds[nth] if nth < len(self.bounds) else _INFINITE
        yield f"{self.name} - {of} {bucket}", 1
        yield f"{self.name}_ms - {of}", round(seconds * 1000)

    def of(self, counts: Sequence[Count]) -> dict[tuple[str, ...], tuple[list[tuple[str, float]], float]]:
        """Return by labels the buckets, each with how many durations are not longer than its bound, and the sum (s)."""
        names = [*map(str, self.bounds), _INFINITE]
        buckets = {(*one.labels,): one.count for one in counts if one.name == self.name}
        sums = {one.labels: one.count / 1000 for one in counts if one.name == f"{self.name}_ms"}
        found = {}
        for labels in sorted({key[:-1] for key in buckets if key and key[-1] in names}):
            total, cumulated = 0, []
            for name in names:
                total += buckets.get((*labels, name), 0)
                cumulated.append(("+Inf" if name == _INFINITE else name, float(total)))
            found[labels] = (cumulated, sums.get(labels, 0.0))
        return found


HTTP: Final = Histogram("http", (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))
"""Plivo's answers: by what was asked (`send` or `question`) and the result. The client waits for 10 s at most."""

SLOT_WAIT: Final = Histogram("slot_wait", (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0))
"""From when a request was accepted until its slot, by lane. A person's request ends after 900 s."""


def unpack(fields: Mapping[str, str]) -> list[Count]:
    """Return the counts of the hash. What is no count, because somebody else has written it, is left out.

    >>> unpack({"accepted US sms bulk": "3", "junk": "x"})
    [Count(name='accepted', country='US', labels=('sms', 'bulk'), count=3)]
    """
    counts = []
    for field, value in fields.items():
        match = _FIELD.fullmatch(field)
        if match and re.fullmatch(r"\d{1,18}", value, re.ASCII):
            counts.append(Count(match[1], match[2], tuple(match[3].split()), int(value)))
    return counts


def read_counts(ledger: "Ledger") -> list[Count]:
    """Return all counts. Raises `LedgerUnavailable`."""
    return unpack(ledger.run("hgetall", ledger.keys.metrics))


def add_counts(ledger: "Ledger", fields: Counter[str], token: str) -> bool:
    """Add to the counts, once for each token. Returns False if they were added before. Raises `LedgerUnavailable`."""
    args = [ms(ledger.durations.token), *(part for pair in fields.items() for part in pair)]
    return bool(ledger.run_script("metrics/add", [ledger.keys.token(token)], args))

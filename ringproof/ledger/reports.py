"""Reports: what processes say of themselves in Redis, each under its name in a hash, as JSON with the time of Redis.

A process of another version, or anyone else with a client of Redis, may have written them. So a reader takes what it
knows, bounded and printable, and leaves out the rest.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from ringproof.clock import moment
from ringproof.ledger.durations import ms
from ringproof.printable import printable

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""How long a process that was killed is remembered: an operator may look for it."""

LONGEST_TEXT: Final = 200
MOST_TEXTS: Final = 50
MOST_NUMBERS: Final = 1000
MOST_REPORTS: Final = 10_000
LARGEST_NUMBER: Final = 10**15
"""More than any process writes. A reader cuts or leaves out what is beyond, which would fill a terminal or a chart."""

LATEST_MS: Final = 4_000_000_000_000
"""A moment in the year 2096: what is later is no time of Redis."""


class Report:
    """One report. A reader takes from it what it knows. A field that is missing, or of another kind, is None."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    @classmethod
    def read(cls, written: str) -> Self:
        """Read what a process has written; what is no JSON object has no fields."""
        try:
            fields = json.loads(written)
        except (ValueError, RecursionError):
            fields = {}
        return cls(fields if isinstance(fields, dict) else {})

    def text(self, name: str) -> str | None:
        """Return a text, printable and cut."""
        value = self._fields.get(name)
        return _clean(value) if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; empty if it is none."""
        values = self._fields.get(name)
        some = values[:MOST_TEXTS] if isinstance(values, list) else []
        return tuple(_clean(value) for value in some if isinstance(value, str))

    def number(self, name: str) -> float | None:
        """Return a number that is not negative."""
        return _number(self._fields.get(name))

    def count(self, name: str) -> int | None:
        """Return a whole number that is not negative."""
        value = self.number(name)
        return None if value is None else int(value)

    def counts(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers that are not negative; empty if it is none."""
        values = self._fields.get(name)
        some = values[:MOST_NUMBERS] if isinstance(values, list) else []
        return tuple(int(value) for value in map(_number, some) if value is not None)

    def moment(self, name: str) -> datetime | None:
        """Return a moment that was written in ms since 1970."""
        value = self.number(name)
        return moment(int(value)) if value is not None and value <= LATEST_MS else None


def read_reports(written: Mapping[str, str]) -> Iterator[tuple[str, datetime, Report]]:
    """Yield the name, the moment and the content of each report of a hash, by name; leave out what has no moment."""
    for name in sorted(written)[:MOST_REPORTS]:
        report = Report.read(written[name])
        at = report.moment("at")
        if at:
            yield _clean(name), at, report


def write_report(
    ledger: "Ledger",
    keys: list[str],
    name: str,
    facts: Mapping[str, Any],
    ago: Mapping[str, timedelta] | None = None,
    *,
    forgotten_after: timedelta = FORGOTTEN_AFTER,
) -> None:
    """Write what a process says of itself, in one command. Raises `LedgerUnavailable`.

    `ago` has the moments that it names. They are written by the clock of Redis: the process's own may be another one.

        write_report(ledger, [ledger.keys.heartbeats], "bulk@vm", {"pid": 12}, {"started": timedelta(minutes=5)})
        # bulk@vm -> {"at": 1764374400000, "started": 1764374100000, "pid": 12}
    """
    moments = [part for moment_name, since in (ago or {}).items() for part in (moment_name, max(ms(since), 0))]
    ledger.run_script("write_report", keys, [name, json.dumps(facts), ms(forgotten_after), *moments])


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if 0 <= value <= LARGEST_NUMBER else None


def _clean(text: str) -> str:
    return printable(text[:LONGEST_TEXT])

"""The counts of batches as bars: how far their rows have come, and why rows have failed, by reason and by country."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ringproof.batches.model import Batch
from ringproof.ledger.record import State
from ringproof.ledger.row_outcomes import PENDING

SENT: Final = (State.CODE_SENT, State.VERIFIED, State.EXPIRED)
"""The states of a row whose code was sent. A number that was verified before counts as one."""

NO_CODE: Final = ("capped", "country", "cancelled")
"""Outcomes without a code that are no failures of a request: the row got none, or it was taken back."""

MOST_COUNTRIES: Final = 12
"""Countries with a line of their own; the others are one line."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A count with its name, and its share of the whole from 0 to 1. `kind` gives the colour, and `note` says more."""

    name: str
    count: int
    share: float
    kind: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class CountryRow:
    """The rows of a country: `name` is `US`, or `7 others`."""

    name: str
    rows: int
    sent: int
    verified: int
    failed: int


def funnel(batches: Iterable[Batch]) -> list[Bar]:
    """Return how many rows have come how far: all, those with a code sent, and those with the code entered."""
    counts = _outcomes(batches)
    rows = counts.total()
    sent = sum(counts[state] for state in SENT)
    waiting = sum(count for outcome, count in counts.items() if outcome.partition(":")[0] in {"queued", "waiting"})
    verified, pending = counts[State.VERIFIED], counts[PENDING]
    parts = [f"{waiting:,} queued or waiting" if waiting else "", f"{pending:,} not fed yet" if pending else ""]
    return [
        Bar("Rows", rows, 1.0 if rows else 0.0, "rows", ", ".join(filter(None, parts))),
        Bar("Code sent", sent, sent / max(1, rows), "sent"),
        Bar("Verified", verified, verified / max(1, rows), "verified"),
    ]


def failures(batches: Iterable[Batch]) -> list[Bar]:
    """Return the outcomes without a code, by reason, the most frequent first. Each bar's name is the outcome."""
    counts = Counter(
        {
            outcome: count
            for outcome, count in _outcomes(batches).items()
            if outcome.partition(":")[0] in {State.FAILED, *NO_CODE}
        }
    )
    most = max(counts.values(), default=1)
    return [Bar(outcome, count, count / most, "failed") for outcome, count in counts.most_common()]


def outcomes(batch: Batch) -> list[Bar]:
    """Return all outcomes of a batch, the most frequent first, as shares of its rows."""
    by_count = sorted(batch.outcomes.items(), key=lambda pair: -pair[1])
    return [Bar(outcome, count, count / max(1, batch.rows), kind_of(outcome)) for outcome, count in by_count]


def countries(batches: Iterable[Batch]) -> list[CountryRow]:
    """Return the countries with the most rows first, and the rest in one line."""
    summed: dict[str, Counter[str]] = {}
    for batch in batches:
        for country, counts in batch.countries.items():
            summed.setdefault(country, Counter()).update(counts)
    ranked = sorted(summed.items(), key=lambda pair: -pair[1]["rows"])
    shown = list(ranked[:MOST_COUNTRIES])
    if rest := ranked[MOST_COUNTRIES:]:
        together: Counter[str] = Counter()
        for _, counts in rest:
            together.update(counts)
        shown.append((f"{len(rest)} others", together))
    return list(_country_rows(shown))


def _country_rows(counted: Iterable[tuple[str, Mapping[str, int]]]) -> Iterator[CountryRow]:
    for name, counts in counted:
        sent = sum(counts.get(state, 0) for state in SENT)
        failed = sum(counts.get(outcome, 0) for outcome in (State.FAILED, *NO_CODE))
        yield CountryRow(name or "no country", counts.get("rows", 0), sent, counts.get(State.VERIFIED, 0), failed)


def kind_of(outcome: str) -> str:
    """Return the kind of an outcome, which gives its colour: `verified`, `sent`, `failed`, `doubt` or `rows`."""
    match outcome.partition(":")[0]:
        case State.VERIFIED:
            return "verified"
        case State.CODE_SENT:
            return "sent"
        case State.IN_DOUBT:
            return "doubt"
        case State.FAILED | State.CANCELLED | "capped" | "country":
            return "failed"
        case _:
            return "rows"


def _outcomes(batches: Iterable[Batch]) -> Counter[str]:
    together: Counter[str] = Counter()
    for batch in batches:
        together.update(batch.outcomes)
    return together

"""What an import would do, before it does: how many texts and calls, who gets none, and how long it takes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from ringproof.ledger.acceptance import COLUMNS, Disposition, Requester
from ringproof.ledger.control import SendingStatus, sending_status
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.phone.quiet_hours import QuietHours
from ringproof.policy import Rate
from ringproof.rosters.row import Row
from ringproof.rosters.sample import NumberSample, SampledNumber

PAGE: Final = 500
"""How many numbers the ledger decides about in one round trip."""


@dataclass
class Tally:
    """Counts the rows of all files; memory does not grow with them."""

    channels: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sample: NumberSample = field(default_factory=NumberSample)

    def add(self, row: Row) -> None:
        """Count an accepted row."""
        self.channels[row.channel] += 1
        self.sample.add(row)

    @property
    def rows(self) -> int:
        """How many rows were accepted and rejected."""
        return self.channels.total() + self.reasons.total()

    @property
    def rejected_share(self) -> float:
        """Which part of them was rejected."""
        return self.reasons.total() / max(1, self.rows)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected; estimated, where `exact` is False, from a sample of the numbers.

    `again`: rows that have a number that another one has. `idle`: numbers that get nothing, by why. `asleep`: numbers
    whose night it is now. Without Redis `situation` is None, and nobody is known to get nothing.
    """

    texts: int
    calls: int
    again: int
    idle: Mapping[Disposition, int]
    asleep: int
    quiet_hours: str
    situation: SendingStatus | None
    exact: bool

    @property
    def lasts(self) -> timedelta | None:
        """How long it takes at the present pace, if nothing else is sent."""
        if self.situation is None:
            return None
        account = (self.texts + self.calls) * Rate.parse(self.situation.rate).spacing_us
        calls = self.calls * Rate.parse(self.situation.call_rate).spacing_us
        return timedelta(microseconds=max(account, calls) / self.situation.share)


def forecast(tally: Tally, ledger: Ledger | None) -> Forecast:
    """Ask the ledger, which is only read, about all numbers, or if they are many about 2,000 of them."""
    sampled = tally.sample.numbers
    rows = tally.channels.total()
    each = rows / max(1, sum(one.rows for one in sampled))  # how many numbers one of the sample stands for
    policy = ledger.policy.mapping() | ledger.run("hgetall", ledger.keys.policy) if ledger else {}
    dispositions = list(_dispositions(sampled, ledger)) if ledger else [Disposition.ACCEPTED] * len(sampled)
    taken = [one for one, disposition in zip(sampled, dispositions, strict=True) if disposition is Disposition.ACCEPTED]
    idle = Counter(disposition for disposition in dispositions if disposition is not Disposition.ACCEPTED)
    quiet_hours = str(policy.get("quiet_hours", ""))
    return Forecast(
        texts=_of_channel("sms", tally, sampled, taken),
        calls=_of_channel("call", tally, sampled, taken),
        again=round(rows - len(sampled) * each),
        idle={disposition: round(count * each) for disposition, count in idle.items()},
        asleep=round(_asleep(taken, quiet_hours, ledger.now() if ledger else datetime.now(UTC)) * each),
        quiet_hours=quiet_hours,
        situation=sending_status(ledger) if ledger else None,
        exact=tally.sample.is_exact,
    )


def _dispositions(sampled: Sequence[SampledNumber], ledger: Ledger) -> Iterator[Disposition]:
    """Yield what the ledger would decide about each number if its row were fed now. Nothing is written."""
    for start in range(0, len(sampled), PAGE):
        page = sampled[start : start + PAGE]
        rows = [{"number": one.number, "channel": one.channel, "country": one.country} for one in page]
        dispositions = ledger.run_script(
            "batch/forecast",
            [ledger.keys.record(one.number) for one in page],
            [COLUMNS[Requester.ROSTER], ms(ledger.durations.request(Lane.BULK)), json.dumps(rows)],
        )
        yield from map(Disposition, dispositions)


def _of_channel(channel: str, tally: Tally, sampled: Sequence[SampledNumber], taken: Sequence[SampledNumber]) -> int:
    """Return how many codes go this way: as many of its rows as of those in the sample."""
    rows = sum(one.rows for one in sampled if one.channel == channel)
    codes = sum(one.channel == channel for one in taken)
    return round(tally.channels[channel] * codes / rows) if rows else tally.channels[channel]


def _asleep(taken: Sequence[SampledNumber], quiet_hours: str, now: datetime) -> int:
    if not quiet_hours:
        return 0
    quiet = QuietHours.parse(quiet_hours)
    return sum(quiet.until(one.number, now) is not None for one in taken)

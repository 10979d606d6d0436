"""Forecast an import: how many texts and calls it would send, which numbers get no code, and how long it takes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from ringproof.ledger.acceptance import COLUMNS, Disposition, RequestKind
from ringproof.ledger.control import SendingStatus, sending_status
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.ledger.row_outcomes import LISTS
from ringproof.phone.number import is_personal
from ringproof.phone.quiet_hours import QuietHours
from ringproof.policy import Rate
from ringproof.rosters.roster import Roster
from ringproof.rosters.row import Row
from ringproof.rosters.sample import NumberSample, SampledNumber

PAGE: Final = 500
"""How many numbers the ledger decides about in one round trip."""


USUAL_NIGHT: Final = "21:00-08:00"
"""The night of a forecast if no quiet hours are set: then an operator may learn that a batch would wake people."""


@dataclass
class Tally:
    """Counts the rows of all files. Memory does not grow with them.

    `lost_plus` counts rejected rows that look like international numbers whose `+` was lost.
    """

    channels: Counter[str] = field(default_factory=Counter)
    countries: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lost_plus: int = 0
    sample: NumberSample = field(default_factory=NumberSample)
    cleaned_aliases: int = 0

    def add(self, row: Row) -> None:
        """Count an accepted row."""
        self.channels[row.channel] += 1
        self.countries[row.number.country] += 1
        self.sample.add(row)

    def add_rejected(self, roster: Roster) -> None:
        """Add what a roster that was read to its end has counted: its rejected rows and its cleaned aliases."""
        self.reasons.update(roster.reasons)
        self.cleaned_aliases += roster.cleaned_aliases
        self.lost_plus += roster.lost_plus

    @property
    def rows(self) -> int:
        """How many rows were accepted or rejected."""
        return self.channels.total() + self.reasons.total()

    @property
    def rejected_share(self) -> float:
        """The share of the rows with a number that were rejected, from 0 to 1."""
        return self.rejected / max(1, self.rows - self.reasons["empty"])

    @property
    def rejected(self) -> int:
        """How many rows were rejected although they have a number."""
        return self.reasons.total() - self.reasons["empty"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an import would send. It is estimated from a sample of the numbers unless `is_exact`.

        Forecast(texts=161, calls=9, duplicates=6, skipped={Disposition.VERIFIED: 3}, asleep=0, …)

    `duplicates`: rows whose number occurs earlier. `skipped`: numbers that get no code, by the reason. `codes`: texts
    and calls by country and channel. `asleep`: numbers that have night now. They wait if `quiet_hours` is set; if not,
    `night` is `USUAL_NIGHT`. Without Redis `status` is None, and no number is skipped.
    """

    texts: int
    calls: int
    duplicates: int
    skipped: Mapping[Disposition, int]
    asleep: int
    quiet_hours: str
    night: str
    status: SendingStatus | None
    is_exact: bool
    codes: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def duration(self) -> timedelta | None:
        """How long it takes at the present pace, if nothing else is sent; None without Redis."""
        if self.status is None:
            return None
        account = (self.texts + self.calls) * Rate.parse(self.status.rate).spacing_us
        calls = self.calls * Rate.parse(self.status.call_rate).spacing_us
        return timedelta(microseconds=max(account, calls) / self.status.share)


def forecast(tally: Tally, ledger: Ledger | None) -> Forecast:
    """Ask the ledger about all numbers, or about a sample of 2,000 if there are more. Nothing is written.

    Raises `LedgerUnavailable`.
    """
    sampled = tally.sample.numbers
    rows = tally.channels.total()
    weight = rows / max(1, sum(number.rows for number in sampled))  # how many numbers a sampled one stands for
    policy = ledger.policy.mapping() | ledger.run("hgetall", ledger.keys.policy) if ledger else {}
    dispositions = list(_dispositions(sampled, ledger)) if ledger else [Disposition.ACCEPTED] * len(sampled)
    decided = list(zip(sampled, dispositions, strict=True))
    accepted = [number for number, disposition in decided if disposition is Disposition.ACCEPTED]
    skipped = Counter(disposition for disposition in dispositions if disposition is not Disposition.ACCEPTED)
    quiet_hours = str(policy.get("quiet_hours", ""))
    night = quiet_hours or USUAL_NIGHT
    now = ledger.now() if ledger else datetime.now(UTC)
    texts, calls = (_codes(channel, tally, sampled, accepted) for channel in LISTS)
    return Forecast(
        texts=texts,
        calls=calls,
        codes=_by_country("sms", texts, accepted) | _by_country("call", calls, accepted),
        duplicates=round(rows - len(sampled) * weight),
        skipped={disposition: round(count * weight) for disposition, count in skipped.items()},
        asleep=round(_count_asleep(accepted, night, now) * weight),
        quiet_hours=quiet_hours,
        night=night,
        status=sending_status(ledger) if ledger else None,
        is_exact=tally.sample.is_exact,
    )


def _dispositions(sampled: Sequence[SampledNumber], ledger: Ledger) -> Iterator[Disposition]:
    """Yield what the ledger would decide about each number if its row were fed now. Nothing is written."""
    for start in range(0, len(sampled), PAGE):
        page = sampled[start : start + PAGE]
        rows = [
            {
                "number": number.number,
                "channel": number.channel,
                "country": number.country,
                "is_personal": is_personal(number.number),
            }
            for number in page
        ]
        dispositions = ledger.run_script(
            "batch/forecast",
            [ledger.keys.record(number.number) for number in page],
            [COLUMNS[RequestKind.ROSTER], ms(ledger.durations.request(Lane.BULK)), json.dumps(rows)],
        )
        yield from map(Disposition, dispositions)


def _codes(channel: str, tally: Tally, sampled: Sequence[SampledNumber], accepted: Sequence[SampledNumber]) -> int:
    """Return how many codes a channel sends: the same share of its rows as in the sample."""
    rows = sum(number.rows for number in sampled if number.channel == channel)
    codes = sum(number.channel == channel for number in accepted)
    return round(tally.channels[channel] * codes / rows) if rows else tally.channels[channel]


def _by_country(channel: str, codes: int, accepted: Sequence[SampledNumber]) -> dict[tuple[str, str], int]:
    """Return the codes of a channel by country: the same shares as in the sample. A rounding may change their sum."""
    counts = Counter(number.country for number in accepted if number.channel == channel)
    return {(country, channel): round(codes * count / counts.total()) for country, count in counts.items()}


def _count_asleep(accepted: Sequence[SampledNumber], night: str, now: datetime) -> int:
    quiet = QuietHours.parse(night)
    return sum(quiet.until(number.number, now) is not None for number in accepted)

"""Quiet hours: when bulk and schedule send no code, by the clock where the number is.

They do not apply to persons who ask for a code themselves: these are awake.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phonenumbers import PhoneNumberType, is_number_type_geographical

from ringproof.phone import notations
from ringproof.phone.number_plan import NumberKind, find_plan

SPREAD: Final = timedelta(hours=1)
"""How long after the morning numbers are spread: at Plivo's 300/5s an hour is enough for 216,000 codes."""

AHEAD: Final = timedelta(days=2)
"""How far ahead to look for daytime. Two days are enough: only a clock change makes days differ."""

_MINUTE = timedelta(minutes=1)
_WINDOW = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)

_PLACED = {
    NumberKind.LANDLINE: PhoneNumberType.FIXED_LINE,
    NumberKind.EITHER: PhoneNumberType.FIXED_LINE_OR_MOBILE,
    NumberKind.MOBILE: PhoneNumberType.MOBILE,
}
"""The kinds of numbers that may have a place on the map, as phonenumbers names them."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The time of each day from `begins` until just before `ends`, by the local clock; usually over midnight.

    >>> time(23, 30) in QuietHours.parse("21:00-08:00")
    True
    """

    begins: time
    ends: time

    def __post_init__(self) -> None:
        """Raise ValueError for an empty window, and for one with seconds, which `str` could not write."""
        bounds = (self.begins, self.ends)
        if self.begins == self.ends or any(bound != time(bound.hour, bound.minute) for bound in bounds):
            raise ValueError(notations.QUIET_HOURS)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read quiet hours such as `21:00-08:00`. Raises ValueError for any other text, and for equal times."""
        match = _WINDOW.fullmatch(text.strip())
        if match is None:
            raise ValueError(notations.QUIET_HOURS)
        return cls(*map(time.fromisoformat, match.groups()))

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M}"

    def __contains__(self, wall: time) -> bool:
        if self.begins < self.ends:
            return self.begins <= wall < self.ends
        return wall >= self.begins or wall < self.ends

    def until(self, e164: str, now: datetime) -> datetime | None:
        """Return the moment (UTC) at which a number may get its code, or None if it is daytime now.

        Daytime means day in all time zones that the number may be in. If that never happens within `AHEAD`, it means
        day in most of them: otherwise such a number would never get its code. Numbers are spread by their hash over the
        first hour of the day (`SPREAD`), or over the day if it is shorter. `now` is Redis' time. It takes 8 µs, and
        once a minute 0.1 ms for each zone of a combination.

        Raises ValueError if `now` has no time zone.
        """
        if now.tzinfo is None:
            raise ValueError("now has no time zone")
        day = _next_day(self, zones_of(e164), int(now.timestamp()) // 60)
        if day is None:
            return None
        place = int.from_bytes(blake2b(e164.encode(), digest_size=8).digest())
        spread_ms = min(len(day) * _MINUTE, SPREAD) // timedelta(milliseconds=1)
        return datetime.fromtimestamp(day.start * 60, UTC) + timedelta(milliseconds=spread_ms * place >> 64)


def zones_of(e164: str) -> tuple[str, ...]:
    """Return the names of the time zones that a number may be in.

    They are those of phonenumbers' `time_zones_for_number`, which takes ten times as long. If the number has a place on
    the map, they are the zones of its longest known prefix. Otherwise they are those of its calling code, such as 16
    for a mobile of Russia and 42 for a toll-free number of North America. If phonenumbers knows none, as for +800, the
    zone is UTC. One thing differs: a mobile of an island of +1 has the island's zone, not all zones of +1. It takes
    4 µs.

    >>> zones_of("+493012345678")
    ('Europe/Berlin',)
    """
    digits = e164.removeprefix("+")
    length_and_plan = find_plan(digits[:3])
    if length_and_plan is None:
        return ("UTC",)
    length, plan = length_and_plan
    code = digits[:length]
    zones = _zones_by_prefix()
    _, kind = plan.classify(digits[length:])
    if kind in _PLACED and (code == "1" or is_number_type_geographical(_PLACED[kind], int(code))):
        for end in range(len(digits), length, -1):
            if zones_of_prefix := zones.get(digits[:end]):
                return zones_of_prefix
    return zones.get(code, ("UTC",))


@cache
def _zones_by_prefix() -> Mapping[str, tuple[str, ...]]:
    from phonenumbers.tzdata import TIMEZONE_DATA  # noqa: PLC0415  # a producer does not need this memory

    return TIMEZONE_DATA


@lru_cache(maxsize=1024)  # the world has 315 combinations of zones
def _next_day(quiet: QuietHours, zones: tuple[str, ...], now: int) -> range | None:
    """Return the minutes since 1970 of the next daytime, by all zones or by most; None if it is daytime now."""
    steps = Counter({now: 0})
    for zone in zones:
        for minute, step in _steps(quiet, _zone(zone), now):
            steps[minute] += step
    awake, counts = 0, []
    for minute in sorted(steps):
        awake += steps[minute]
        counts.append((minute, awake))
    most = max(count for minute, count in counts if minute < now + AHEAD // _MINUTE)
    begins = next(minute for minute, count in counts if count == most)
    if begins == now:
        return None
    return range(begins, next(minute for minute, count in counts if minute > begins and count < most))


def _steps(quiet: QuietHours, zone: tzinfo, now: int) -> Iterator[tuple[int, int]]:
    """Yield the minutes at which a zone's day begins (1) and ends (-1), from now until a day after `AHEAD`."""
    changes = {now}
    today = datetime.fromtimestamp(now * 60, zone).date()
    for days in range(-1, AHEAD.days + 3):  # from yesterday on: a clock that is put back can make it return
        for bound in (quiet.begins, quiet.ends):
            wall = datetime.combine(today + timedelta(days), bound, zone)
            first, second = sorted(int(wall.replace(fold=fold).timestamp()) // 60 for fold in (0, 1))
            changes |= {first, second}
            if first != second:  # this time comes twice or never, because of a clock change
                changes.add(_clock_change(zone, first, second))
    was_day = False
    for minute in sorted(minute for minute in changes if minute >= now):
        is_day = datetime.fromtimestamp(minute * 60, zone).time() not in quiet
        if is_day != was_day:
            yield minute, 1 if is_day else -1
        was_day = is_day


def _clock_change(zone: tzinfo, first: int, last: int) -> int:
    """Return the minute between these two at which a zone's offset changes."""
    before = datetime.fromtimestamp(first * 60, zone).utcoffset()
    return first + bisect_left(
        range(first, last),
        True,  # noqa: FBT003  # what the key returns
        key=lambda minute: datetime.fromtimestamp(minute * 60, zone).utcoffset() != before,
    )


@cache
def _zone(name: str) -> tzinfo:
    """Return a zone, or UTC if the machine's tzdata is too old to know it. zoneinfo itself caches only eight."""
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return UTC

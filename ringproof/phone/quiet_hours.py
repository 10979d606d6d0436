"""Quiet hours: when a code of bulk or schedule would wake somebody, by the clock where the number is.

A person who asks for a code is awake; nothing here concerns them.
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

from ringproof.phone.number_plan import Kind, split

SPREAD: Final = timedelta(hours=1)
"""How long after the morning numbers are spread. At Plivo's 300/5s an hour takes 216,000, and it is still morning."""

AHEAD: Final = timedelta(days=2)
"""How far ahead a day is looked for. They are alike but where the clocks are changed: two tell whether there is one."""

NOTATION: Final = "write quiet hours as two different times of day, such as 21:00-08:00"

_MINUTE = timedelta(minutes=1)
_WINDOW = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)

_PLACED = {
    Kind.LANDLINE: PhoneNumberType.FIXED_LINE,
    Kind.EITHER: PhoneNumberType.FIXED_LINE_OR_MOBILE,
    Kind.MOBILE: PhoneNumberType.MOBILE,
}
"""What may have a place on the map, in phonenumbers' words."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Each day from `begins` until just before `ends`, by the local clock; usually over midnight."""

    begins: time
    ends: time

    def __post_init__(self) -> None:
        """Refuse what is empty, and what `str` could not write."""
        bounds = (self.begins, self.ends)
        if self.begins == self.ends or any(bound != time(bound.hour, bound.minute) for bound in bounds):
            raise ValueError(NOTATION)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `21:00-08:00`. Raises ValueError for any other notation, no such time, and two equal ones."""
        match = _WINDOW.fullmatch(text.strip())
        if match is None:
            raise ValueError(NOTATION)
        return cls(*map(time.fromisoformat, match.groups()))

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M}"

    def __contains__(self, wall: time) -> bool:
        if self.begins < self.ends:
            return self.begins <= wall < self.ends
        return wall >= self.begins or wall < self.ends

    def until(self, e164: str, now: datetime) -> datetime | None:
        """Return the moment, in UTC, before which nothing should be sent to a number, or None where it is day now.

        It is day when it is in every zone that the number may be in, or, if there is no such moment within `AHEAD`,
        in the most of them: otherwise such a number would never get its code. From its beginning on numbers are spread,
        each always to the same place: over `SPREAD`, or over the day where that is shorter. `now` is Redis' time;
        raises ValueError if it is naive. Takes 8 µs, and once a minute 0.1 ms for each zone of a combination.
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

    They are those of phonenumbers' `time_zones_for_number`, which takes ten times as long: of the longest known prefix
    where the number has a place on the map, and otherwise of its calling code, as for a mobile of Russia (16 zones) or
    a toll-free number of North America (42). Where phonenumbers knows none, as for +800, it is UTC. One thing is
    different: a mobile of an island of +1 is on that island, and not awake only when Guam and Alaska are. Takes 4 µs.
    """
    digits = e164.removeprefix("+")
    found = split(digits[:3])
    if found is None:
        return ("UTC",)
    length, plan = found
    code = digits[:length]
    zones = _zones_by_prefix()
    _, kind = plan.judge(digits[length:])
    if kind in _PLACED and (code == "1" or is_number_type_geographical(_PLACED[kind], int(code))):
        for end in range(len(digits), length, -1):
            if known := zones.get(digits[:end]):
                return known
    return zones.get(code, ("UTC",))


@cache
def _zones_by_prefix() -> Mapping[str, tuple[str, ...]]:
    from phonenumbers.tzdata import TIMEZONE_DATA  # noqa: PLC0415  # memory that a producer has no use for

    return TIMEZONE_DATA


@lru_cache(maxsize=1024)  # the world has 315 combinations of zones
def _next_day(quiet: QuietHours, zones: tuple[str, ...], now: int) -> range | None:
    """Return the next day's minutes since 1970, by all zones or by the most, or None if that day is now."""
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
    """Tell at which minutes a zone's day begins (1) and ends (-1), from now on and for a day longer than `AHEAD`."""
    changes = {now}
    today = datetime.fromtimestamp(now * 60, zone).date()
    for days in range(-1, AHEAD.days + 3):  # yesterday, too: clocks that are put back can make it return
        for bound in (quiet.begins, quiet.ends):
            wall = datetime.combine(today + timedelta(days), bound, zone)
            first, second = sorted(int(wall.replace(fold=fold).timestamp()) // 60 for fold in (0, 1))
            changes |= {first, second}
            if first != second:  # it comes twice or never, because the clocks are changed in between
                changes.add(_clock_change(zone, first, second))
    was_day = False
    for minute in sorted(minute for minute in changes if minute >= now):
        is_day = datetime.fromtimestamp(minute * 60, zone).time() not in quiet
        if is_day != was_day:
            yield minute, 1 if is_day else -1
        was_day = is_day


def _clock_change(zone: tzinfo, first: int, last: int) -> int:
    """Return the minute at which a zone's offset becomes another, of which there is one between these."""
    before = datetime.fromtimestamp(first * 60, zone).utcoffset()
    return first + bisect_left(
        range(first, last),
        True,  # noqa: FBT003  # what the key returns
        key=lambda minute: datetime.fromtimestamp(minute * 60, zone).utcoffset() != before,
    )


@cache
def _zone(name: str) -> tzinfo:
    """Return a zone; zoneinfo itself keeps eight. One that the machine's tzdata is too old to know counts as UTC."""
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return UTC

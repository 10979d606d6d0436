"""Times, durations and counts as a person reads them, and lines of JSON as a script does."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ringproof.clock import iso
from ringproof.printable import escaped


def clock(when: datetime | None) -> str:
    """Return the time of day in this machine's zone, with the date if it is another day's.

    `15:04:05` today, `2026-11-28 15:04:05` yesterday, and `-` for None.
    """
    if when is None:
        return "-"
    here = when.astimezone()
    today = here.date() == datetime.now(UTC).astimezone().date()
    return f"{here:%H:%M:%S}" if today else f"{here:%Y-%m-%d %H:%M:%S}"


def duration_text(duration: timedelta) -> str:
    """Return a duration in its two largest units: `45 s`, `12 min`, `4 h 20 min` or `2 days 3 h`."""
    seconds = max(1, round(duration.total_seconds()))
    minutes, hours, days = round(seconds / 60), round(seconds / 3600), seconds // 86_400
    if seconds < 90:
        return f"{seconds} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{days} days {seconds % 86_400 // 3600} h"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def json_line(fields: Mapping[str, Any]) -> str:
    r"""Return the fields as one line of JSON, with times in ISO 8601 and durations in seconds.

    What does not print is escaped: `{"alias": "\\u009b31m"}`. Another example:

    `{"state": "waiting", "due_at": "2026-11-28T15:04:05.678+00:00", "time_left": 12.5}`
    """
    return escaped(json.dumps(fields, ensure_ascii=False, default=_as_json_value))


def _as_json_value(value: object) -> object:
    match value:
        case datetime():
            return iso(value)
        case timedelta():
            return round(value.total_seconds(), 3)
        case Mapping():
            return dict(value)
        case _:
            return str(value)


def as_options(text: str) -> str:
    """Write an error's remedy in the command's own words: `region='US'` becomes `--region US`."""
    text = re.sub(r"\bmapping=\{'(\w+)': '(\w+)'\}", r"--map \1=\2", text)
    return re.sub(r"\b(channel|region)='(\w+)'", r"--\1 \2", text)

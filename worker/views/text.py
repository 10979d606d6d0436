"""Times, durations and counts as a person reads them, and lines of JSON as a script does."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ringproof.clock import iso
from ringproof.printable import escaped


def clock(when: datetime | None) -> str:
    """Return a time in UTC, as errors, JSON and the audit have it, with the date if it is another day's.

    `15:04:05 UTC` today, `2026-11-28 15:04:05 UTC` yesterday, and `-` for None.
    """
    if when is None:
        return "-"
    there = when.astimezone(UTC)
    return f"{there:%H:%M:%S} UTC" if there.date() == datetime.now(UTC).date() else f"{there:%Y-%m-%d %H:%M:%S} UTC"


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

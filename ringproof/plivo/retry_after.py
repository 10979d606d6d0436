"""How long a server asks its client to wait."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ringproof.plivo.transport import HttpAnswer

_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def seconds_to_wait(answer: HttpAnswer, longest: float) -> float | None:
    """Return the seconds of `Retry-After`, 0 to `longest`, or None if it is unreadable or not there.

    A date counts from the answer's `Date`.
    """
    value = answer.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    elif (date := http_date(value)) is not None:
        now = http_date(answer.headers.get("Date", "")) or datetime.now(UTC)
        seconds = (date - now).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), longest)


def http_date(value: str) -> datetime | None:
    """Return the moment that a header names, or None if its text is none."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser expects well-formed mail
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)

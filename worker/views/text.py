"""Times and durations as a person reads them."""

from datetime import UTC, datetime, timedelta


def clock(when: datetime | None) -> str:
    """Return the time of day in this machine's zone, with the date if it is another day's."""
    if when is None:
        return "-"
    here = when.astimezone()
    today = here.date() == datetime.now(UTC).astimezone().date()
    return f"{here:%H:%M:%S}" if today else f"{here:%Y-%m-%d %H:%M:%S}"


def lasting(duration: timedelta) -> str:
    """Return how long something takes, in its two largest units: 4 h 20 min."""
    seconds = max(1, round(duration.total_seconds()))
    minutes, hours, days = round(seconds / 60), round(seconds / 3600), seconds // 86_400
    if seconds < 90:
        return f"{seconds} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{days} days {seconds % 86_400 // 3600} h"

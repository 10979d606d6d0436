"""The re-verification of verified numbers: each has a next date, which lua/lib/reverification.lua computes."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ringproof.clock import epoch_ms, moment
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.numbers import all_records, records_of
from ringproof.ledger.queues import LONGEST_QUEUE
from ringproof.ledger.record import Reason, Record

PAGE: Final = 5_000
"""Numbers that one round trip reads without their records: 75 kB."""


class Requested(StrEnum):
    """What `request` did with one number."""

    DUE = "due"  # it is due now
    OPEN = "open"  # it has a request that is under way, or a code that waits to be entered
    NEVER = "never"  # it is not verified
    UNKNOWN = "unknown"  # it has no record


def due(ledger: Ledger, most: int, in_a_message: int, queue: str) -> list[str]:
    """Return at most `most` numbers that are due. Each is due again in ten minutes if no worker re-verifies it.

    Returns none while the lane is paused, or while its Celery queue is long enough.
    """
    numbers: list[str] = ledger.run_script("reverification/due", [queue], [most, in_a_message, LONGEST_QUEUE])
    return numbers


def claim(ledger: Ledger, number: str) -> Record | None:
    """Claim a number for a minute to ask about it; None if it is not due, or another worker has claimed it."""
    return ledger.record_of(number, ledger.run_script("reverification/claim", [ledger.keys.record(number)], [number]))


def postpone(ledger: Ledger, number: str) -> None:
    """Have a number wait for its next date, because the worker cannot ask about this number."""
    ledger.run_script("reverification/postpone", [ledger.keys.record(number)], [number])


def note_removed(ledger: Ledger, record: Record) -> bool:
    """End the verification of a number that Plivo no longer has; return whether it has ended.

    Nothing changes if the record has changed since `record` was read, or has an unfinished request.
    """
    key, verified_at = ledger.keys.record(record.phone_number), epoch_ms(record.verified_at)
    arguments = [record.phone_number, record.request, verified_at]
    return bool(ledger.run_script("reverification/note_removed", [key], arguments))


def request(ledger: Ledger, numbers: Sequence[str]) -> list[Requested]:
    """Make numbers due now, for an operator. The lane's share and the pauses still apply."""
    answers = ledger.run_script("reverification/request", list(map(ledger.keys.record, numbers)), numbers)
    return [Requested(answer) for answer in answers]


def next_date(ledger: Ledger, number: str) -> datetime | None:
    """Return when a number is due; None if it has no date."""
    score = ledger.run("zscore", ledger.keys.renewals, number)
    return moment(int(score)) if score else None


def due_within(ledger: Ledger, duration: timedelta) -> Iterator[str]:
    """Yield the numbers that are due now, or will be within `duration`."""
    until = ms(duration) + epoch_ms(ledger.now())
    count = ledger.run("zcount", ledger.keys.renewals, "-inf", until)
    # By rank: for LIMIT, Redis would walk over all earlier numbers again for each page.
    for first in range(0, count, PAGE):
        yield from ledger.run("zrange", ledger.keys.renewals, first, min(first + PAGE, count) - 1)


def older_than(ledger: Ledger, duration: timedelta) -> Iterator[str]:
    """Yield the verified numbers that neither the user nor Plivo has confirmed within `duration`."""
    oldest = ledger.now() - duration
    for record in verified(ledger):
        if all(confirmed < oldest for confirmed in (record.verified_at, record.checked_at) if confirmed):
            yield record.phone_number


def lapsed(ledger: Ledger) -> Iterator[str]:
    """Yield the numbers whose users did not answer the re-verification, as long as their records are kept."""
    records = records_of(ledger, ledger.keys.lapsed)
    yield from (record.phone_number for record in records if record.reason is Reason.LAPSED)


def verified(ledger: Ledger) -> Iterator[Record]:
    """Yield the records of all verified numbers. This reads all keys."""
    yield from (record for record in all_records(ledger) if record.is_verified)

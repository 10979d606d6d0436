"""Verified numbers are asked about again, each at a time of its own: lua/renewals.lua has when that is."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import LONGEST_QUEUE, Ledger
from ringproof.ledger.record import Reason, Record, moment

AT_ONCE: Final = 500
"""Records that are looked at in one round trip."""


class Wanted(StrEnum):
    """What becomes of a number that a person wants to be asked about again."""

    DUE = "due"
    OPEN = "open"
    NEVER = "never"
    UNKNOWN = "unknown"


def due(ledger: Ledger, most: int, in_a_message: int, queue: str) -> list[str]:
    """Return numbers that are due; each is due again ten minutes later, unless it was asked about.

    None while the lane is paused, or its Celery queue is long enough.
    """
    numbers: list[str] = ledger.run_script("reverification/due", [queue], [most, in_a_message, LONGEST_QUEUE])
    return numbers


def claim(ledger: Ledger, number: str) -> Record | None:
    """Take the turn to ask about a number, for a minute; None if it is not due, or another has it."""
    flat = ledger.run_script("reverification/claim", [ledger.keys.record(number)], [number])
    return Record.read(number, dict(zip(flat[::2], flat[1::2], strict=True))) if flat else None


def put_off(ledger: Ledger, number: str) -> None:
    """Have a number that cannot be asked about, for its own sake, wait for its next turn."""
    ledger.run_script("reverification/postpone", [ledger.keys.record(number)], [number])


def ask_now(ledger: Ledger, numbers: Sequence[str]) -> list[Wanted]:
    """Have numbers asked about again now, as the lane's share and the pauses allow."""
    return [
        Wanted(told)
        for told in ledger.run_script("reverification/request", list(map(ledger.keys.record, numbers)), numbers)
    ]


def when(ledger: Ledger, number: str) -> datetime | None:
    """Return when a number is asked about again; None: never, as far as is known."""
    score = ledger.run("zscore", ledger.keys.renewals, number)
    return moment(int(score)) if score else None


def due_within(ledger: Ledger, duration: timedelta) -> Iterator[str]:
    """Give the numbers that fall due within a time from now."""
    until = ms(duration) + int(ledger.now().timestamp() * 1000)
    at = 0
    while page := ledger.run("zrangebyscore", ledger.keys.renewals, "-inf", until, at, AT_ONCE):
        yield from page
        at += len(page)


def older_than(ledger: Ledger, duration: timedelta) -> Iterator[str]:
    """Give the verified numbers of which nobody has said so for a time: neither the person nor Plivo."""
    oldest = ledger.now() - duration
    for record in verified(ledger):
        if all(told < oldest for told in (record.verified_at, record.checked_at) if told):
            yield record.phone_number


def lapsed(ledger: Ledger) -> Iterator[str]:
    """Give the numbers that did not answer when they were asked again, as far as their records are kept."""
    for numbers in _scanned(ledger, "sscan", ledger.keys.lapsed):
        yield from (record.phone_number for record in _records(ledger, numbers) if record.reason is Reason.LAPSED)


def verified(ledger: Ledger) -> Iterator[Record]:
    """Give the records of all numbers whose verification stands. Looks at all keys: some seconds for a million."""
    for keys in _scanned(ledger, "scan", match=ledger.keys.record("*")):
        numbers = list(map(ledger.keys.number, keys))
        yield from (record for record in _records(ledger, numbers) if record.stands)


def _records(ledger: Ledger, numbers: Sequence[str]) -> Iterator[Record]:
    yield from (record for record in ledger.read_many([(number, None) for number in numbers]) if record)


def _scanned(ledger: Ledger, command: str, *key: str, match: str | None = None) -> Iterator[list[str]]:
    """Give what a set or Redis has, some at a time; seldom one of them twice."""
    cursor = 0
    while True:
        cursor, found = ledger.run(command, *key, cursor, match, AT_ONCE)
        if found:
            yield found
        if not cursor:
            return

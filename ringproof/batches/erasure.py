"""Erase a number: its record and history, its earlier requests, its batch rows, and its agenda entry."""

import secrets
from collections.abc import Iterator
from enum import Enum, auto

import redis

from ringproof.batches.column_erasure import erase_in_columns
from ringproof.batches.model import unpack_row
from ringproof.events.outbox import erase_events, free_bytes
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.request_ids import pattern_of_ids
from ringproof.ledger.row_outcomes import LISTS

ROWS_AT_ONCE = 10_000
"""Rows that one command reads."""


def erase_number(ledger: Ledger, number: str) -> bool:
    """Delete everything that Ringproof knows about a number; return False if it knew nothing.

    This deletes the record with its history, the outcomes of earlier requests, the agenda entry, the date of the next
    re-verification, the mark of a lapsed number, its places in the lines, the answers that are kept for repeated calls,
    and the opaque ids of its requests. In its batch rows the number, the alias, the subaccount and all kept columns are
    deleted; the outcome and the country stay, so that the counts do not change. A row without an outcome becomes
    `erased`. In the columns of other rows, each cell with the number is deleted.

    Its events are removed from the outbox, also those that nobody has got yet. Reading the outbox takes seconds for
    each million of events.

    A request that has not begun never begins. While a code of the number may be live, or its caps count, a tombstone
    keeps that (`lua/lib/tombstone.lua`). A queued message still has the number until a worker takes it. Reading all
    batch rows takes a second for each million, and their columns two or three.
    """
    rows = _erase_rows(ledger, number)
    keys = [ledger.keys.record(number), ledger.keys.earlier(number)]
    has_record = bool(ledger.run_script("number/erase", keys, [number, secrets.token_hex(32)]))
    erase_events(ledger, number)
    try:
        for pattern in (ledger.keys.token(f"*{number}*"), pattern_of_ids(ledger, number)):
            for key in ledger.client.scan_iter(match=pattern, count=1000):
                ledger.client.delete(key)
    except redis.RedisError as error:
        raise ledger.unavailable(error) from None
    return has_record or rows > 0


class Rewrite(Enum):
    """What Redis answers if its append-only file is to be rewritten."""

    STARTED = auto()
    BUSY = auto()  # one is under way that began earlier, and so keeps what has been erased since
    NO_FILE = auto()


def rewrite_append_only_file(ledger: Ledger) -> Rewrite:
    """Ask Redis to rewrite its append-only file, which has each erased number until then.

    Before that, the outbox is freed of the bytes of removed events: the new file would have them, too. Redis writes the
    file in the background. Without such a file nothing is asked: Redis would begin one.
    """
    free_bytes(ledger)
    state = ledger.run("info", "persistence")
    if not state["aof_enabled"]:
        return Rewrite.NO_FILE
    if state["aof_rewrite_in_progress"]:
        return Rewrite.BUSY
    ledger.run("bgrewriteaof")
    return Rewrite.STARTED


def _erase_rows(ledger: Ledger, number: str) -> int:
    """Erase the number's rows in all batches, and the number in the columns of other rows; return how many.

    The row that the number's record belongs to is left: the script `number/erase` erases it with the record.
    """
    erased = 0
    for name in ledger.run("zrange", ledger.keys.batches, 0, -1):
        lists = ledger.keys.batch(name).lists
        found = [dict(_rows_of(ledger, list_key, number)) for list_key in lists]
        # The columns come first: if the process dies in between, the rows still show the next one where they are.
        erased += erase_in_columns(ledger, name, number, found)
        for channel, list_key, rows in zip(LISTS, lists, found, strict=True):
            for place, packed in rows.items():
                erased += int(
                    ledger.run_script(
                        "batch/erase_row",
                        [ledger.keys.record(number), list_key],
                        [name, channel, place, unpack_row(packed).country, packed],
                    )
                )
    return erased


def _rows_of(ledger: Ledger, list_key: str, number: str) -> Iterator[tuple[int, str]]:
    """Yield the places of the number's rows in a list, each with the row."""
    start = 0
    while rows := ledger.run("lrange", list_key, start, start + ROWS_AT_ONCE - 1):
        for place, packed in enumerate(rows, start):
            if number in packed and unpack_row(packed).number == number:
                yield place, packed
        start += ROWS_AT_ONCE

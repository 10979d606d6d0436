"""Erase a number: its record and history, its earlier requests, its batch rows, and its agenda entry."""

import secrets

import redis

from ringproof.batches.model import unpack_row
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.row_outcomes import LISTS

ROWS_AT_ONCE = 10_000
"""Rows that one command reads."""


def erase_number(ledger: Ledger, number: str) -> bool:
    """Delete everything that Ringproof knows about a number; return False if it knew nothing.

    This deletes the record with its history, the outcomes of earlier requests, the agenda entry, the date of the next
    re-verification, the mark of a lapsed or suspect number, and the answers that are kept for repeated calls. In its
    batch rows the number, the alias and the subaccount are deleted; the outcome and the country stay, so that the
    counts do not change. A row without an outcome becomes `erased`.

    A request that has not begun never begins. While a code of the number may be live, a tombstone prevents a second
    one (`lua/lib/tombstone.lua`). A queued message still has the number until a worker takes it. Reading all batch rows
    takes a second for each million.
    """
    rows = _erase_rows(ledger, number)
    keys = [ledger.keys.record(number), ledger.keys.earlier(number)]
    has_record = bool(ledger.run_script("number/erase", keys, [number, secrets.token_hex(32)]))
    try:
        tokens = list(ledger.client.scan_iter(match=ledger.keys.token(f"*{number}*"), count=1000))
        if tokens:
            ledger.client.delete(*tokens)
    except redis.RedisError as error:
        raise ledger.unavailable(error) from error
    return has_record or rows > 0


def _erase_rows(ledger: Ledger, number: str) -> int:
    """Erase the number's rows in all batches; return how many.

    The row that the number's record belongs to is left: the script `number/erase` erases it with the record.
    """
    erased = 0
    for name in ledger.run("zrange", ledger.keys.batches, 0, -1):
        for channel, list_key in zip(LISTS, ledger.keys.batch(name).lists, strict=True):
            start = 0
            while rows := ledger.run("lrange", list_key, start, start + ROWS_AT_ONCE - 1):
                for place, packed in enumerate(rows, start):
                    if number in packed and (row := unpack_row(packed)).number == number:
                        erased += int(
                            ledger.run_script(
                                "batch/erase_row",
                                [ledger.keys.record(number), list_key],
                                [name, channel, place, row.country, packed],
                            )
                        )
                start += ROWS_AT_ONCE
    return erased

"""A number is forgotten: its record, its history, its earlier requests, its rows in batches, what the agenda has."""

import secrets

import redis

from ringproof.batches.model import unpack
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.row_outcomes import LISTS

WINDOW = 10_000
"""Rows that are read at once."""


def erase(ledger: Ledger, number: str) -> bool:
    """Forget a number; False if it was unknown here. A code that may live is not doubled for that: see lua/erased.lua.

    A request that has not begun will not begin. Its rows keep their outcome and their country, so that counts stay what
    they were; one without an outcome is `erased`. What a message in a queue says of it ends with that message. Rows and
    answers to callers are looked for among all: a second for each million.
    """
    rows = _forget_rows(ledger, number)
    keys = [ledger.keys.record(number), ledger.keys.earlier(number)]
    known = bool(ledger.run_script("number/erase", keys, [number, secrets.token_hex(32)]))
    try:
        tokens = list(ledger.client.scan_iter(match=ledger.keys.token(f"*{number}*"), count=1000))
        if tokens:
            ledger.client.delete(*tokens)
    except redis.RedisError as error:
        raise ledger.unavailable(error) from error
    return known or rows > 0


def _forget_rows(ledger: Ledger, number: str) -> int:
    """Forget it in all batches, but for the row that its record goes by; return in how many rows."""
    done = 0
    for name in ledger.run("zrange", ledger.keys.batches, 0, -1):
        for channel, key in zip(LISTS, ledger.keys.batch(name).lists, strict=True):
            start = 0
            while rows := ledger.run("lrange", key, start, start + WINDOW - 1):
                for place, row in enumerate(rows, start):
                    if number in row and (known := unpack(row)).number == number:
                        asked = [ledger.keys.record(number), key]
                        done += int(
                            ledger.run_script("batch/erase_row", asked, [name, channel, place, known.country, row])
                        )
                start += WINDOW
    return done

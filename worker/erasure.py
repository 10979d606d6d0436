"""A number is forgotten: its record, its history, its earlier requests, what the agenda has of it."""

import secrets

import redis

from worker.ledger import Ledger


def erase(ledger: Ledger, number: str) -> bool:
    """Forget a number; False if it was unknown here. A code that may live is not doubled for that: see lua/erased.lua.

    A request that has not begun will not begin. What a message in a queue says of it ends with that message, and its
    answers to callers are looked for among all keys: a second for each million.
    """
    keys = [ledger.key("number", number), ledger.key("earlier", number)]
    known = bool(ledger.ask("erase", keys, [number, secrets.token_hex(32)]))
    try:
        tokens = list(ledger.client.scan_iter(match=ledger.key("token", f"*{number}*"), count=1000))
        if tokens:
            ledger.client.delete(*tokens)
    except redis.RedisError as error:
        raise ledger.unavailable(error) from error
    return known

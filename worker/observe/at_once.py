"""Questions to several servers at once."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 8
"""Servers that are asked at once: one that hangs costs its time limit, and the others do not wait for it."""


def at_once(items: Sequence[T], ask: Callable[[T], R]) -> list[R]:
    """Return what `ask` returns for each item, with as many threads as help; raises what it raises."""
    if len(items) <= 1:
        return [ask(one) for one in items]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # most installations have one Redis

    with ThreadPoolExecutor(min(AT_ONCE, len(items)), "at once") as pool:
        return list(pool.map(ask, items))

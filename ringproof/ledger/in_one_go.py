"""Runs a coroutine whose steps block, and so never suspend.

What the ledger does with Redis in several steps is written once, as a coroutine. A program on asyncio awaits it. For
any other program each step blocks instead.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def in_one_go(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns, or raise what it raises. Raises `RuntimeError` if it suspends.

    >>> async def answer() -> int:
    ...     return 42
    >>> in_one_go(answer())
    42
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits for an event loop, and there is none")

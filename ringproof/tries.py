"""Repeats a call by tenacity, which is asked only after a failure."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tenacity import Retrying

T = TypeVar("T")


def repeated(call: Callable[[], T], retrying: Callable[[], "Retrying"]) -> T:
    """Return what a call returns. If it fails, do with it what `retrying()` says: this failure is its first one.

    A call by tenacity that succeeds at once takes as long as one of Redis, and nearly all do.

        repeated(lambda: ledger.read(number), lambda: Retrying(stop=stop_after_attempt(3), reraise=True))
    """
    try:
        return call()
    except Exception as error:  # noqa: BLE001  # which ones are repeated, `retrying` knows
        first = [error]

    def again() -> T:
        if first:
            raise first.pop()
        return call()

    answer: T = retrying()(again)
    return answer

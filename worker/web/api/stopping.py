"""What lasts long ends when the process stops: a wait, and an upload."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class StoppingError(Exception):
    """The process stops, and what was awaited is given up."""


async def unless_stopping(stopping: asyncio.Event, awaited: Awaitable[T], *, seconds: float | None = None) -> T:
    """Return what is awaited. Raises `StoppingError` when the process stops, and TimeoutError after so many seconds."""
    ours, stop = asyncio.ensure_future(awaited), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({ours, stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            raise StoppingError
        if not ours.done():
            raise TimeoutError
        return ours.result()
    finally:
        ours.cancel()
        stop.cancel()

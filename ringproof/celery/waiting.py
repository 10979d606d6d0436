"""Waits for results on asyncio, as `LedgerBackend.wait_for_pending` does in a thread: the same limits and errors."""

import asyncio
import math
from contextlib import suppress
from typing import Any, Final

from celery import states
from celery.exceptions import TimeoutError as CeleryTimeoutError

from ringproof import runtime
from ringproof.aio.event_loop import open_here
from ringproof.aio.watch import REREAD_SECONDS
from ringproof.celery.meta import is_ready, meta_of, named_by, read_meta
from ringproof.errors import InvalidRequest, LedgerUnavailable
from ringproof.phone.masking import mask_value

AWAY_SECONDS: Final = 20.0
"""How long the result of a confirmation waits for Redis. The code has been waiting there, and lives a minute."""

TIMED_OUT: Final = "The operation timed out."
"""Celery's words."""


def end_of_wait(timeout: Any, now: float) -> float | None:
    """Return when a wait that begins now is over; None: never. Raises `InvalidRequest` for what is no time."""
    if timeout is None:
        return None
    if not isinstance(timeout, int | float) or math.isnan(timeout):
        raise InvalidRequest(
            "timeout", mask_value(timeout), "give seconds, such as 10, or None to wait until it is over"
        )
    return now + timeout


async def wait_until_ready(
    task_id: str,
    timeout: float | None,  # noqa: ASYNC109  # that of `.get()`
    *,
    is_anothers: bool = False,
) -> dict[str, Any]:
    """Return Celery's fields of a request's result when it is ready. It waits through a restart of Redis.

    Raises Celery's TimeoutError after `timeout` seconds; None: it waits for as long as it takes.
    """
    number, request, account = named_by(task_id)
    here, loop = await open_here(), asyncio.get_running_loop()
    timeout = 0.0 if runtime.is_performed_at_once() else timeout
    ledger, watch = here.ledger(account), here.watch(account)
    deadline = end_of_wait(timeout, loop.time())

    meta: dict[str, Any] = {"status": states.PENDING}

    def is_over(packed: dict[str, str]) -> bool:
        nonlocal meta
        record = ledger.blocking.unpack(number, packed)
        if record is None or (request and record.request < request):  # Redis may have gone back: it comes again
            return False
        if request and record.request > request:  # what became of this one is elsewhere
            return True
        meta = meta_of(task_id, record, is_anothers=is_anothers)
        return is_ready(meta)

    while True:
        left = None if deadline is None else deadline - loop.time()
        try:
            if left is None or left > 0:
                await watch.until("hgetall", ledger.blocking.keys.record(number), is_over, left)
            if not is_ready(meta):
                meta = await read_meta(ledger.read, task_id, is_anothers=is_anothers)
            if is_ready(meta):
                return meta
        except LedgerUnavailable:  # a request waits through a restart, and until a record is repaired
            pass
        left = REREAD_SECONDS if deadline is None else deadline - loop.time()
        if left <= 0:
            raise CeleryTimeoutError(TIMED_OUT)
        await asyncio.sleep(min(left, REREAD_SECONDS))


async def wait_until_stored(key: str, timeout: float | None) -> Any:  # noqa: ASYNC109  # that of `.get()`
    """Return what Celery has stored of a result when it is there.

    Raises Celery's TimeoutError after `timeout` seconds, and `LedgerUnavailable` if Redis is away then, or for
    AWAY_SECONDS.
    """
    here = await open_here()
    timeout = 0.0 if runtime.is_performed_at_once() else timeout
    end_of_wait(timeout, 0.0)
    while True:
        stored = None
        with suppress(LedgerUnavailable):  # perhaps there was no time to read it
            stored = await here.watch().until("get", key, lambda value: value is not None, timeout, away=AWAY_SECONDS)
        if stored is None:
            stored = await here.ledger().run("get", key)
        if stored is not None:
            return stored
        if timeout is not None:
            raise CeleryTimeoutError(TIMED_OUT)

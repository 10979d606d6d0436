"""What an event loop did while something ran in it: how long it stood still, and what was left."""

import asyncio
import contextlib


@contextlib.asynccontextmanager
async def stalls(every=0.02):
    """Yield a list that gets, at the end of the block, the longest time (s) for which the loop ran nothing."""
    longest = 0.0
    found = []

    async def tick():
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(every)
            longest = max(longest, loop.time() - began - every)

    ticking = asyncio.create_task(tick())
    try:
        yield found
    finally:
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        found.append(longest)


async def until(look, *, within=60.0):
    """Wait in the loop until `look` returns something true, and return that."""
    async with asyncio.timeout(within):
        while True:
            found = look()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)

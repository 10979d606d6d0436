"""Sends messages on asyncio: no thread, and no call that blocks."""

from collections.abc import Sequence

from ringproof.aio.event_loop import open_here
from ringproof.celery.messages import Message, log_unsent, people_message
from ringproof.celery.packing import Packing
from ringproof.celery.people import log_unlisted, putting_on_list
from ringproof.errors import LedgerUnavailable


async def send_here(message: Message) -> bool:
    """Send a message. Returns False if that fails, which is logged; never raises."""
    try:
        packing = Packing()
        message.send_by(producer=packing.producer)
        await (await open_here()).ledger().run_all(*packing.commands)
    except Exception as error:  # noqa: BLE001  # the request is accepted, whatever fails here
        log_unsent(message, error)
        return False
    return True


async def send_people_here(account: str, requests: Sequence[tuple[str, int]]) -> None:
    """Have accepted requests of people begun, as `send_people` does. A failure is logged, and never raised."""
    ledger = (await open_here()).ledger(account)
    try:
        length, _ = await ledger.run_all(*putting_on_list(ledger.blocking, requests))
    except LedgerUnavailable as error:
        log_unlisted(len(requests), error)
        return
    if length == len(requests):
        await send_here(people_message(account))

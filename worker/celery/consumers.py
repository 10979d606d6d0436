"""Which consumers of events a worker serves: webhooks if there is an address, and handlers if it has any."""

import sys
from collections.abc import Mapping
from typing import Any, Final

from ringproof import runtime
from ringproof.events.handlers import has_handlers
from ringproof.events.outbox import Consumer, subscribe
from ringproof.ledger import queues
from ringproof.settings import Settings

DELIVER: Final = "ringproof.deliver"

QUEUES: Final[Mapping[Consumer, str]] = {Consumer.WEBHOOKS: queues.EVENTS, Consumer.SIGNALS: queues.SIGNALS}

_REMEDIES: Final = {
    queues.EVENTS: "set RINGPROOF_WEBHOOK_URL and RINGPROOF_WEBHOOK_SECRETS",
    queues.SIGNALS: "name the module that has your handlers: -I yourapp.handlers",
}


def served(current: Settings) -> dict[Consumer, str]:
    """Return the consumers that this process can deliver to, each with a digest of its address."""
    consumers = {}
    if current.webhook_url:
        consumers[Consumer.WEBHOOKS] = runtime.webhook().address
    if has_handlers():
        consumers[Consumer.SIGNALS] = ""
    return consumers


def leave_queues(app: Any, current: Settings) -> None:
    """Have this worker take no messages for consumers that it cannot deliver to.

    Ends the process with a message if that leaves it without a queue.
    """
    of_others = [queue for consumer, queue in QUEUES.items() if consumer not in served(current)]
    taken = app.amqp.queues.consume_from
    if remedies := [_REMEDIES[queue] for queue in of_others if set(taken) <= set(of_others) and queue in taken]:
        sys.exit(f"ringproof: there is nobody to deliver events to; {'; or '.join(remedies)}")
    app.amqp.queues.deselect(of_others)


def want_events(current: Settings) -> None:
    """Have the outbox keep events for the consumers of this process. Raises `LedgerUnavailable`."""
    for consumer, address in served(current).items():
        subscribe(runtime.ledger(), consumer, address)

"""`ringproof.deliver`: delivers events, by webhooks or to a program's handlers."""

import logging
from datetime import timedelta
from typing import Final

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.errors import InvalidRequest
from ringproof.events import outbox
from ringproof.events.dispatcher import dispatch
from ringproof.events.handlers import Handlers
from ringproof.events.outbox import Consumer
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import claim_tick, queue_length
from ringproof.phone.masking import mask_value
from worker.celery import shutdown
from worker.celery.consumers import DELIVER, QUEUES, served

TRIM_EVERY: Final = timedelta(minutes=1)
MOST_TRIMS: Final = 20
"""Trims of one tick: 20,000 events, which is more than comes in a minute at Plivo's pace."""

_log = logging.getLogger(__name__)


@app.task(name=DELIVER, shared=False, ignore_result=True, throws=(InvalidRequest,))
def deliver(consumer: object = None) -> None:
    """Deliver events to a consumer for some seconds, unless another worker does so."""
    if consumer not in set(Consumer):
        raise InvalidRequest("consumer", mask_value(consumer), "only Ringproof sends it: " + ", ".join(Consumer))
    if consumer not in served(runtime.settings()):
        _log.warning("events for %s came to a worker that cannot deliver them; the next tick sends another", consumer)
        return
    receiver = runtime.webhook() if consumer == Consumer.WEBHOOKS else Handlers()
    delivered = dispatch(runtime.ledger(), receiver, shutdown.is_stopping)
    if delivered:
        _log.info("delivered %d events: %s", delivered, consumer)


def enqueue_deliveries(ledger: Ledger) -> None:
    """Send a message for each consumer that may get events now, and trim the outbox each minute."""
    if not outbox.has_consumers(ledger):
        return
    for consumer in outbox.due_consumers(ledger):
        if not queue_length(ledger, QUEUES[consumer]):
            app.send_task(DELIVER, (consumer,), queue=QUEUES[consumer], ignore_result=True)
    if claim_tick(ledger, "trim", TRIM_EVERY):
        for _ in range(MOST_TRIMS):
            if outbox.trim(ledger) < outbox.ENTRIES_AT_ONCE:
                break

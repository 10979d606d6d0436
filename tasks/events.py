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
from ringproof.ledger.queues import LONGEST_QUEUE, claim_tick, queue_length
from ringproof.phone.masking import mask_value
from worker.celery import shutdown
from worker.celery.consumers import DELIVER, QUEUES, served
from worker.sending.accounts import check_account, work_of

TRIM_EVERY: Final = timedelta(minutes=1)
EVERY_ACCOUNT: Final = timedelta(seconds=5)
"""How often an account's events get a message: the messages of others may wait in the queue."""

MOST_TRIMS: Final = 20
"""Trims of one tick: 20,000 events, which is more than comes in a minute at Plivo's pace."""

_log = logging.getLogger(__name__)


@app.task(name=DELIVER, shared=False, ignore_result=True, throws=(InvalidRequest,), send_events=False)  # as the sweep
def deliver(consumer: object = None, account: object = None) -> None:
    """Deliver events to a consumer for some seconds, unless another worker does so."""
    if consumer not in set(Consumer):
        raise InvalidRequest("consumer", mask_value(consumer), "only Ringproof sends it: " + ", ".join(Consumer))
    if consumer not in served(runtime.settings()):
        _log.warning("events for %s came to a worker that cannot deliver them; the next tick sends another", consumer)
        return
    receiver = runtime.webhook() if consumer == Consumer.WEBHOOKS else Handlers()
    delivered = 0
    with work_of(account):
        delivered = dispatch(runtime.ledger(check_account(account)), receiver, shutdown.is_stopping)
    if delivered:
        _log.info("delivered %d events: %s", delivered, consumer)


def enqueue_deliveries(ledger: Ledger) -> None:
    """Send a message for each consumer that may get events now, and trim the outbox each minute."""
    if not outbox.has_consumers(ledger):
        return
    for consumer in outbox.due_consumers(ledger):
        if _may_be_sent(ledger, consumer):
            of = {} if ledger.keys.account is None else {"account": ledger.keys.account}
            app.send_task(DELIVER, (consumer,), of, queue=QUEUES[consumer], ignore_result=True)
    if claim_tick(ledger, "trim", TRIM_EVERY):
        for _ in range(MOST_TRIMS):
            if outbox.trim(ledger) < outbox.ENTRIES_AT_ONCE:
                break


def _may_be_sent(ledger: Ledger, consumer: Consumer) -> bool:
    """Whether a message for a consumer may be sent now: one at a time, and of each account one each five seconds."""
    waiting = queue_length(runtime.ledger(), QUEUES[consumer])
    if ledger.keys.account is None:
        return not waiting
    return waiting < LONGEST_QUEUE and claim_tick(ledger, f"deliver:{consumer}", EVERY_ACCOUNT) is not None

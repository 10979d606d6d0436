"""`ringproof.work_chunk` and `.work_people`: take numbers in hand, to be sent to as their turns come."""

from typing import Any

from ringproof import errors, runtime
from ringproof.celery.app import app
from ringproof.celery.messages import WORK_CHUNK, WORK_PEOPLE, MaskedTask, is_request
from ringproof.celery.people import take_people
from ringproof.ledger.queues import lane_of
from ringproof.ledger.record import Lane
from ringproof.ledger.row_outcomes import LISTS
from ringproof.phone.masking import mask_value
from worker.celery import shutdown
from worker.sending.accounts import ANY_CHANNEL, work_of
from worker.sending.process import sending


@app.task(
    base=MaskedTask,
    name=WORK_CHUNK,
    shared=False,
    bind=True,
    ignore_result=True,
    throws=(errors.InvalidRequest,),
)
def work_chunk(self: MaskedTask, requests: Any, channel: Any, account: Any = None) -> None:
    """Take many accepted numbers of one lane and channel in hand: `[["+14155550123", 1764374400], …], "sms"`.

    The message is done then. What this process has in hand when it dies is queued in the ledger, and the sweep sends
    another message.
    """
    if not isinstance(requests, list) or not all(map(is_request, requests)):
        raise errors.InvalidRequest(
            "requests", mask_value(requests), "they are Ringproof's own: [[number, request], …]"
        )
    if channel not in LISTS:
        raise errors.InvalidRequest("channel", mask_value(channel), "one of " + ", ".join(LISTS))
    lane = lane_of(self.request.delivery_info["routing_key"])
    with shutdown.defer_sigterm(), work_of(account):
        sending().take_in_hand([(number, request) for number, request in requests], lane, channel, account)


@app.task(name=WORK_PEOPLE, shared=False, ignore_result=True, throws=(errors.InvalidRequest,))
def work_people(account: Any = None) -> None:
    """Take people of an account in hand who are on its list. As with `work_chunk`, the message is done then."""
    with shutdown.defer_sigterm(), work_of(account):
        if requests := take_people(runtime.ledger(account)):
            sending().take_in_hand(requests, Lane.INTERACTIVE, ANY_CHANNEL, account)

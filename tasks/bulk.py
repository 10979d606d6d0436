"""`ringproof.work_chunk`: takes the many numbers of one message in hand, to be sent to as their turns come."""

from typing import Any

from ringproof import errors
from ringproof.celery.app import app
from ringproof.celery.messages import WORK_CHUNK, MaskedTask, is_request
from ringproof.ledger.queues import lane_of
from ringproof.ledger.row_outcomes import LISTS
from ringproof.phone.masking import mask_value
from worker.celery import shutdown
from worker.sending.process import sending


@app.task(
    base=MaskedTask,
    name=WORK_CHUNK,
    shared=False,
    bind=True,
    ignore_result=True,
    throws=(errors.InvalidRequest,),
)
def work_chunk(self: MaskedTask, requests: Any, channel: Any) -> None:
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
    with shutdown.defer_sigterm():
        sending().take_in_hand([(number, request) for number, request in requests], lane, channel)

"""`ringproof.work_chunk`: sends to the many numbers of one message, each at its slot."""

from typing import Any

from ringproof import errors, runtime
from ringproof.celery.app import app
from ringproof.celery.messages import WORK_CHUNK, MaskedTask, is_request, send_chunk
from ringproof.ledger.queues import lane_of
from ringproof.phone.masking import mask_value
from worker.celery import shutdown
from worker.sending.bulk import send_to_many


@app.task(
    base=MaskedTask,
    name=WORK_CHUNK,
    shared=False,
    bind=True,
    ignore_result=True,
    throws=(errors.InvalidRequest,),
)
def work_chunk(self: MaskedTask, requests: Any) -> None:
    """Send to many accepted numbers of one lane, channel and subaccount: `[["+14155550123", 1764374400], …]`.

    Numbers that get no slot within BEGIN_SECONDS are sent on in a new message.
    """
    if not isinstance(requests, list) or not all(map(is_request, requests)):
        raise errors.InvalidRequest(
            "requests", mask_value(requests), "they are Ringproof's own: [[number, request], …]"
        )
    lane = lane_of(self.request.delivery_info["routing_key"])
    with shutdown.defer_sigterm():
        rest = send_to_many(
            runtime.ledger(), runtime.plivo(), [(number, request) for number, request in requests], lane
        )
    if rest:
        send_chunk(rest, lane)

"""The Celery queues: one for each lane, and one for the ticks of beat."""

from typing import Final

from ringproof.errors import InvalidRequest
from ringproof.ledger.record import Lane
from ringproof.phone.masking import shown

TICKS: Final = "ringproof.ticks"


def queue(lane: Lane) -> str:
    """Return the Celery queue of a lane; the prefix of Redis' keys has no part in it."""
    return f"ringproof.{lane}"


def lane_of(queue_name: str) -> Lane:
    """Return the lane of a Celery queue. Raises `InvalidRequest` for a queue that is none of ours."""
    for lane in Lane:
        if queue(lane) == queue_name:
            return lane
    raise InvalidRequest("queue", shown(queue_name), "one of " + ", ".join(map(queue, Lane)))

"""The Celery queues: one for each lane, one for the ticks that beat sends, and one for each consumer of events."""

from datetime import timedelta
from typing import Final

from ringproof.errors import InvalidRequest
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask_value

TICKS: Final = "ringproof.ticks"

EVENTS: Final = "ringproof.events"
"""Whose workers send webhooks."""

SIGNALS: Final = "ringproof.signals"
"""Whose workers call a program's handlers. They alone have them, so it is another queue than that of webhooks."""

SWEEP_TICK: Final = "sweep"
"""The tick of the sweep: some worker claims it each second, if one has a beat."""

LONGEST_QUEUE: Final = 1000
"""Messages in a lane's queue. If there are more, the workers are behind, so the sweep does not take them for lost."""


def queue(lane: Lane) -> str:
    """Return the Celery queue of a lane. `RINGPROOF_PREFIX` is not part of its name.

    >>> queue(Lane.BULK)
    'ringproof.bulk'
    """
    return f"ringproof.{lane}"


QUEUES: Final = (TICKS, *map(queue, Lane), EVENTS, SIGNALS)
"""All that the workers take messages from."""


def lane_of(queue_name: str) -> Lane:
    """Return the lane of a Celery queue. Raises `InvalidRequest` for a queue that is not Ringproof's."""
    for lane in Lane:
        if queue(lane) == queue_name:
            return lane
    raise InvalidRequest("queue", mask_value(queue_name), "one of " + ", ".join(map(queue, Lane)))


def queue_length(ledger: Ledger, name: str) -> int:
    """Return how many messages wait in a Celery queue of this Redis."""
    return int(ledger.run("llen", name))


def claim_tick(ledger: Ledger, name: str, every: timedelta) -> bool:
    """Claim a tick of this name; False if another process claimed one less than `every` ago."""
    return bool(ledger.run_script("claim_tick", [ledger.keys.tick(name)], [ms(every)]))

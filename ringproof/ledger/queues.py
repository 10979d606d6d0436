"""The Celery queues: one for each lane, one for the ticks that beat sends, and one for each consumer of events."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from ringproof.clock import moment
from ringproof.errors import InvalidRequest
from ringproof.ledger.durations import ms
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask_value

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger

TICKS: Final = "ringproof.ticks"

EVENTS: Final = "ringproof.events"
"""Whose workers send webhooks."""

SIGNALS: Final = "ringproof.signals"
"""Whose workers call a program's handlers. They alone have them, so it is another queue than that of webhooks."""

SWEEP_TICK: Final = "sweep"
"""The tick of the sweep: some worker claims it each second, if one has a beat."""

LONGEST_QUEUE: Final = 1000
"""Messages in a lane's queue. If there are more, the workers are behind, so the sweep does not take them for lost."""


QueueName = Literal["ringproof.interactive", "ringproof.scheduled", "ringproof.bulk"]
"""The queue that names a lane in a program's call."""


def queue(lane: Lane) -> str:
    """Return the Celery queue of a lane. `RINGPROOF_PREFIX` is not part of its name.

    >>> queue(Lane.BULK)
    'ringproof.bulk'
    """
    return f"ringproof.{lane}"


LANES: Final = tuple(map(queue, Lane))
"""The queues of the lanes. Only their workers need Plivo's credentials all the time."""

QUEUES: Final = (TICKS, *LANES, EVENTS, SIGNALS)
"""All that the workers take messages from."""


def lane_of(queue_name: str) -> Lane:
    """Return the lane of a Celery queue. Raises `InvalidRequest` for a queue that is not Ringproof's."""
    for lane in Lane:
        if queue(lane) == queue_name:
            return lane
    raise InvalidRequest("queue", mask_value(queue_name), "one of " + ", ".join(map(queue, Lane)))


def queue_length(ledger: "Ledger", name: str) -> int:
    """Return how many messages wait in a Celery queue of this Redis."""
    return int(ledger.run("llen", name))


@dataclass(frozen=True, slots=True)
class Claim:
    """A tick that this process has claimed, and when the one before was claimed, as far as Redis remembers."""

    at: datetime
    before: datetime | None


def claim_tick(ledger: "Ledger", name: str, every: timedelta) -> Claim | None:
    """Claim a tick of this name; None if another process claimed one less than `every` ago."""
    is_mine, at, before = ledger.run_script("claim_tick", [ledger.keys.tick(name)], [ms(every)])
    return Claim(moment(int(at)), moment(int(before)) if before else None) if is_mine else None

"""How long things last: leases, codes, requests and what is kept."""

from dataclasses import dataclass, fields
from datetime import timedelta

from ringproof.ledger.record import Lane


@dataclass(frozen=True, slots=True)
class Durations:
    """How long things take. Tests shorten them; nothing else does."""

    lease: timedelta = timedelta(seconds=45)  # from the slot: 20 s for the first byte, 10 s for the answer, 15 to spare
    first_byte: timedelta = timedelta(seconds=20)  # from the slot: far beyond 5 s of connecting; later nothing is sent
    code: timedelta = timedelta(minutes=15)  # Plivo's documentation: "valid for 15 minutes"
    enqueue_again: timedelta = timedelta(seconds=30)  # a queued message that nobody took by then is likely lost
    enqueue_again_longest: timedelta = timedelta(minutes=10)  # an hour without a worker: seven messages a number
    look_longest: timedelta = timedelta(minutes=15)  # Plivo's list is waited for, before a code is expired
    look_up: timedelta = timedelta(minutes=1)  # a slot, 15 s of Plivo, and then it is tried again
    interactive: timedelta = timedelta(minutes=15)  # a person has left the page by then
    background: timedelta = timedelta(hours=24)  # bulk and scheduled: over a night, and a day's outage
    token: timedelta = timedelta(minutes=15)  # far beyond any caller's own repetition
    reverify_again: timedelta = timedelta(hours=24)  # whoever did not answer a re-verification: another day, same hour
    earlier: timedelta = timedelta(hours=24)  # Celery's default for how long a result is kept

    def request(self, lane: Lane) -> timedelta:
        """How long a request of this lane may take until it is sent."""
        return self.interactive if lane is Lane.INTERACTIVE else self.background

    def facts(self) -> dict[str, int]:
        """Return them as the scripts are told them, in ms."""
        return {f"{one.name}_ms": ms(getattr(self, one.name)) for one in fields(self)}


def ms(duration: timedelta) -> int:
    """Return a duration in the scripts' milliseconds."""
    return duration // timedelta(milliseconds=1)

"""How long things last: leases, codes, requests, and what is kept."""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final

from ringproof.ledger.record import Lane

_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Durations:
    """How long things last. Only tests shorten them."""

    lease: timedelta = timedelta(seconds=45)  # from the slot: 20 s for the first byte, 10 s for the answer, 15 to spare
    first_byte: timedelta = timedelta(seconds=20)  # from the slot: far beyond 5 s of connecting; later nothing is sent
    code: timedelta = timedelta(minutes=15)  # Plivo's documentation: "valid for 15 minutes"
    code_margin: timedelta = timedelta(seconds=30)  # so much longer a code counts as live: Redis' clock may be stepped
    enqueue_again: timedelta = timedelta(seconds=10)  # a message that no worker took by then is probably lost
    enqueue_again_longest: timedelta = timedelta(minutes=10)  # an hour without a worker: seven messages for a number
    look_longest: timedelta = timedelta(minutes=15)  # how long a dead code waits for a scan of Plivo's list
    look_up: timedelta = timedelta(minutes=1)  # for a slot and 15 s of Plivo; after it the look-up is due again
    look_up_longest: timedelta = timedelta(hours=23)  # from the first look-up: with it a doubt ends within a day
    interactive: timedelta = timedelta(minutes=15)  # the user has left the page by then
    background: timedelta = timedelta(hours=24)  # bulk and scheduled: over a night, or a day's outage
    token: timedelta = timedelta(minutes=15)  # far beyond the time in which a caller repeats a call
    reverify_again: timedelta = timedelta(hours=24)  # no answer to a re-verification: one more try, at the same hour
    earlier: timedelta = timedelta(hours=24)  # Celery's default for how long a result is kept

    def request(self, lane: Lane) -> timedelta:
        """Return how long a request of this lane may wait until it is sent."""
        return self.interactive if lane is Lane.INTERACTIVE else self.background

    def mapping(self) -> dict[str, int]:
        """Return the durations as the scripts read them: `{"lease_ms": 45000, "first_byte_ms": 20000, …}`."""
        return {f"{one.name}_ms": ms(getattr(self, one.name)) for one in fields(self)}


def ms(duration: timedelta) -> int:
    """Return a duration in the scripts' milliseconds."""
    return duration // _MILLISECOND


def optional_ms(seconds: float | None) -> int | str:
    """Return seconds in the scripts' milliseconds, and '' for none."""
    return "" if seconds is None else round(seconds * 1000)

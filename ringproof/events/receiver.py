"""Who gets events, and what came of giving one."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from ringproof.events.event import Event
from ringproof.events.outbox import Consumer


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of one delivery: `failure` says why there was none, in words without a number; "" if there was one.

    `retry_after` is how long the receiver wants to be left. `is_gone`: it wants no more events at all.
    """

    failure: str = ""
    retry_after: timedelta = timedelta()
    is_gone: bool = False


class Receiver(Protocol):
    """Delivers events to one consumer. `address` is a digest of where it is, and `threads` may deliver at once."""

    @property
    def consumer(self) -> Consumer:
        """The consumer."""

    @property
    def address(self) -> str:
        """A digest of where it is."""

    @property
    def threads(self) -> int:
        """How many threads may deliver at once."""

    def deliver(self, event: Event) -> Receipt:
        """Deliver one event. It never raises."""

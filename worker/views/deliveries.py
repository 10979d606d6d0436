"""Deliveries of events, as a person reads them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from ringproof.events.delivery_status import MOST_COUNTED, Delivery
from ringproof.events.event import Event, event_id_of
from worker.views.text import clock, counted


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event that was not delivered: `outcome` and `at` say until when it waits, or when it was given up."""

    id: str
    event: str | None
    outcome: str
    at: datetime
    why: str

    @classmethod
    def of(cls, entry_id: str, event: Event | None, outcome: str, at: datetime, why: str) -> Self:
        """Build the line; the number in it is masked."""
        return cls(event_id_of(entry_id), event.summary if event else None, outcome, at, why)


_REMEDIES = {
    "webhooks": "ringproof webhook ls",
    "signals": "see the log of the worker with your handlers",
}


def delivery_lines(deliveries: Iterable[Delivery]) -> Iterator[str]:
    """Yield what an operator has to know: for each consumer how far it is behind, and what it has lost.

    webhooks: 1,204 events to deliver, the oldest of 14:31:00; 5 wait for another try
    webhooks: the last 9 deliveries have failed, so one event is tried now and then, next at 15:04:05
    """
    for one in deliveries:
        yield f"{one.consumer}: {_progress(one)}"
        if one.is_gone:
            yield f"{one.consumer}: the receiver has answered 410, so nothing is sent; ringproof webhook test ends that"
        elif one.away_until:
            yield (
                f"{one.consumer}: the last {one.failures} deliveries have failed, so one event is tried now and then, "
                f"next at {clock(one.away_until)}"
            )
        if one.given_up:
            remedy = _REMEDIES.get(one.consumer, "")
            yield f"{one.consumer}: {counted(one.given_up, 'event')} given up after three days; {remedy}"
        if one.trimmed:
            yield (
                f"{one.consumer}: {counted(one.trimmed, 'event')} lost, because the outbox keeps a million for a week: "
                "ringproof ls and ringproof batch export have what became of the numbers"
            )


def _progress(one: Delivery) -> str:
    if one.oldest is None and not one.waiting:
        return "nothing waits" if one.delivered else "no event so far"
    behind = f"{one.behind:,}{' or more' if one.behind >= MOST_COUNTED else ''}"
    since = f", the oldest of {clock(one.oldest)}" if one.oldest else ""
    return f"{behind} events to deliver{since}; {one.waiting:,} wait for another try"

"""Gives events to the handlers that a program has connected to the signals."""

from collections.abc import Mapping
from typing import Any, Final

from ringproof import signals
from ringproof.events.event import Event, EventKind
from ringproof.events.outbox import Consumer
from ringproof.events.receiver import Receipt

SIGNALS: Final[Mapping[EventKind, Any]] = {
    kind: getattr(signals, kind) for kind in EventKind if kind is not EventKind.NEWER_VERSION
}


def has_handlers() -> bool:
    """Whether this process has a handler for any signal."""
    return any(signal.has_listeners() for signal in SIGNALS.values())


class Handlers:
    """Calls the handlers one after the other, in the thread of its caller: a program's own code may know no others."""

    consumer = Consumer.SIGNALS
    address = ""
    threads = 1

    def deliver(self, event: Event) -> Receipt:
        """Call each handler of the event's signal. Celery logs what a handler raises."""
        answers = SIGNALS[event.kind].send(sender=event.kind, event=event)
        raised = [type(answer).__name__ for _, answer in answers if isinstance(answer, Exception)]
        return Receipt(f"a handler raised {', '.join(raised)}" if raised else "")

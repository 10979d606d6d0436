"""Signals for programs in Python: what has become of a number or a batch.

Connect handlers in a module of yours, and start a worker that has it (docs/guide/webhooks.md):

    from ringproof.signals import verified

    @verified.connect
    def remember(event, **_):
        Customer.objects.filter(phone=event.phone_number).update(verified_at=event.at)

A handler gets `event`, a `ringproof.events.event.Event`. It is called at least once for each event, and for the events
of one number in their order. If it raises, it is called again later.
"""

from typing import Final

from celery.utils.dispatch import Signal

__all__ = ["batch_completed", "code_sent", "expired", "failed", "in_doubt", "lapsed", "verified"]

code_sent: Final = Signal(name="code_sent", providing_args={"event"})
verified: Final = Signal(name="verified", providing_args={"event"})
failed: Final = Signal(name="failed", providing_args={"event"})
in_doubt: Final = Signal(name="in_doubt", providing_args={"event"})
expired: Final = Signal(name="expired", providing_args={"event"})
lapsed: Final = Signal(name="lapsed", providing_args={"event"})
batch_completed: Final = Signal(name="batch_completed", providing_args={"event"})

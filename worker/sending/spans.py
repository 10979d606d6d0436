"""The spans of a worker: how a number got its slot, what Plivo answered, and what the ledger has written.

Each belongs to the trace of the request, whose traceparent its record carries. They are made when all is over, from the
moments that are known then: while a number is sent to, nothing is done for its trace.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ringproof.clock import boot_clock
from ringproof.ledger.answers import Written
from ringproof.ledger.record import Record, State
from ringproof.tracing import add_span, span, valid_traceparent

if TYPE_CHECKING:
    from worker.sending.attempt import Attempted


def begin_span(message: Any, **facts: Any) -> AbstractContextManager[str | None]:
    """Make a span of the begin of one number, if its message carries a trace."""
    return _span_of_message("begin", message, **facts)


def confirm_span(message: Any) -> AbstractContextManager[str | None]:
    """Make a span of a confirmation in the trace of the program that has asked for it."""
    return _span_of_message("confirm", message)


def _span_of_message(name: str, message: Any, **facts: Any) -> AbstractContextManager[str | None]:
    parent = valid_traceparent(getattr(message, "traceparent", None))
    return span(name, "CONSUMER", parent, **facts) if parent else nullcontext()


def add_attempt(one: "Attempted", written: Written) -> None:
    """Add the spans of one attempt: the wait for its slot, the request to Plivo, and the settle."""
    trace = one.record.trace
    if not trace:
        return
    now, ns = boot_clock(), _epoch()
    begun_at = min(one.begun.at - one.begun.wait.total_seconds(), one.ended_at)
    first_byte_at = one.ended_at if one.passed_at is None else one.passed_at
    whole = add_span(
        "send code",
        "INTERNAL",
        trace,
        ns(begun_at),
        ns(now),
        is_error=written.state in {State.FAILED, State.IN_DOUBT},
        request=one.record.request,
        lane=one.record.lane,
        channel=one.record.channel,
        country=one.record.country,
        attempt=one.record.attempts,
        state=written.state,
        reason=written.reason,
    )
    add_span("wait for the slot", "INTERNAL", whole, ns(begun_at), ns(first_byte_at))
    if one.passed_at is not None:
        late_ms = round((one.passed_at - one.slot) * 1000)
        add_span(
            "POST VerifiedCallerId",
            "CLIENT",
            whole,
            ns(one.passed_at),
            ns(one.ended_at),
            is_error=one.http_status is None or one.http_status >= 400,
            http__request__method="POST",
            http__response__status_code=one.http_status,
            api_id=one.outcome.api_id,
            slot_late_ms=late_ms,
        )
    add_span("settle", "INTERNAL", whole, ns(one.ended_at), ns(now))


def add_confirmation(record: Record, asked_at: float) -> None:
    """Add the span of a confirmation to the trace of the request. `asked_at` is a moment of `boot_clock()`."""
    now, ns = boot_clock(), _epoch()
    facts: dict[str, Any] = {
        "request": record.request,
        "lane": record.lane,
        "channel": record.channel,
        "state": State.VERIFIED,
    }
    add_span("confirm", "INTERNAL", record.trace, ns(asked_at), ns(now), **facts)


def _epoch() -> Callable[[float], int]:
    """Return a function that converts moments of `boot_clock()` to nanoseconds since 1970."""
    offset = time.time_ns() - round(boot_clock() * 1e9)
    return lambda moment: offset + round(moment * 1e9)

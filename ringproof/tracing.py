"""Spans of OpenTelemetry, if the program has set a tracer provider. Otherwise nothing is imported, and nothing is done.

One trace follows a number from `.delay` to its confirmation. The message and the record carry its `traceparent`, as the
W3C has defined it: 55 characters. No span has a number, a code or an alias.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")

NAME: Final = "ringproof"
"""The name of the tracer, and the beginning of our attributes."""


def _opentelemetry() -> Any:
    """Return OpenTelemetry's module if the program uses it: then it is loaded, and a provider is set."""
    otel = sys.modules.get("opentelemetry.trace")
    if otel is None or isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider):
        return None
    return otel


@contextmanager
def span(name: str, kind: str = "INTERNAL", parent: str | None = None, **attributes: Any) -> Iterator[str | None]:
    """Make a span of the block, which gets its traceparent; None if nothing is traced, or this trace is not sampled.

    `kind` is a name of OpenTelemetry's SpanKind. Without `parent`, a traceparent, the span belongs to the program's
    current one. An error of the block gives the span its type, and not its text.

        with span("initiate_verification", "PRODUCER", lane=lane) as traceparent:
            send(headers={"traceparent": traceparent})
    """
    otel = _opentelemetry()
    if otel is None:
        yield None
        return
    made = otel.get_tracer(NAME).start_span(
        name, _context(otel, parent), getattr(otel.SpanKind, kind), _attributes(attributes)
    )
    try:
        with otel.use_span(made, record_exception=False, set_status_on_exception=False):
            yield _traceparent(made)
    except BaseException as error:
        made.set_status(otel.Status(otel.StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        made.end()


def add_span(
    name: str, kind: str, parent: str | None, start_ns: int, end_ns: int, *, is_error: bool = False, **attributes: Any
) -> str | None:
    """Add a span that is over to the trace of `parent`, and return its traceparent; without one do nothing.

    The times are nanoseconds since 1970. Never raises: a result must not be lost with a span.
    """
    otel = _opentelemetry() if parent else None
    if otel is None:
        return None
    try:
        made = otel.get_tracer(NAME).start_span(
            name, _context(otel, parent), getattr(otel.SpanKind, kind), _attributes(attributes), start_time=start_ns
        )
        if is_error:
            made.set_status(otel.Status(otel.StatusCode.ERROR))
        made.end(end_ns)
        return _traceparent(made)
    except Exception as error:  # noqa: BLE001  # an exporter may raise anything
        import logging  # noqa: PLC0415  # a healthcheck has no time for it

        logging.getLogger(__name__).warning("a span was not written: %s", type(error).__name__)
        return None


def valid_traceparent(text: object) -> str | None:
    """Return a text of a message or a record if it is a traceparent."""
    return text if isinstance(text, str) and _TRACEPARENT.fullmatch(text) else None


def _context(otel: Any, parent: str | None) -> Any:
    match = _TRACEPARENT.fullmatch(parent) if parent else None
    if match is None:
        return None  # the program's current one
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    context = otel.SpanContext(trace_id, span_id, is_remote=True, trace_flags=otel.TraceFlags(flags))
    return otel.set_span_in_context(otel.NonRecordingSpan(context))


def _attributes(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span: ours under our name, those of OpenTelemetry's conventions as they are."""
    named = {key.replace("__", "."): value for key, value in facts.items() if value not in {None, ""}}
    return {
        key if "." in key else f"{NAME}.{key}": str(value) if isinstance(value, str) else value
        for key, value in named.items()
    }


def _traceparent(made: Any) -> str | None:
    context = made.get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

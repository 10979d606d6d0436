"""Has a worker trace as its operator would (`-I traced`): each span is a line of JSON in the file TRACE_FILE."""

import json
import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


class JsonFile(SpanExporter):
    def export(self, spans):
        with Path(os.environ["TRACE_FILE"]).open("a") as file:
            file.writelines(json.dumps(json.loads(span.to_json())) + "\n" for span in spans)
        return SpanExportResult.SUCCESS


if "TRACE_FILE" in os.environ:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(JsonFile()))
    trace.set_tracer_provider(provider)

"""One trace follows a number from `.delay` to its confirmation; without OpenTelemetry all goes on as before."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.harness import Worker, eventually, fresh_number, stopped
from support.number_in_ledger import SENT, Book

from ringproof import errors, tracing
from ringproof.ledger.answers import Outcome, PlivoSignal
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Reason, State
from worker.local.processes.redis_server import RedisServer

SUPPORT = Path(__file__).parents[1] / "support"

PRODUCER = """
import sys, traced
from opentelemetry import trace
from ringproof import initiate_verification, confirm_verification
number, code = sys.argv[1:]
with trace.get_tracer("web").start_as_current_span("POST /signup"):
    if code:
        print(confirm_verification.delay(number, code).get(timeout=60)["state"])
    else:
        initiate_verification.delay(number, alias="Ann").get(timeout=60)
"""

WITHOUT_THE_PACKAGE = """
import sys
sys.modules["opentelemetry"] = None
import ringproof, tasks, worker.celery, worker.sending.results
ringproof.initiate_verification.delay(sys.argv[1])
print([name for name, module in sys.modules.items() if name.startswith("opentelemetry") and module])
"""


@pytest.fixture
def world(environ, tmp_path):
    """A traced worker, and a function that runs a traced producer; the file of all spans."""
    with RedisServer() as server:
        own = environ | {
            "RINGPROOF_REDIS_URL": server.url,
            "RINGPROOF_RATE": "1000/0.1s",
            "TRACE_FILE": str(tmp_path / "spans.jsonl"),
            "PYTHONPATH": f"{SUPPORT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }

        def produce(script, *args):
            command = [sys.executable, "-c", script, *args]
            return subprocess.run(command, env=own, capture_output=True, text=True, check=True).stdout

        client = connect(server.url)
        with stopped(Worker(tmp_path / "worker.log", own, tmp_path, "-I", "traced", concurrency=1)):
            yield produce, tmp_path / "spans.jsonl", Ledger(client)
        client.close()


def spans_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_one_trace_goes_from_delay_through_queue_slot_and_plivo_to_settle_and_confirm(world, plivo):
    produce, file, ledger = world
    number = fresh_number()
    produce(PRODUCER, number, "")
    kept = ledger.read(number).trace
    eventually(lambda: {"settle", "begin"} <= {span["name"] for span in spans_of(file)})
    confirmed = produce(PRODUCER, number, plivo.sends(number)[-1]["code"])
    spans = eventually(
        lambda: [s for s in spans_of(file) if sum(one["name"] == "confirm" for one in spans_of(file)) == 2]
    )
    by_id = {span["context"]["span_id"]: span for span in spans}
    trace_id = next(one["context"]["trace_id"] for one in spans if one["name"] == "initiate_verification")
    tree = {
        (by_id[span["parent_id"]]["name"] if span["parent_id"] in by_id else None, span["name"])
        for span in spans
        if span["context"]["trace_id"] == trace_id
    }

    assert tree == {
        (None, "POST /signup"),
        ("POST /signup", "initiate_verification"),
        ("initiate_verification", "begin"),
        ("initiate_verification", "send code"),
        ("send code", "wait for the slot"),
        ("send code", "POST VerifiedCallerId"),
        ("send code", "settle"),
        ("initiate_verification", "confirm"),
    }
    assert confirmed == "verified\n"
    assert kept[3:35] == trace_id.removeprefix("0x")
    assert len(kept) == 55
    assert ledger.read(number).trace is None, "a final state drops it"
    (post,) = [span for span in spans if span["name"] == "POST VerifiedCallerId"]
    assert post["attributes"]["http.response.status_code"] == 201
    (whole,) = [span for span in spans if span["name"] == "send code"]
    assert whole["attributes"]["ringproof.state"] == "code_sent"
    starts = [datetime.fromisoformat(span["start_time"]) for span in (whole, post)]
    assert starts == sorted(starts)
    assert datetime.fromisoformat(post["end_time"]) <= datetime.fromisoformat(whole["end_time"])
    of_confirmation = {span["name"] for span in spans if span["context"]["trace_id"] != trace_id}
    assert of_confirmation == {"POST /signup", "confirm_verification", "confirm"}, "the second call has its own trace"
    assert number[-7:] not in file.read_text()
    assert "Ann" not in file.read_text()


def test_where_opentelemetry_is_not_installed_a_request_is_made_without_it(environ, redis_server):
    own = environ | {"RINGPROOF_REDIS_URL": redis_server.url, "RINGPROOF_PREFIX": f"t{fresh_number()[1:]}"}
    command = [sys.executable, "-c", WITHOUT_THE_PACKAGE, fresh_number()]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)

    assert done.stdout == "[]\n", done.stderr


@pytest.fixture
def exported(monkeypatch):
    """Set a tracer provider for this test alone, and return its spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter.get_finished_spans


def test_a_provider_that_is_not_set_yields_no_span_although_the_package_is_there():
    with tracing.span("initiate_verification") as traceparent:
        assert traceparent is None


def test_a_trace_that_is_not_sampled_costs_the_record_nothing(monkeypatch):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider(sampler=sampling.ALWAYS_OFF))
    with tracing.span("initiate_verification") as traceparent:
        assert traceparent is None


def test_an_error_gives_a_span_its_type_and_not_its_text(exported):
    with pytest.raises(errors.NothingPending), tracing.span("initiate_verification", lane="bulk"):
        raise errors.NothingPending("failed")
    (span,) = exported()

    assert (span.status.description, list(span.events)) == ("NothingPending", [])
    assert dict(span.attributes) == {"ringproof.lane": "bulk"}


@pytest.mark.parametrize("parent", ["", None, "00-xyz", "+14155550123", "00-" + "0" * 32])
def test_without_a_parent_no_span_is_added(exported, parent):
    assert tracing.add_span("settle", "INTERNAL", tracing.valid_traceparent(parent), 1, 2) is None
    assert exported() == ()


def test_an_exporter_that_fails_costs_no_result(exported, monkeypatch, caplog):
    monkeypatch.setattr(trace.get_tracer_provider(), "get_tracer", lambda *_: 1 / 0)

    assert tracing.add_span("settle", "INTERNAL", f"00-{'a' * 32}-{'b' * 16}-01", 1, 2) is None
    assert "a span was not written: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "keeps"),
    [
        (SENT, True),
        (Outcome(State.IN_DOUBT), True),
        (Outcome(State.WAITING, Reason.UNREACHABLE), True),
        (Outcome(State.FAILED, Reason.REJECTED, plivo_signal=PlivoSignal.ANSWERED), False),
    ],
)
def test_a_record_has_its_trace_until_it_has_a_final_state(client, outcome, keeps):
    book, traceparent = Book(client), f"00-{'a' * 32}-{'b' * 16}-01"
    accepted = book.ledger.accept(book.number, token=book.number, trace=traceparent)
    (begun,) = book.ledger.begin([(book.number, accepted.request)])
    book.ledger.settle(book.number, accepted.request, begun.fence, outcome)

    assert begun.record.trace == traceparent, "the sender has it, too"
    assert book.ledger.read(book.number).trace == (traceparent if keeps else None)

"""No number, code or token is in a log line, an event, a repr or a traceback."""

import base64
import json
import logging
import os
import re
import signal
import socket
import sys
from functools import partial

import pytest
import redis
from celery import Celery
from kombu import Exchange
from support.harness import AUTH_ID, AUTH_TOKEN, Process, Worker, eventually, fresh_number, stopped
from support.leaks import leaks

from ringproof.ledger.confirmation import check_code, store_code
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, State
from ringproof.phone.masking import mask
from worker.celery.logs import JsonLines, Redacting, TextLines
from worker.celery.outcome_log import Event, about
from worker.local.processes.redis_server import RedisServer

PASSWORD = "a-password-that-must-not-be-logged"
ENDS = {State.CODE_SENT, State.IN_DOUBT, State.FAILED}


@pytest.fixture(params=["text", "json"])
def world(request, environ, tmp_path):
    """A worker at DEBUG with events on, on a Redis with a password, and `celery events` beside it."""
    with RedisServer(password=PASSWORD) as server:
        own = environ | {
            "RINGPROOF_REDIS_URL": server.url,
            "RINGPROOF_LOG_FORMAT": request.param,
            "RINGPROOF_RATE": "1000/0.1s",
        }
        watch = [sys.executable, "-u", "-m", "celery", "-A", "worker", "events", "--dump"]
        client = connect(server.url)
        foreign = Celery("foreign", broker=server.url, set_as_current=False)
        with (
            stopped(Worker(tmp_path / "worker.log", own, tmp_path, "-l", "DEBUG", "-E", concurrency=2)) as worker,
            stopped(Process(watch, tmp_path / "events.log", own, tmp_path)) as events,
        ):
            yield worker, events.until_logged("heartbeat"), Ledger(client), foreign
        client.close()


def test_a_run_at_debug_with_events_shows_no_number_no_code_and_no_secret(world, plivo, request):
    worker, events, ledger, foreign = world
    plivo.switch(code_length=8)
    numbers = {
        name: fresh_number() for name in ("sent", "doubt", "called", "killed", "unknown", "excel", "alias", "raw")
    }

    def send(*args, task="initiate_verification", **kwargs):
        foreign.send_task(task, args, kwargs, queue="ringproof.interactive")  # its argsrepr is in clear

    plivo.befall("500_after", number=numbers["doubt"])
    plivo.befall("timeout_after", number=numbers["killed"], operation="complete")
    send(f"+1 ({numbers['sent'][2:5]}) {numbers['sent'][5:8]}-{numbers['sent'][8:]}", alias="Front desk")
    send(numbers["doubt"])
    send(numbers["called"], channel="call")
    send(numbers["unknown"], task="no_such_task")
    send(f"{numbers['excel']}.0")
    send("+14155550123", alias=f"{numbers['alias']}\n")
    send({"phone_number": numbers["raw"]})
    with foreign.connection_for_write() as connection:
        producer = connection.Producer(exchange=Exchange("ringproof.interactive"), routing_key="ringproof.interactive")
        producer.publish({"no": "task", "phone": numbers["raw"]})
        producer.publish(f"call {numbers['raw']}", content_type="text/plain", content_encoding="utf-8")
    send(numbers["killed"])
    for name in ("sent", "doubt", "called", "killed"):
        eventually(lambda name=name: (r := ledger.read(numbers[name])) and r.state in ENDS, within=60)
    handle = store_code(ledger, check_code(plivo.sends(numbers["killed"])[-1]["code"]))
    send(numbers["killed"], task="confirm_verification", handle=handle)
    active = next(
        task
        for task in eventually(lambda: next(iter((foreign_inspect(foreign) or {}).values()), None), within=20)
        if task["name"] == "confirm_verification"
    )
    eventually(lambda: any(asked["kind"] == "complete" for asked in plivo.requests()))
    os.kill(active["worker_pid"], signal.SIGKILL)
    worker.until_logged(f"verified +1•••••••{numbers['killed'][-2:]}")
    events.until_logged("task failed: initiate_verification")

    written = worker.log + events.log + json.dumps(active)
    secrets = {AUTH_TOKEN, PASSWORD, base64.b64encode(f"{AUTH_ID}:{AUTH_TOKEN}".encode()).decode()}
    codes = {send["code"] for send in plivo.sends()}
    digits = {number[1:] for number in numbers.values()}
    local = {number[-7:] for number in numbers.values()}
    assert not [line for secret in secrets | codes | digits | local for line in leaks(secret, written)][:5]
    assert len(codes) == 4
    assert f"code_sent +1•••••••{numbers['sent'][-2:]} sms" in written
    assert f"code_sent +1•••••••{numbers['called'][-2:]} call" in written
    assert f"in_doubt +1•••••••{numbers['doubt'][-2:]}" in written
    if request.node.callspec.params["world"] == "json":
        lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line["message"].startswith("code_sent") and " call " in line["message"]]
        assert re.fullmatch(r"code_sent \+1•{7}\d\d call \d+ ms", line["message"])
        assert line.keys() >= {"time", "level", "logger", "process", "host", "message", "request", "slot_late_ms", "ms"}
        assert (line["event"], line["number"], line["lane"]) == ("attempt", mask(numbers["called"]), "interactive")
        assert (line["channel"], line["state"], line["http_status"]) == ("call", "code_sent", 201)


def foreign_inspect(app):
    """Ask the workers of this Redis what they do, as an operator would."""
    app.conf.control_exchange = "ringproof.control"
    return app.control.inspect(timeout=2, limit=1).active()


def test_an_idle_worker_with_a_beat_logs_nothing_however_many_ticks_there_are(environ, tmp_path):
    """At its start it names a variable that is no setting, once and without its value."""
    with (
        RedisServer() as server,
        stopped(
            Worker(
                tmp_path / "worker.log",
                environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_COUNTRYS": "hunter2"},
                tmp_path,
                "-B",
                concurrency=2,
            )
        ) as own,
        redis.Redis.from_url(server.url) as client,
        Celery("producer", broker=server.url, set_as_current=False) as producer,
    ):
        own.until_logged("accepts the credentials")

        def is_claimed_again(tick, before):
            producer.send_task(f"ringproof.{tick}", queue="ringproof.ticks")
            return client.get(f"ringproof:tick:{tick}") != before

        for tick in ("sweep", "feed") * 3:
            before = client.get(f"ringproof:tick:{tick}")
            eventually(partial(is_claimed_again, tick, before), why=f"no {tick} was run")
        after_its_start = own.log.split("accepts the credentials")[1].split("beat: Starting...")[-1]

    assert after_its_start.split() == []
    assert own.log.count("RINGPROOF_COUNTRYS is no setting; did you mean RINGPROOF_COUNTRIES?") == 1
    assert "hunter2" not in own.log


@pytest.fixture
def logged():
    """A logger as a worker has it, and what it has written."""
    lines = []

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    logger, handler = logging.getLogger("test.logs"), Kept()
    handler.addFilter(Redacting(["s3cret"]))
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, handler, lines
    logger.removeHandler(handler)
    logger.propagate = True


def test_the_filter_masks_arguments_tracebacks_and_secrets_of_any_logger(logged):
    logger, _, lines = logged
    try:
        raise ValueError("no such number: +14155550123")
    except ValueError:
        logger.exception("failed for %s with %s", "+1 (415) 555-0123", "s3cret", stack_info=True)

    (line,) = lines
    assert line.startswith("failed for +1•••••••23 with •••")
    assert "ValueError: no such number: +1•••••••23" in line
    assert "4155550123" not in line


def test_a_line_of_json_holds_the_traceback_as_one_field(logged):
    logger, handler, lines = logged
    handler.setFormatter(JsonLines())
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it failed")

    line = json.loads(lines[0])
    assert line["message"] == "it failed"
    assert line["level"] == "error"
    assert line["traceback"].endswith("ValueError: broken")


@pytest.fixture
def outcome(logged):
    """Log an outcome, and return how it is written."""
    logger, handler, lines = logged

    def log(formatter, **facts):
        handler.setFormatter(formatter)
        extra = about(Event.ATTEMPT, "+14155550123", request=1764376884, **facts)
        logger.warning("code_sent +1•••••••23 sms", extra=extra)
        return lines[-1]

    return log


def test_what_a_line_says_beside_its_sentence_comes_after_it_and_is_a_field_of_json(outcome):
    facts = {"lane": Lane.BULK, "batch": "our spring", "row": "sms:1234567:US", "state": State.CODE_SENT, "ms": 0}
    text, host = outcome(TextLines(), **facts, reason=None, api_id=""), socket.gethostname()
    line = json.loads(outcome(JsonLines(), **facts))

    assert text.endswith(
        f"code_sent +1•••••••23 sms event=attempt request=1764376884 lane=bulk "
        f'batch="our spring" row=sms:1234567:US state=code_sent ms=0 host={host}'
    )
    assert {key: line[key] for key in (*facts, "event", "number", "request", "host")} == {
        **facts,
        "event": "attempt",
        "number": "+1•••••••23",
        "request": 1764376884,
        "host": host,
    }


def test_a_batch_whose_name_is_a_number_is_masked(outcome):
    assert "batch=•••••••23" in outcome(TextLines(), batch="4155550123")


def test_what_other_libraries_say_beside_their_sentence_is_not_written(logged):
    logger, handler, lines = logged
    handler.setFormatter(JsonLines())
    logger.warning("hello", extra={"event": "theirs", "number": "+14155550123", "request": object()})

    assert json.loads(lines[0]).keys() == {"time", "level", "logger", "host", "process", "message"}


def test_a_text_of_others_neither_steers_the_terminal_nor_makes_a_line_of_its_own(logged):
    logger, _, lines = logged
    logger.warning("message %s: %s", "one\n2026-11-29 10:00:00,000 INFO forged", "\x1b[2J\x9b\u202e\r")

    assert lines == ["message one\n    2026-11-29 10:00:00,000 INFO forged: �[2J���"]


class Unwritable:
    def __repr__(self):
        raise RecursionError


@pytest.mark.parametrize("argument", ["many", Unwritable()])
def test_wrong_arguments_of_a_log_call_do_not_take_the_worker_down(logged, argument):
    logger, _, lines = logged
    logger.warning("%d numbers", argument)
    logger.warning("%r numbers", Unwritable())

    assert lines == [f"{text} numbers (its arguments could not be written)" for text in ("%d", "%r")]

"""The task as producers and foreign applications call it."""

import json
import multiprocessing
import os
import random
import signal
import socket
import time

import pytest
from celery import Celery, chain, group
from support.harness import Worker, eventually, fresh_number, stopped

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.celery.messages import message_of, send_message
from ringproof.errors import CoolingDown, InvalidNumber, InvalidRequest, LedgerUnavailable
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, State
from tasks import initiate_verification
from worker.local.processes.redis_server import RedisServer


@pytest.fixture(scope="module")
def foreign():
    """Another application on the same Redis, which has Ringproof's queue names and nothing else."""
    other = Celery("foreign", broker=runtime.settings().redis_url.get_secret_value(), set_as_current=False)
    other.conf.update(result_backend=runtime.settings().redis_url.get_secret_value())
    yield other
    # kombu's pools are everybody's: closed here, they would be closed for our app. A result unsubscribes when it is
    # collected, and would connect again for that.
    consumer = other.backend.result_consumer
    consumer.stop()
    consumer._pubsub = None
    other.backend.client.close()


def send(foreign, *args, queue="ringproof.interactive", **kwargs):
    return foreign.send_task("initiate_verification", args, kwargs, queue=queue, argsrepr="(…)", kwargsrepr="{…}")


@pytest.fixture
def elsewhere(monkeypatch):
    """Point this process's ledger at another Redis."""

    def point(url):
        monkeypatch.setenv("RINGPROOF_REDIS_URL", url)
        here.append(runtime.ledger())
        return here[-1]

    here = []
    usual = runtime.ledger()
    runtime._ledger.cache_clear()
    yield point
    for ledger in here:
        ledger.client.close()
    usual.client.close()
    runtime._ledger.cache_clear()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"phone_number": "+1 415 555"}, InvalidNumber),
        ({"phone_number": "+14155550123", "channel": "fax"}, InvalidRequest),
        ({"phone_number": "+14155550123", "chanel": "sms"}, InvalidRequest),
        ({}, InvalidRequest),
    ],
)
def test_what_is_wrong_is_raised_at_the_call_and_nothing_is_queued(ledger, client, wrong, error):
    before = client.dbsize()

    with pytest.raises(error):
        initiate_verification.delay(**wrong)

    assert client.dbsize() == before


@pytest.mark.parametrize(
    "option", ["link", "link_error", "eta", "countdown", "expires", "task_id", "chord", "time_limit", "serializer"]
)
def test_options_that_would_work_around_the_ledger_are_refused_by_name(option):
    with pytest.raises(InvalidRequest) as caught:
        initiate_verification.apply_async((fresh_number(),), **{option: 5})

    assert caught.value.field == option
    assert len(caught.value.remedy) > 20


def test_canvas_is_refused_and_says_what_to_do_instead(ledger):
    signature = initiate_verification.s(fresh_number())

    for canvas in (chain(signature, signature), group(signature)):
        with pytest.raises(InvalidRequest, match="enqueue"):
            canvas.apply_async()
    assert ledger.read(signature.args[0]) is None


def test_a_direct_call_is_refused_since_nothing_would_guard_it():
    with pytest.raises(InvalidRequest, match="delay"):
        initiate_verification(fresh_number())
    with pytest.raises(InvalidRequest, match="delay"):
        initiate_verification.apply((fresh_number(),))
    for enqueue_many in (initiate_verification.map, initiate_verification.starmap, initiate_verification.chunks):
        with pytest.raises(InvalidRequest, match="delay"):
            enqueue_many([fresh_number()])


def test_a_callers_options_neither_unmask_the_message_nor_undo_what_was_accepted(ledger, caplog):
    number = fresh_number()
    result = initiate_verification.apply_async((number,), argsrepr=number, ignore_result=False, headers={"x": object()})

    assert result.state == "QUEUED"
    assert "not sent" in caplog.text
    assert number not in caplog.text
    result.revoke()


@pytest.mark.parametrize("lane", Lane)
def test_the_queue_is_the_lane(ledger, lane):
    number = fresh_number()
    initiate_verification.apply_async((number,), queue=f"ringproof.{lane}").revoke()

    assert ledger.read(number).lane is lane


def test_a_queue_that_is_none_of_ours_is_refused():
    with pytest.raises(InvalidRequest, match=r"ringproof\.interactive"):
        initiate_verification.apply_async((fresh_number(),), queue="celery")


def test_a_resend_inside_the_cooldown_raises_until_when(plivo, worker, publish):
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=30)
    publish(cooldown_ms=60_000)

    with pytest.raises(CoolingDown) as caught:
        initiate_verification.delay(number, resend=True)

    assert 0 < caught.value.until.timestamp() - time.time() <= 60.1
    assert len(plivo.sends(number)) == 1


def test_a_resend_after_the_cooldown_sends_another_code(plivo, worker):
    number = fresh_number()
    first = initiate_verification.delay(number).get(timeout=30)

    def resent():
        try:
            return initiate_verification.delay(number, resend=True)
        except CoolingDown:
            return None

    second = eventually(resent, within=30).get(timeout=30)

    assert second["verification_uuid"] != first["verification_uuid"]
    assert len(plivo.sends(number)) == 2


def test_a_message_carries_no_number_in_what_logs_and_events_show(ledger, client):
    number = fresh_number()
    with pytest.MonkeyPatch.context() as patch:
        sent = {}
        patch.setattr(app, "send_task", lambda *_, **options: sent.update(options))
        initiate_verification.delay(number, alias="Front desk").revoke()

    assert sent["argsrepr"] == f"('+1•••••••{number[-2:]}',)"
    assert number not in json.dumps({name: str(value) for name, value in sent.items()})
    assert sent["ignore_result"] is True


def test_a_foreign_application_sends_by_name(ledger, plivo, worker, foreign):
    number = fresh_number()
    result = send(foreign, f"+1 ({number[2:5]}) {number[5:8]}-{number[8:]}", alias="From afar")

    assert result.get(timeout=30) is None, "the record is the result"
    eventually(lambda: ledger.read(number).state is State.CODE_SENT)
    record = ledger.read(number)
    assert (record.alias, record.lane) == ("From afar", Lane.INTERACTIVE)
    assert len(plivo.sends(number)) == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "name"),
    [
        (["1.41555E+10"], {}, "InvalidNumber"),
        ([{"number": 1}], {}, "InvalidNumber"),
        ([], {}, "InvalidRequest"),
        (["+14155550123", None, "fax"], {}, "InvalidRequest"),
        (["+14155550123"], {"colour": "red"}, "InvalidRequest"),
        (["+14155550123"], {"alias": "x" * 10_000_000}, "InvalidRequest"),
        ([{"a": "dict"}], {"request": 5}, "InvalidRequest"),
        (["+14155550123", "Front desk"], {"request": 5}, "InvalidRequest"),
        (["+14155550123"], {"request": "five"}, "InvalidRequest"),
    ],
    ids=[
        "excel",
        "a dict",
        "nothing",
        "a fax",
        "an unknown keyword",
        "ten megabytes",
        "ours, a dict",
        "ours, more",
        "ours, odd",
    ],
)
def test_a_foreign_message_that_is_wrong_ends_in_its_typed_error(worker, foreign, args, kwargs, name):
    result = send(foreign, *args, **kwargs)

    with pytest.raises(InvalidRequest) as caught:
        result.get(timeout=30)

    assert type(caught.value).__name__ == name
    assert len(caught.value.message) < 350


def test_a_foreign_message_delivered_twice_is_one_request(ledger, plivo, worker, foreign):
    number = fresh_number()
    options = {"queue": "ringproof.interactive", "argsrepr": "(…)", "task_id": f"the-same-{number}"}
    for _ in range(3):
        foreign.send_task("initiate_verification", [number], {"resend": True}, **options)
    last = fresh_number()
    send(foreign, last).get(timeout=30)
    eventually(lambda: plivo.sends(number), within=30)

    assert len(plivo.sends(number)) == 1
    assert [change.state for change in ledger.read(number).history].count(State.QUEUED) == 1


def test_two_foreign_messages_with_one_id_are_two_requests_for_two_numbers(ledger, plivo, worker, foreign):
    numbers = [fresh_number(), fresh_number()]
    for number in numbers:
        foreign.send_task(
            "initiate_verification", [number], queue="ringproof.interactive", argsrepr="(…)", task_id="one-id"
        )

    eventually(lambda: all((r := ledger.read(n)) and r.state is State.CODE_SENT for n in numbers))


def test_a_freeze_of_redis_neither_loses_a_foreign_number_nor_leaves_a_doubt(plivo, environ, tmp_path):
    numbers = [fresh_number() for _ in range(40)]
    with RedisServer() as server:
        there = Ledger(connect(server.url))
        other = Celery("foreign", broker=server.url, set_as_current=False)
        own = environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_RATE": "20/0.5s"}
        # With a beat: who missed its slot when Redis froze goes back, and is due to the sweep.
        with stopped(Worker(tmp_path / "worker.log", own, tmp_path, "-B", concurrency=3)):
            for number in numbers:
                send(other, number)
            eventually(lambda: len(plivo.sends()) > 5)
            server.freeze()
            try:
                began = time.monotonic()
                eventually(lambda: time.monotonic() - began > 4, why="past a command's time-out")
            finally:
                server.thaw()

            def states():
                return [record and record.state for record in there.read_many([(number, None) for number in numbers])]

            # Of a message that no worker has received nobody knows. A thawed Redis answers a BRPOP of before, and takes
            # a message off the queue, although nobody reads that answer any more (celery/kombu#305).
            eventually(lambda: len(numbers) - states().count(State.CODE_SENT) <= 1, within=60)
            eventually(lambda: set(states()) <= {State.CODE_SENT, None}, within=60)
        there.client.close()

    sent = [send["phone_number"] for send in plivo.sends()]
    assert len(sent) == len(set(sent)) >= len(numbers) - 1


def test_our_own_message_delivered_again_sends_nothing_more(ledger, plivo, worker, foreign):
    number = fresh_number()
    result = initiate_verification.delay(number)
    result.get(timeout=30)
    request = int(result.id.partition("/")[2])
    for _ in range(3):
        send(foreign, number, request=request).get(timeout=30)

    assert len(plivo.sends(number)) == 1


def test_a_redis_that_refuses_is_reported_within_a_second(elsewhere):
    took = []
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        elsewhere(f"redis://:hunter2@127.0.0.1:{port}/0")
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(LedgerUnavailable) as caught:
                initiate_verification.delay(fresh_number())
            took.append(time.monotonic() - began)

    assert min(took) < 1, "the quickest: a machine may stand still"
    assert f"redis://:•••@127.0.0.1:{port}/0" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_frozen_redis_is_reported_within_eight_seconds(elsewhere):
    with RedisServer() as server:
        ledger = elsewhere(server.url)
        ledger.ping()
        server.freeze()
        began = time.monotonic()
        try:
            with pytest.raises(LedgerUnavailable, match=str(server.port)):
                initiate_verification.delay(fresh_number())
        finally:
            server.thaw()

        assert time.monotonic() - began < 8


def test_a_message_that_cannot_be_sent_is_logged_and_the_request_stands(ledger, monkeypatch, caplog):
    number = fresh_number()

    def refused(*_, **__):
        raise ConnectionRefusedError("no broker")

    monkeypatch.setattr(app, "send_task", refused)
    result = initiate_verification.delay(number)

    assert result.state == "QUEUED"
    assert "the sweep sends it again" in caplog.text
    assert number not in caplog.text
    result.revoke()


def enqueue(numbers):
    """Enqueue, in a process of its own."""
    for number in numbers:
        initiate_verification.delay(number)


NOTATIONS = (
    lambda n: f"+1 ({n[2:5]}) {n[5:8]}-{n[8:]}",
    lambda n: f"tel:{n}",
    lambda n: "+" + "".join(chr(ord(digit) - ord("0") + ord("０")) for digit in n[1:]),
)


def test_two_hundred_numbers_three_times_each_from_four_processes_are_two_hundred_codes(ledger, plivo, worker):
    numbers = [fresh_number() for _ in range(200)]
    written = [write(number) for number in numbers for write in NOTATIONS]
    random.Random(7).shuffle(written)

    with multiprocessing.get_context("spawn").Pool(4) as processes:
        processes.map(enqueue, [written[start::4] for start in range(4)])
    eventually(lambda: all(ledger.read(number).state is State.CODE_SENT for number in numbers), within=60)

    sent = [send["phone_number"] for send in plivo.sends() if send["phone_number"] in numbers]
    assert sorted(sent) == sorted(numbers)


def test_a_killed_child_in_mid_send_leaves_one_code_and_a_record_that_says_so(ledger, plivo, environ, tmp_path):
    number = fresh_number()
    plivo.befall("timeout_after", number=number)
    with stopped(Worker(tmp_path / "worker.log", environ, tmp_path, "-Q", "ringproof.bulk", concurrency=1)) as own:
        (child,) = own.children()
        initiate_verification.apply_async((number,), queue="ringproof.bulk")
        eventually(lambda: plivo.sends(number), within=30)
        os.kill(child, signal.SIGKILL)
        # Redis delivers its message again, if the worker was so quick to kill that it had not acknowledged it.
        send_message(message_of(number, ledger.read(number).request, Lane.BULK))
        own.until_logged("nothing to send")

    record = ledger.read(number)
    assert len(plivo.sends(number)) == 1
    assert record.state is State.SENDING
    assert record.live_until > record.lease_until > record.updated_at

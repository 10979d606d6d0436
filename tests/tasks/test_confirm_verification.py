"""`confirm_verification`, from the code on the phone to the verified number, with a real worker and the sandbox."""

import copy
import json
import os
import pickle
import secrets
import signal
import time
import uuid
from datetime import timedelta

import pytest
from celery import Celery, chain
from celery.backends.redis import RedisBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError
from support.harness import Worker, eventually, fresh_number, stopped
from support.leaks import leaks

from ringproof import runtime
from ringproof.celery import backend
from ringproof.celery.app import app
from ringproof.errors import (
    AnotherRequest,
    CodeExpired,
    InvalidNumber,
    InvalidRequest,
    LedgerUnavailable,
    NotConfirmed,
    NothingPending,
    TooManyTries,
    Unconfirmed,
    WrongCode,
)
from ringproof.ledger import control
from ringproof.ledger.record import State
from tasks import confirm_verification, initiate_verification
from tasks.bulk import work_chunk
from tasks.sweep import sweep
from worker.local.demo.phones import Phones
from worker.local.processes.redis_server import RedisServer


@pytest.fixture
def number(plivo, worker):
    """A number that got a code."""
    number = fresh_number()
    initiate_verification.delay(number, alias="Front desk").get(timeout=60)
    return number


def code_of(plivo, number):
    return plivo.sends(number)[-1]["code"]


def wrong_of(plivo, number):
    code = code_of(plivo, number)
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def confirm(number, code, timeout=60):
    return confirm_verification.delay(number, code).get(timeout=timeout)


def asked(plivo, *operations):
    """How many requests of these operations Plivo got."""
    return sum(request["kind"] in operations for request in plivo.requests())


def test_a_phone_of_the_demo_enters_again_a_code_without_a_known_outcome(plivo, number):
    offered = [{"phone_number": number, "code": code_of(plivo, number)}]
    phones = Phones(lambda path: {"answers": offered[int(path.partition("=")[2]) :], "next": 1, "waiting": 0})
    plivo.befall("500_before", operation="complete", times=1)

    eventually(lambda: number in phones.update(), why="no answer came")

    assert phones.results == {number: None}
    assert not phones.is_busy
    assert asked(plivo, "complete") == 2


def test_a_wrong_code_and_then_the_right_one(plivo, ledger, number):
    with pytest.raises(WrongCode) as wrong:
        confirm(number, wrong_of(plivo, number))
    assert wrong.value.tries_left == 4
    assert ledger.read(number).state is State.CODE_SENT

    got = confirm(f"{number[:2]} ({number[2:5]}) {number[5:]}", code_of(plivo, number))

    record = ledger.read(number)
    assert (record.state, record.alias, record.country) == (State.VERIFIED, "Front desk", "US")
    assert got == {
        "state": "verified",
        "verification_uuid": record.verification_uuid,
        "country": "US",
        "verified_at": record.verified_at.isoformat(timespec="milliseconds"),
    }
    assert initiate_verification.AsyncResult(number).get(timeout=60)["state"] == "verified"
    assert initiate_verification.delay(number).get(timeout=60)["state"] == "verified", "and no code is sent any more"


def test_of_five_wrong_codes_the_last_says_so_and_the_sixth_is_not_asked_about(plivo, number):
    left = []
    for _ in range(5):
        with pytest.raises(WrongCode) as wrong:
            confirm(number, wrong_of(plivo, number))
        left.append(wrong.value.tries_left)
    before = asked(plivo, "complete")

    with pytest.raises(TooManyTries):
        confirm(number, code_of(plivo, number))
    assert left == [4, 3, 2, 1, 0]
    assert asked(plivo, "complete") == before == 5


def test_where_there_is_nothing_to_enter_plivo_is_not_asked(plivo, worker, ledger, client, number):
    before = len(plivo.requests())
    with pytest.raises(NothingPending) as unknown:
        confirm(fresh_number(), "1234")
    client.hset(f"ringproof:number:{number}", "expires_at", 1)
    with pytest.raises(CodeExpired):
        confirm(number, code_of(plivo, number))

    assert unknown.value.state == ""
    assert len(plivo.requests()) == before


def test_a_verified_number_takes_no_second_code(plivo, number):
    confirm(number, code_of(plivo, number))

    with pytest.raises(NothingPending) as again:
        confirm(number, code_of(plivo, number))
    assert again.value.state == "verified"


@pytest.mark.parametrize("kind", ["500_after", "reset_after"])
def test_a_lost_yes_is_found_by_a_get(plivo, ledger, number, kind):
    plivo.befall(kind, operation="complete", times=1)

    assert confirm(number, code_of(plivo, number))["state"] == "verified"
    assert ledger.read(number).state is State.VERIFIED
    assert (asked(plivo, "complete"), asked(plivo, "get")) == (1, 1)


def test_a_lost_no_is_no_yes_and_the_code_can_be_entered_again(plivo, ledger, number):
    plivo.befall("500_before", operation="complete", times=1)

    with pytest.raises(Unconfirmed):
        confirm(number, code_of(plivo, number))
    assert ledger.read(number).tries == 1
    assert confirm(number, code_of(plivo, number))["state"] == "verified"


def test_a_lost_yes_is_found_by_the_next_entry_which_proves_nothing(plivo, ledger, number):
    plivo.befall("500_after", operation="complete", times=1)
    plivo.befall("503", operation="get", times=1)
    with pytest.raises(Unconfirmed):
        confirm(number, code_of(plivo, number))

    with pytest.raises(NothingPending) as found:
        confirm(number, wrong_of(plivo, number))
    assert found.value.state == "verified"
    assert ledger.read(number).state is State.VERIFIED
    assert asked(plivo, "complete") == 1


@pytest.mark.parametrize("kind", ["503", "402", "403", "429"])
def test_a_refusal_costs_no_try(plivo, ledger, client, number, kind):
    plivo.befall(kind, operation="complete", times=1)
    client.hdel("ringproof:pace", "closed")  # by a 429 of another test

    with pytest.raises(Unconfirmed):
        confirm(number, code_of(plivo, number))
    assert ledger.read(number).tries == 0
    assert client.hexists("ringproof:pace", "closed") == (kind == "429"), "all workers wait"
    assert confirm(number, code_of(plivo, number))["state"] == "verified"


def test_a_401_is_heard_and_while_it_lasts_plivo_is_not_asked(plivo, ledger, client, number):
    plivo.befall("401", operation="complete", times=1)
    try:
        for _ in range(2):
            with pytest.raises(Unconfirmed):
                confirm(number, code_of(plivo, number))
        assert client.hexists("ringproof:pauses", "credentials")
        assert (asked(plivo, "complete"), ledger.read(number).tries) == (1, 0)
    finally:
        control.resume(ledger)

    assert confirm(number, code_of(plivo, number))["state"] == "verified"


def test_two_people_who_enter_the_code_at_once_have_one_winner(plivo, ledger, number):
    both = [confirm_verification.delay(number, code_of(plivo, number)) for _ in range(2)]
    results = [one.get(timeout=60, propagate=False) for one in both]

    assert sorted(type(one).__name__ for one in results) in (["NothingPending", "dict"], ["WrongCode", "dict"])
    assert ledger.read(number).state is State.VERIFIED


def test_a_worker_that_dies_in_the_midst_of_it_is_followed_by_one_that_looks(environ, plivo, ledger, tmp_path):
    number = fresh_number()
    options = ("-Q", "ringproof.interactive")
    with stopped(Worker(tmp_path / "worker.log", environ, tmp_path, *options, concurrency=2)) as own:
        initiate_verification.delay(number).get(timeout=60)
        plivo.befall("timeout_after", operation="complete", times=1)
        result = confirm_verification.delay(number, code_of(plivo, number))
        eventually(lambda: asked(plivo, "complete"))  # it has taken the code by then, and says nothing
        for child in own.children():
            os.kill(child, signal.SIGKILL)

        assert result.get(timeout=60)["state"] == "verified"
        assert asked(plivo, "complete") == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("+1 415 555", "1234"), InvalidNumber),
        (("+14155550123", "12"), InvalidRequest),
        (("+14155550123", 1234), InvalidRequest),
        (("+14155550123",), InvalidRequest),
        (("+14155550123", "1234", None, "5678"), InvalidRequest),
        (("+14155550123", "1234", None, None), InvalidRequest),
        (("+14155550123", "1234", None, ""), InvalidRequest),
        (("+14155550123", "1234", None, "+14155550123"), InvalidRequest),
        (("+14155550123", "1234", None, "+14155550124/1764374400"), InvalidRequest),
        (("+14155550123", "1234", None, 1764374400), InvalidRequest),
        (("+14155550123", "1234", None, "+14155550123/1764374400", "US"), InvalidRequest),
    ],
)
def test_what_is_wrong_is_raised_at_the_call_shows_no_code_and_leaves_none(client, arguments, error):
    def left():
        keys = {key for key in client.scan_iter("ringproof:*") if not key.startswith("ringproof:token:")}  # a worker's
        return keys | {*client.lrange("ringproof.interactive", 0, -1)}

    before = left()
    with pytest.raises(error) as caught:
        confirm_verification.delay(*arguments)

    assert not {"12", "1234", "5678"} & set(str(caught.value).replace(",", " ").split())
    assert left() <= before


@pytest.mark.parametrize("option", ["link", "chord", "countdown", "eta", "expires", "serializer", "queue"])
def test_options_that_would_hold_it_up_or_carry_the_code_are_refused(option):
    with pytest.raises(InvalidRequest) as caught:
        confirm_verification.apply_async((fresh_number(), "1234"), **{option: "5"})

    assert caught.value.field == option


def test_it_is_called_by_delay_and_in_no_other_way():
    for call in (confirm_verification, confirm_verification.apply, confirm_verification.map):
        with pytest.raises(InvalidRequest):
            call(fresh_number(), "1234")
    with pytest.raises(InvalidRequest):
        chain(confirm_verification.si(fresh_number(), "1234"), initiate_verification.si(fresh_number())).apply_async()


def test_a_foreign_application_leaves_the_code_itself_and_one_that_sends_it_is_refused(plivo, client, number, worker):
    other = Celery("foreign", broker=runtime.settings().redis_url.get_secret_value(), set_as_current=False)
    handle = secrets.token_hex(16)
    client.set(f"ringproof:code:{handle}", code_of(plivo, number), ex=60)
    carried = other.send_task("confirm_verification", [number, "98765432"], queue="ringproof.interactive")
    sent = other.send_task("confirm_verification", [number], {"handle": handle}, queue="ringproof.interactive")

    assert app.AsyncResult(sent.id).get(timeout=60)["state"] == "verified"
    with pytest.raises(InvalidRequest):
        app.AsyncResult(carried.id).get(timeout=60)
    assert not leaks("98765432", worker.log, str(client.get(f"celery-task-meta-{carried.id}")))


def test_a_foreign_application_may_leave_the_code_as_its_user_pasted_it(plivo, client, number, worker, ledger):
    other = Celery("foreign", broker=runtime.settings().redis_url.get_secret_value(), set_as_current=False)

    def enter(pasted):
        handle = secrets.token_hex(16)
        client.set(f"ringproof:code:{handle}", pasted, ex=60)
        sent = other.send_task("confirm_verification", [number], {"handle": handle}, queue="ringproof.interactive")
        return app.AsyncResult(sent.id)

    code = code_of(plivo, number)
    refused = enter(f"code {code}")
    with pytest.raises(InvalidRequest) as caught:
        refused.get(timeout=60)
    assert not leaks(code, repr(caught.value), str(client.get(f"celery-task-meta-{refused.id}")), worker.log)
    assert ledger.read(number).tries == 0, "Plivo was not asked"

    assert enter("\u200e" + " - ".join(code) + "\n").get(timeout=60)["state"] == "verified"


def test_a_code_is_confirmed_for_the_request_that_it_was_sent_for(plivo, worker, ledger):
    number = fresh_number()
    first = initiate_verification.delay(number)
    first.get(timeout=60)
    eventually(lambda: time.sleep(0.1) or ledger.now() > ledger.read(number).code_sent_at + timedelta(seconds=1))
    stranger = initiate_verification.delay(number, resend=True)
    stranger.get(timeout=60)
    code = code_of(plivo, number)
    with pytest.raises(AnotherRequest) as caught:
        confirm_verification.delay(number, code, request=first.id).get(timeout=60)

    assert not leaks(code, str(caught.value))
    assert asked(plivo, "complete") == 0
    assert confirm_verification.delay(number, code, request=stranger.id).get(timeout=60)["state"] == "verified"
    assert ledger.read(number).is_verified


@pytest.mark.parametrize("region", ["", " ", None])
def test_a_pasted_code_and_an_empty_region_are_read_as_they_are_meant(plivo, number, worker, region):
    code = code_of(plivo, number)
    pasted = "".join(chr(0x0660 + int(digit)) for digit in code)

    assert confirm_verification.delay(number, f"\u202b{pasted}\u202c ", region).get(timeout=60)["state"] == "verified"


def test_without_a_redis_it_says_so(monkeypatch):
    monkeypatch.setenv("RINGPROOF_REDIS_URL", "redis://127.0.0.1:1/0")
    runtime._ledger.cache_clear()
    try:
        with pytest.raises(LedgerUnavailable):
            confirm_verification.delay(fresh_number(), "1234")
    finally:
        runtime.ledger().client.close()
        runtime._ledger.cache_clear()


def test_its_errors_are_of_one_branch_and_its_result_is_kept_for_a_day(client, worker, plivo):
    result = confirm_verification.delay(fresh_number(), "1234")
    with pytest.raises(NotConfirmed):
        result.get(timeout=60)

    assert 0 < client.ttl(f"celery-task-meta-{result.id}") <= 86_400


def test_a_result_that_outlives_all_else_connects_to_nothing_while_python_ends(monkeypatch, worker, plivo):
    result = confirm_verification.delay(fresh_number(), "1234")
    result.get(timeout=60, propagate=False)
    monkeypatch.setattr(RedisBackend, "remove_pending_result", lambda *_: pytest.fail("it connects"))

    assert app.backend.remove_pending_result(result) is result


@pytest.fixture
def without_worker(monkeypatch):
    """A Redis without a worker, which this process uses."""
    with RedisServer() as server:
        monkeypatch.setenv("RINGPROOF_REDIS_URL", server.url)
        monkeypatch.setattr(app, "read_settings", runtime.settings)
        runtime._ledger.cache_clear()
        try:
            yield server
        finally:
            runtime.ledger().client.close()
            runtime._ledger.cache_clear()


def test_a_wait_of_no_time_ends_at_once_and_a_result_is_read_again_later(without_worker):
    result = app.AsyncResult(str(uuid.uuid4()))  # as of a confirmation that no worker has taken
    began = time.monotonic()
    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0)
    assert time.monotonic() - began < 5
    meta = {
        "status": "SUCCESS",
        "result": {"state": "verified"},
        "task_id": result.id,
        "children": [],
        "traceback": None,
    }
    runtime.ledger().client.set(app.backend.get_key_for_task(result.id), json.dumps(meta))

    assert result.get(timeout=0) == {"state": "verified"}


@pytest.mark.parametrize("timeout", [0, 1, None])
def test_a_wait_without_a_redis_says_so_in_the_librarys_own_words(without_worker, monkeypatch, timeout):
    monkeypatch.setattr(backend, "AWAY_SECONDS", 1.0)
    result = app.AsyncResult(str(uuid.uuid4()))
    without_worker.kill()

    with pytest.raises(LedgerUnavailable):
        result.get(timeout=timeout)
    with pytest.raises(LedgerUnavailable):
        assert result.state
    without_worker.restart()
    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0)


@pytest.mark.parametrize("task", [confirm_verification, initiate_verification, work_chunk, sweep])
def test_a_task_that_was_pickled_or_copied_is_the_same_task(task):
    for other in (pickle.loads(pickle.dumps(task)), copy.copy(task), copy.deepcopy(task)):
        assert other.name == task.name
        assert other.app is app


@pytest.mark.parametrize("task", [confirm_verification, initiate_verification, work_chunk, sweep])
def test_a_signature_that_was_pickled_or_copied_is_of_the_same_task(task):
    signature = task.s("+14155550123").set(queue="ringproof.bulk")
    for one in (signature, task.si("+14155550123"), signature.clone(("more",))):
        for other in (pickle.loads(pickle.dumps(one)), copy.copy(one)):
            assert other == one
            assert (other.type.name, other.app) == (task.name, app)

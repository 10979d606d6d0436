"""The result, keyed by phone number: what `.get()`, `.info` and `.state` say, to whom, and when."""

import asyncio
import copy
import pickle
import secrets
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import GroupResult, ResultSet, allow_join_result, denied_join_result
from support.harness import Worker, eventually, fresh_number, stopped

from ringproof import runtime
from ringproof.celery import backend
from ringproof.celery.app import app
from ringproof.celery.backend import Verification
from ringproof.celery.meta import CELERY_STATES
from ringproof.errors import Cancelled, InDoubt, InvalidRequest, Rejected, Superseded
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.answers import Outcome, Settled
from ringproof.ledger.confirmation import Source, mark_verified
from ringproof.ledger.record import Lane, Reason, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy, Rate
from ringproof.results import OF_A_REQUEST, VerificationRecord
from tasks import initiate_verification
from worker.local.processes.redis_server import RedisServer

UUID = "11111111-2222-3333-4444-555555555555"
SENT = Outcome(State.CODE_SENT, verification_uuid=UUID, api_id=UUID)
FIELDS = set(VerificationRecord.__annotations__)


def settle(ledger, result, outcome=SENT):
    """Do what a worker does, without one."""
    number, _, request = result.id.partition("/")
    begun = ledger.begin([(number, int(request))])[0]
    time.sleep(begun.wait.total_seconds())
    assert ledger.settle(number, int(request), begun.fence, outcome) is Settled.SETTLED


def ask(ledger, number=None, kind=RequestKind.PERSON, **facts):
    """Enqueue without a message, so that no worker takes it."""
    number = number or fresh_number()
    accepted = ledger.accept(number, token=secrets.token_hex(4), kind=kind, country="US", **facts)
    return initiate_verification.AsyncResult(f"{number}/{accepted.request}")


def test_a_sent_code_is_a_dict(ledger, plivo, worker):
    number = fresh_number()
    got = initiate_verification.delay(number, alias="Front desk").get(timeout=30)

    (send,) = plivo.sends(number)
    assert set(got) == FIELDS
    assert got["verification_uuid"] == send["verification_uuid"]
    assert (got["phone_number"], got["state"], got["alias"]) == (number, "code_sent", "Front desk")
    assert (got["country"], got["channel"], got["subaccount"], got["attempts"]) == ("US", "sms", None, 1)
    assert got["message"] == f"Verification code is sent to number {number} which is valid for 15 minutes"


@pytest.mark.parametrize("notation", ["{}", "+1 ({1}) {2}-{3}", "tel:+1-{1}-{2}-{3}", "+1{1}{2}{3}", "{0}/{request}"])
def test_the_newest_result_is_found_by_the_number_in_any_notation(ledger, notation):
    number = fresh_number()
    result = ask(ledger, number)
    settle(ledger, result)
    written = notation.format(number, number[2:5], number[5:8], number[8:], request=result.id.partition("/")[2])

    assert initiate_verification.AsyncResult(written).get(timeout=30)["verification_uuid"] == UUID


def test_any_async_result_of_the_app_reads_the_record_by_its_id(ledger):
    result = ask(ledger)
    settle(ledger, result)

    assert app.AsyncResult(result.id).get(timeout=30)["verification_uuid"] == UUID


def test_an_unready_result_shows_the_record(ledger):
    number = fresh_number()
    result = ask(ledger, number, alias="Front desk")

    assert not result.ready()
    assert (result.state, result.info["state"], result.info["alias"]) == ("QUEUED", "queued", "Front desk")
    begun = ledger.begin([(number, int(result.id.partition("/")[2]))])[0]
    assert result.state == "STARTED"
    wait = Outcome(State.WAITING, Reason.UNREACHABLE, wait=timedelta(minutes=1))
    ledger.settle(number, begun.record.request, begun.fence, wait)
    assert (result.state, result.info["reason"]) == ("WAITING", "unreachable")
    assert result.info["due_at"] == ledger.read(number).due_at.isoformat(timespec="milliseconds")


def test_a_number_without_a_request_is_pending(ledger):
    assert initiate_verification.AsyncResult(fresh_number()).state == "PENDING"


def test_get_gives_up_after_its_timeout(ledger):
    result, took = ask(ledger), []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(CeleryTimeoutError):
            result.get(timeout=0.3)
        took.append(time.monotonic() - began)

    assert min(took) >= 0.3
    assert min(took) < 1, "the quickest: a machine may stand still"


def test_a_refusal_by_plivo_raises_its_typed_error(ledger):
    result = ask(ledger)
    settle(ledger, result, Outcome(State.FAILED, Reason.REJECTED, "400 phone_number is invalid"))

    with pytest.raises(Rejected) as caught:
        result.get(timeout=30)

    assert caught.value.detail == "400 phone_number is invalid"
    assert (result.state, result.failed()) == ("FAILURE", True)
    assert isinstance(result.get(propagate=False), Rejected)


def test_doubt_raises_in_doubt_with_its_end_and_asking_again_sends_nothing(ledger):
    number = fresh_number()
    settle(ledger, ask(ledger, number), Outcome(State.IN_DOUBT, detail="504"))
    again = ask(ledger, number)

    with pytest.raises(InDoubt) as caught:
        again.get(timeout=30)

    assert caught.value.until == ledger.read(number).live_until


def test_a_result_can_be_taken_back_until_it_has_begun(ledger):
    result = ask(ledger)

    assert result.revoke() is Settled.SETTLED
    assert result.state == "REVOKED"
    with pytest.raises(Cancelled):
        result.get(timeout=30)
    with pytest.raises(InvalidRequest, match="terminate"):
        result.revoke(terminate=True)
    assert initiate_verification.AsyncResult(fresh_number()).revoke() is Settled.STALE


def test_two_requests_for_one_number_give_each_its_own_result(ledger):
    number = fresh_number()
    first = ask(ledger, number)
    settle(ledger, first, Outcome(State.FAILED, Reason.REJECTED, "400"))
    second = ask(ledger, number)
    settle(ledger, second)

    with pytest.raises(Rejected):
        first.get(timeout=30)
    assert second.get(timeout=30)["verification_uuid"] == UUID
    assert initiate_verification.AsyncResult(number).get(timeout=30)["verification_uuid"] == UUID
    assert first.id != second.id


@pytest.fixture
def asked(ledger, monkeypatch):
    """Ask by `.delay`, without a message, so that no worker takes it."""
    monkeypatch.setattr("ringproof.celery.verification.send_message", lambda *_, **__: True)
    ledger.publish_policy(Policy(rate=Rate.parse("1000/0.1s"), cooldown_ms=0, range_codes_per_hour=0))
    return initiate_verification.delay


def test_a_result_that_was_not_accepted_shows_nothing_of_anothers_request(asked, ledger):
    number = fresh_number()
    first = asked(number, alias="The tenant", subaccount="SA" + "x" * 18)
    second = asked(number, alias="A stranger")
    assert second.id == first.id
    assert [second.info[name] for name in OF_A_REQUEST] == [None] * 4
    settle(ledger, first)

    for result in (second, asked(number), copy.copy(second), pickle.loads(pickle.dumps(second))):
        assert [result.get(timeout=30)[name] for name in OF_A_REQUEST] == [None] * 4
        assert result.get(timeout=30).keys() == FIELDS
        assert result.get(timeout=30)["state"] == "code_sent"
    assert first.get(timeout=30)["alias"] == "The tenant"
    assert pickle.loads(pickle.dumps(first)).get(timeout=30)["verification_uuid"] == UUID


def test_a_person_who_takes_over_a_row_sees_nothing_of_it(asked, ledger):
    row = ask(ledger, kind=RequestKind.ROSTER, lane=Lane.BULK, alias="The tenant")
    promoted = asked(row.id.partition("/")[0])

    assert promoted.id == row.id
    assert promoted.info["alias"] is None


def test_the_result_of_a_resend_is_not_verified_by_what_was_verified_before(asked, ledger):
    number = fresh_number()
    first = asked(number)
    settle(ledger, first)
    owner = VerifiedNumber(number, "", "US", None, None, "", UUID)
    mark_verified(ledger, [owner], "handle")
    stranger = asked(number, resend=True)
    settle(ledger, stranger, Outcome(State.CODE_SENT, verification_uuid="another", api_id="another"))
    ledger.client.hset(ledger.keys.record(number), mapping={"expires_at": 1, "live_until": 1, "state": "verified"})

    assert ledger.read(number).is_verified
    assert stranger.get(timeout=30)["state"] == "expired"
    assert first.get(timeout=30)["state"] == "verified"
    assert asked(number).get(timeout=30)["state"] == "verified", "where the number stands"
    assert initiate_verification.AsyncResult(number).get(timeout=30)["state"] == "verified"


@pytest.mark.parametrize("is_sent", [True, False])
def test_the_result_of_a_resend_is_not_verified_by_the_code_of_an_earlier_request(asked, ledger, is_sent):
    number = fresh_number()
    settle(ledger, asked(number))
    stranger = asked(number, resend=True)
    if is_sent:
        settle(ledger, stranger, Outcome(State.CODE_SENT, verification_uuid="another", api_id="another"))
    mark_verified(ledger, [VerifiedNumber(number, "", "US", None, None, "", UUID)], "handle of the first code")

    assert ledger.read(number).state is State.VERIFIED
    if is_sent:
        assert stranger.get(timeout=30)["state"] == "expired"
    else:
        with pytest.raises(Cancelled):
            stranger.get(timeout=30)


def test_the_result_of_a_failed_request_is_not_verified_by_a_sync(asked, ledger):
    number = fresh_number()
    stranger = asked(number)
    settle(ledger, stranger, Outcome(State.FAILED, Reason.REJECTED, "400"))
    mark_verified(ledger, [VerifiedNumber(number, "", "US", None, None, "", UUID)], source=Source.LIST)

    assert ledger.read(number).is_verified
    assert stranger.get(timeout=30)["state"] == "expired"


def test_an_earlier_result_keeps_its_uuid_after_a_resend(ledger, client):
    number = fresh_number()
    first = ask(ledger, number)
    settle(ledger, first)
    client.hset(f"ringproof:number:{number}", "code_sent_at", "1")  # long ago
    client.hset(f"ringproof:number:{number}", "live_until", "1")
    second = ask(ledger, number, RequestKind.RESEND)
    settle(ledger, second, Outcome(State.CODE_SENT, verification_uuid="another", api_id="another"))

    assert first.get(timeout=30)["verification_uuid"] == UUID
    assert second.get(timeout=30)["verification_uuid"] == "another"


def test_an_outcome_that_is_no_longer_kept_says_so_instead_of_waiting_for_ever(ledger, client):
    number = fresh_number()
    first = ask(ledger, number)
    first.revoke()
    second = ask(ledger, number)
    client.delete(f"ringproof:earlier:{number}")

    with pytest.raises(Superseded):
        initiate_verification.AsyncResult(first.id).get(timeout=30)
    assert not second.ready()


def test_only_what_is_final_is_remembered_and_nothing_by_the_bare_number(ledger, client):
    number = fresh_number()
    result, newest = ask(ledger, number), initiate_verification.AsyncResult(number)
    settle(ledger, result)
    assert result.get(timeout=30)["state"] == newest.get(timeout=30)["state"] == "code_sent"
    verified = {"state": "verified", "verified_at": 1000 * int(time.time() + 60)}
    client.hset(f"ringproof:number:{number}", mapping=verified)
    assert result.get(timeout=30)["state"] == newest.get(timeout=30)["state"] == "verified"
    client.hset(f"ringproof:number:{number}", "state", "expired")

    assert result.get(timeout=30)["state"] == "verified"
    assert newest.get(timeout=30)["state"] == "expired"


def test_a_result_set_collects_them(ledger):
    results = [ask(ledger) for _ in range(3)]
    for result in results:
        settle(ledger, result)

    assert [got["verification_uuid"] for got in ResultSet(results).get(timeout=30)] == [UUID] * 3


def test_a_result_prints_masked(ledger):
    result = ask(ledger)

    assert result.id.startswith("+1415")
    for text in (str(result), repr(result), f"{result}"):
        assert "•••••••" in text
        assert "415" not in text.partition("/")[0]


def test_every_state_has_its_celery_state():
    assert set(CELERY_STATES) == set(State)


def test_fifty_waiting_threads_each_wake_when_theirs_is_settled_and_not_at_their_next_look(ledger, monkeypatch):
    monkeypatch.setattr(backend, "REREAD_SECONDS", 3600.0)
    results = [ask(ledger) for _ in range(50)]
    woke, settled, waiting = {}, {}, threading.Barrier(51)

    def wait(result: Verification) -> None:
        waiting.wait()
        result.get(timeout=60)
        woke[result.id] = time.monotonic()

    threads = [threading.Thread(target=wait, args=(result,)) for result in results]
    for thread in threads:
        thread.start()
    waiting.wait()
    channels = [ledger.keys.events_channel(result.id.partition("/")[0]) for result in results]
    eventually(lambda: all(count for _, count in ledger.client.pubsub_numsub(*channels)), within=60)
    for result in results:
        settle(ledger, result)
        settled[result.id] = time.monotonic()
    for thread in threads:
        thread.join(60)

    late = sorted(woke[name] - settled[name] for name in settled)
    assert len(woke) == 50
    assert late[0] < 0.1, f"the quickest of fifty woke after {late[0] * 1000:.0f} ms"


def test_a_restart_of_redis_in_the_middle_of_get_does_not_hang_it(monkeypatch):
    with RedisServer(appendfsync="always") as server:
        monkeypatch.setenv("RINGPROOF_REDIS_URL", server.url)
        runtime._ledger.cache_clear()
        try:
            ledger = runtime.ledger()
            ledger.publish_policy(Policy(rate=Rate.parse("1000/0.1s")))
            number = fresh_number()
            accepted = ledger.accept(number, token="t")
            result = initiate_verification.AsyncResult(f"{number}/{accepted.request}")
            got = []
            thread = threading.Thread(target=lambda: got.append(result.get(timeout=60)))
            thread.start()
            eventually(lambda: ledger.client.pubsub_numsub(ledger.keys.events_channel(number))[0][1], within=60)
            server.kill()
            server.restart()
            settle(ledger, result)
            thread.join(60)

            assert not thread.is_alive()
            assert got[0]["verification_uuid"] == UUID
        finally:
            ledger.client.close()
            runtime._ledger.cache_clear()


def test_hundreds_of_waiting_threads_do_not_keep_each_other_or_delay_from_redis(ledger):
    results = [ask(ledger) for _ in range(150)]
    woke = []
    threads = [threading.Thread(target=lambda r=r: woke.append(r.get(timeout=60))) for r in results]
    for thread in threads:
        thread.start()
    channels = [ledger.keys.events_channel(result.id.partition("/")[0]) for result in results]
    eventually(lambda: all(count for _, count in ledger.client.pubsub_numsub(*channels)), within=60)
    initiate_verification.apply_async((fresh_number(),), queue="ringproof.bulk").revoke()
    for result in results:
        settle(ledger, result)
    for thread in threads:
        thread.join(60)

    assert len(woke) == 150


def test_a_pickled_result_takes_no_password_along_and_is_the_same_result(ledger):
    result = ask(ledger)
    settle(ledger, result)
    pickled = pickle.dumps(result)
    restored = pickle.loads(pickled)

    assert b"redis" not in pickled
    assert (restored.id, restored.app) == (result.id, app)
    assert restored.get(timeout=30) == result.get(timeout=30)


def test_what_is_to_be_done_then_is_done_when_there_is_a_result(ledger):
    done = []
    result = ask(ledger)
    result.then(lambda got: done.append(got.id))
    settle(ledger, result)
    result.get(timeout=30)
    result.get(timeout=30)

    assert done == [result.id]


def test_the_environment_of_a_host_project_takes_neither_broker_nor_results_away(environ, worker, plivo, tmp_path):
    code = "from tasks import initiate_verification as v; print(v.delay('{}').get(timeout=60)['state'])"
    hostile = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "CELERY_RESULT_BACKEND": "cache+memory://"}
    done = subprocess.run(
        [sys.executable, "-c", code.format(fresh_number())],
        env=environ | hostile,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.stdout.strip() == "code_sent", done.stderr


def test_celerys_own_commands_show_no_password(environ, tmp_path):
    shown = ""
    with RedisServer(password="hunter2-of-redis") as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        with stopped(Worker(tmp_path / "worker.log", own, tmp_path, concurrency=1)) as running:
            for command in (["report"], ["inspect", "conf"], ["inspect", "report"], ["status"]):
                done = subprocess.run(
                    [sys.executable, "-m", "celery", "-A", "worker", *command],
                    env=own,
                    cwd=tmp_path,
                    capture_output=True,
                    text=True,
                    timeout=100,
                    check=True,
                )
                shown += done.stdout + done.stderr
        shown += running.log

    assert "prefork" in shown
    assert "hunter2" not in shown


def test_a_set_of_results_is_joined_by_either_of_celerys_methods(ledger):
    results = ResultSet([ask(ledger), ask(ledger)], app=app)
    for result in results:
        settle(ledger, result)

    for join in (results.join, results.join_native):
        assert [one["state"] for one in join(timeout=30)] == ["code_sent"] * 2
    with pytest.raises(CeleryTimeoutError):
        ResultSet([ask(ledger)], app=app).join_native(timeout=0.1)


def test_a_group_of_results_is_kept_found_and_forgotten(ledger):
    group = GroupResult(secrets.token_hex(8), [ask(ledger)], app=app)
    group.save()

    restored = GroupResult.restore(group.id, app=app)
    assert [one.id for one in restored] == [one.id for one in group]
    restored.delete()
    app.backend._cache.clear()
    assert GroupResult.restore(group.id, app=app) is None


def test_a_task_of_another_application_may_wait_if_it_says_so(ledger):
    result = ask(ledger)
    settle(ledger, result)

    with denied_join_result():  # as in the body of a task
        with pytest.raises(RuntimeError, match="within a task"):
            result.get(timeout=30)
        with allow_join_result():
            assert result.get(timeout=30)["state"] == "code_sent"


@pytest.mark.parametrize("timeout", [float("nan"), "10", [3]], ids=repr)
def test_a_time_that_is_none_is_refused_and_not_waited_for(ledger, timeout):
    verification = initiate_verification.AsyncResult(fresh_number())

    with pytest.raises(InvalidRequest, match="give seconds, such as 10"):
        verification.get(timeout=timeout)
    with pytest.raises(InvalidRequest, match="give seconds, such as 10"):
        asyncio.run(verification.wait(timeout=timeout))

"""Each of Celery's ways to revoke cancels the request, or says that it does not and what does."""

import secrets
import subprocess
import sys
import uuid

import pytest
from celery.result import AsyncResult, GroupResult, ResultSet
from celery.worker import state
from support.harness import eventually, fresh_number

from ringproof.celery.app import app
from ringproof.celery.messages import INITIATE, WORK_CHUNK, requests_of
from ringproof.errors import InvalidRequest, LedgerUnavailable
from ringproof.ledger.record import State
from ringproof.phone.masking import mask
from worker.celery import revocation

QUEUE = "ringproof.interactive"


def request(ledger, number=None):
    """Accept a request, and send no message: nobody begins it for half a minute. Return the id of its result."""
    number = number or fresh_number()
    return f"{number}/{ledger.accept(number, token=secrets.token_hex(4), country='US').request}"


def state_of(ledger, result_id):
    return ledger.read(result_id.partition("/")[0]).state


def begun(ledger):
    """Return the id of a request that a worker sends to."""
    one = request(ledger)
    number, _, number_of_request = one.partition("/")
    ledger.begin([(number, int(number_of_request))])
    return one


WAYS = {
    "app.control.revoke": lambda ids: app.control.revoke(ids),  # noqa: PLW0108  # the application is configured later
    "app.control.revoke of each": lambda ids: [app.control.revoke(one) for one in ids],
    "app.control.revoke of a tuple": lambda ids: app.control.revoke(tuple(ids), reply=True),
    "Celery's AsyncResult": lambda ids: [AsyncResult(one, app=app).revoke() for one in ids],
    "app.AsyncResult": lambda ids: [app.AsyncResult(one).revoke(wait=True, timeout=1) for one in ids],
    "ResultSet": lambda ids: ResultSet([app.AsyncResult(one) for one in ids]).revoke(),
    "GroupResult": lambda ids: GroupResult("a group", [app.AsyncResult(one) for one in ids], app=app).revoke(),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_id_of_a_result_cancels_its_request(ledger, way):
    ids = [request(ledger), request(ledger)]
    WAYS[way](ids)

    assert [state_of(ledger, one) for one in ids] == [State.CANCELLED] * 2


def test_a_bare_number_cancels_its_newest_request(ledger):
    one = request(ledger)
    app.control.revoke(one.partition("/")[0])

    assert state_of(ledger, one) is State.CANCELLED


@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_has_begun_is_named_masked(ledger, way):
    one = begun(ledger)
    with pytest.raises(InvalidRequest) as refused:
        WAYS[way]([one])

    assert mask(one.partition("/")[0]) in str(refused.value)
    assert one.partition("/")[0] not in str(refused.value)
    assert state_of(ledger, one) is State.SENDING


def test_of_many_all_that_have_not_begun_are_cancelled(ledger):
    ids = [request(ledger), *(begun(ledger) for _ in range(4)), request(ledger)]
    with pytest.raises(InvalidRequest, match="and 1 more"):
        ResultSet([app.AsyncResult(one) for one in ids]).revoke()

    assert [state_of(ledger, one) for one in ids] == [State.CANCELLED, *[State.SENDING] * 4, State.CANCELLED]


@pytest.mark.parametrize(
    "terminating",
    [
        lambda one: app.control.revoke(one, terminate=True),
        lambda one: app.control.terminate(one),  # noqa: PLW0108  # as above
        lambda one: app.AsyncResult(one).revoke(terminate=True, signal="KILL"),
        lambda one: ResultSet([app.AsyncResult(one)]).revoke(terminate=True),
        lambda _: app.control.revoke(str(uuid.uuid4()), terminate=True),
        lambda _: app.control.revoke_by_stamped_headers({"header": "value"}),
        lambda _: app.control.revoke_by_stamped_headers({"header": "value"}, terminate=True),
        lambda one: app.AsyncResult(one).revoke_by_stamped_headers({"header": "value"}),
    ],
)
def test_what_would_kill_a_process_or_find_nothing_raises_and_names_the_way(ledger, terminating):
    one = request(ledger)
    with pytest.raises(InvalidRequest, match="ringproof cancel NUMBER"):
        terminating(one)

    assert state_of(ledger, one) is State.QUEUED


class TestAWorker:
    """A worker answers the commands of `celery control` and of Flower's own application, and says the truth."""

    @pytest.fixture(autouse=True)
    def _worker(self, worker, plivo):
        self.worker, self.plivo = worker, plivo

    def answer_to(self, command, **arguments):
        """Return what the worker answers to a broadcast."""
        replies = app.control.broadcast(command, arguments=arguments, reply=True, timeout=10, limit=1)
        ((answer,),) = (reply.values() for reply in replies)
        return answer

    def test_cancels_by_the_id_of_a_result(self, ledger):
        ids = [request(ledger), request(ledger)]
        answer = self.answer_to("revoke", task_id=ids)

        assert [state_of(ledger, one) for one in ids] == [State.CANCELLED] * 2
        assert answer["ok"].count("cancelled") == 2
        assert not any(one.partition("/")[0] in str(answer) + self.worker.log for one in ids)
        assert "ok" in self.answer_to("revoke", task_id=ids[0]), "as each further worker answers"

    def test_says_that_a_send_has_begun(self, ledger):
        ids = [request(ledger), begun(ledger)]
        answer = self.answer_to("revoke", task_id=ids)

        assert "not cancelled" in answer["error"]
        assert [state_of(ledger, one) for one in ids] == [State.CANCELLED, State.SENDING]

    @pytest.mark.parametrize(
        ("command", "arguments"),
        [
            ("revoke", {"task_id": ["{}"], "terminate": True, "signal": "SIGKILL"}),
            ("terminate", {"task_id": ["{}"], "signal": "KILL"}),
            ("revoke_by_stamped_headers", {"headers": {"a": "b"}, "terminate": True}),
            ("revoke_by_stamped_headers", {"headers": ["a=b"]}),
        ],
    )
    def test_refuses_to_end_its_processes_and_names_the_way(self, ledger, command, arguments):
        one = request(ledger)
        answer = self.answer_to(command, **{k: [one] if v == ["{}"] else v for k, v in arguments.items()})

        assert "ringproof cancel NUMBER" in answer["error"]
        assert state_of(ledger, one) is State.QUEUED

    @pytest.mark.parametrize("task", [INITIATE, WORK_CHUNK])
    def test_drops_a_revoked_message_and_cancels_its_requests(self, ledger, task):
        one = request(ledger)
        number, _, of_number = one.partition("/")
        message = str(uuid.uuid4())
        args, kwargs = (
            ([number], {"request": int(of_number)}) if task == INITIATE else ([[[number, int(of_number)]]], {})
        )
        assert "when it arrives" in self.answer_to("revoke", task_id=[message])["ok"]
        app.send_task(task, args, kwargs, task_id=message, queue=QUEUE, argsrepr="(…)", kwargsrepr="{…}")

        eventually(lambda: state_of(ledger, one) is State.CANCELLED)
        assert self.plivo.sends(number) == []

    def test_the_celery_command_shows_the_answer(self, ledger, environ, tmp_path):
        one = request(ledger)
        command = [sys.executable, "-m", "celery", "-A", "worker", "control", "-t", "10", "revoke", one]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

        assert state_of(ledger, one) is State.CANCELLED
        assert "cancelled" in done.stdout


class Message:
    """A message that a worker has and has not begun."""

    def __init__(self, task, args, kwargs):
        self.type, self.args, self.kwargs = task, args, kwargs


def test_the_id_of_a_message_that_a_worker_has_cancels_its_requests_at_once(ledger, monkeypatch):
    ids = [request(ledger), request(ledger)]
    pairs = [[one.partition("/")[0], int(one.partition("/")[2])] for one in ids]
    monkeypatch.setitem(state.requests, "a message", Message(WORK_CHUNK, [pairs], {}))

    assert "ok" in revocation.revoke(None, ["a message"])
    assert [state_of(ledger, one) for one in ids] == [State.CANCELLED] * 2


@pytest.mark.parametrize(
    ("task", "args", "kwargs"),
    [
        (INITIATE, [], {}),
        (INITIATE, 17, {"request": 1}),
        (INITIATE, ["+14155550123"], None),
        (WORK_CHUNK, 17, {}),
        (INITIATE, ["+14155550123"], {}),
        (INITIATE, ["+14155550123", 1], {"request": 1}),
        (INITIATE, [["+14155550123"]], {"request": 1}),
        (WORK_CHUNK, [], {}),
        (WORK_CHUNK, ["+14155550123"], {}),
        (WORK_CHUNK, [{"a": 1}], {}),
        (WORK_CHUNK, [[1, None, ["+1", "1"]]], {}),
        ("ringproof.reverify", [["+14155550123"]], {"request": 1}),
    ],
)
def test_a_message_that_names_no_request_cancels_none(task, args, kwargs):
    assert requests_of(task, args, kwargs) == []


def test_without_a_ledger_the_answer_is_an_error(monkeypatch):
    def away(_id):
        raise LedgerUnavailable("redis://127.0.0.1:1/0", "ConnectionError")

    monkeypatch.setattr("ringproof.celery.control.cancel_by_id", away)

    assert "did not take it" in revocation.revoke(None, "+14155550123/1")["error"]

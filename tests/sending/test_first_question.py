"""At its start a worker asks Plivo for one entry of its list, and its log says what to check."""

import logging

import pytest
from celery.worker import WorkController
from support.wire import QUICK, refused_port

from ringproof import runtime
from worker.celery import app
from worker.sending.first_question import FirstQuestion, ask_first


@pytest.fixture
def logged(plivo, client, ledger, client_of, monkeypatch, caplog):
    """What the start of a worker logs, if PLIVO_BASE_URL has this at its end."""

    def look(path="/v1"):
        monkeypatch.setattr(runtime, "plivo", lambda *_: client_of(plivo.root + path))
        caplog.set_level(logging.INFO)
        caplog.clear()
        ask_first()
        return [(record.levelname, record.message) for record in caplog.records]

    yield look
    client.delete(ledger.keys.pauses)  # a 401 pauses all sending


def test_a_worker_asks_it_at_its_start():
    steps = WorkController.Blueprint(steps=app.steps["worker"]).claim_steps()

    assert FirstQuestion in steps.values()


def test_a_list_is_what_it_should_see(logged, plivo):
    assert logged() == [("INFO", "at the start Plivo answered, and accepts the credentials")]
    assert [request["kind"] for request in plivo.requests()] == ["list"]


@pytest.mark.parametrize(
    ("kind", "expected", "check"),
    [
        ("401", "ERROR", "check PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN"),
        ("403", "ERROR", "look at the account in Plivo's console"),
        ("500_before", "WARNING", "check PLIVO_BASE_URL, and the network"),
    ],
)
def test_another_answer_says_what_to_check_and_is_an_error_if_somebody_must(logged, plivo, kind, expected, check):
    plivo.befall(kind, operation="list")
    ((level, message),) = logged()

    assert level == expected
    assert message.startswith(f"at the start Plivo answered: {kind[:3]}")
    assert message.endswith(check)


def test_a_plivo_that_cannot_be_reached_is_a_warning_that_names_a_companys_network(client_of, monkeypatch, caplog):
    monkeypatch.setattr(runtime, "plivo", lambda *_: client_of(f"http://127.0.0.1:{refused_port()}", QUICK))

    ask_first()

    (message,) = caplog.messages
    assert "no connection: Connection refused" in message
    assert message.endswith("in a company's network, PLIVO_PROXY and PLIVO_CA_BUNDLE, too")


def test_a_wrong_path_is_named(logged):
    ((level, message),) = logged("/v2")

    assert level == "ERROR"
    assert message.endswith("check the path in PLIVO_BASE_URL")

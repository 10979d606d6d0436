"""The examples of the documentation do what it says: they run against a real Redis, a real worker and the sandbox."""

import doctest
import importlib.util
import os
import re
from contextlib import contextmanager

import pytest
from celery.result import denied_join_result
from pages import ROOT, fences, file
from support.harness import eventually, fresh_number
from support.receivers import new_secret

from ringproof import initiate_verification
from ringproof.events.event import Event
from ringproof.events.handlers import Handlers
from ringproof.events.receiver import Receipt
from ringproof.events.webhook import Webhook
from ringproof.phone.masking import mask
from ringproof.secret_str import SecretStr

WRITTEN = re.compile(r"\+1[ (.-]*415[ ).-]*555[ .-]*0123")
REDIS_URL = "redis://127.0.0.1:6379/0"
EVENT = Event.unpack("1764376884123-0", {"e": "v- 1764376884123 +14155550123 1764376800 i sms 1 3fa85f64-5717 - -"})
MASKED = "+1•••••••23"
RIGHT, WRONG = '"0123"', '"9999"'
PYCON = sorted({fence.page for fence in fences("pycon")})


@pytest.fixture
def number():
    return fresh_number()


def with_number(text, number):
    """Write another number in the place of the documentation's own, in its notation."""

    def rewrite(match):
        digits = iter(number.removeprefix("+"))
        return re.sub(r"\d", lambda _: next(digits), match[0])

    return WRITTEN.sub(rewrite, text)


@pytest.mark.parametrize("page", PYCON, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.usefixtures("worker", "batches_end")
def test_what_a_page_shows_is_what_happens(page, plivo, number):
    text = "\n".join(fence.text for fence in fences("pycon") if fence.page == page)
    text = with_number(text, number).replace(MASKED, mask(number)).replace("…", "...")
    text = text.replace(RIGHT, "right()").replace(WRONG, "wrong()")

    def right():
        return plivo.sends(number)[-1]["code"]

    def wrong():
        return str((int(right()) + 1) % 10_000).zfill(4)

    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    example = doctest.DocTestParser().get_doctest(text, {"right": right, "wrong": wrong}, page.name, str(page), 0)
    report = []
    results = doctest.DocTestRunner(verbose=False, optionflags=flags).run(example, out=report.append)

    assert results.attempted
    assert not results.failed, "".join(report)


@pytest.fixture
def batches_end(ledger):
    """Cancel the batches that a page has made."""
    from ringproof.batches import operations, summary  # noqa: PLC0415  # for this fixture alone

    before = set(summary.batch_names(ledger))
    yield
    for name in set(summary.batch_names(ledger)) - before:
        operations.cancel(ledger, name)


@contextmanager
def closed(celery):
    """Close a program's own Celery at the end: its sockets would be reported in a later test, as nobody's."""
    with celery:
        yield
        celery.backend.result_consumer.stop()
        celery.backend.client.close()


def loaded(title, folder, number):
    """Write a file of the documentation into a folder, with this session's Redis, and load it as a module."""
    path = folder / title
    path.write_text(with_number(file(title), number).replace(REDIS_URL, os.environ["RINGPROOF_REDIS_URL"]))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("worker")
def test_an_application_without_ringproof_sends_and_confirms_by_name(plivo, number, tmp_path):
    asking, confirming = (loaded(f"{title}.py", tmp_path, number) for title in ("by_name", "confirm_by_name"))
    with closed(asking.celery), closed(confirming.celery):
        asking.send_code(number)
        eventually(lambda: plivo.sends(number), why="no code was sent")
        initiate_verification.AsyncResult(number).get(timeout=30)
        confirmed = confirming.confirm(number, plivo.sends(number)[-1]["code"])

    assert confirmed["state"] == "verified"


@pytest.mark.usefixtures("worker")
def test_the_test_of_a_users_application_passes(plivo, number, tmp_path, monkeypatch):
    monkeypatch.setenv("SANDBOX", f"{plivo.root}/sandbox")

    example = loaded("test_by_hand.py", tmp_path, number)
    monkeypatch.setattr(example, "new_number", lambda: number)

    example.test_a_user_verifies_a_number()

    assert len(plivo.sends(number)) == 1


def test_the_receiver_of_webhooks_takes_an_event_once_and_no_forged_one(tmp_path, monkeypatch):
    secret = new_secret()
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    monkeypatch.setenv("DATABASE", str(tmp_path / "events.db"))
    receiver = loaded("webhook_receiver.py", tmp_path, "+14155550123")
    client = receiver.app.test_client()
    body = EVENT.as_json()

    def post(signed_with, event_id=EVENT.id):
        headers = Webhook(SecretStr("https://x.example"), [SecretStr(signed_with)]).headers(event_id, body)
        return client.post("/hooks/ringproof", data=body, headers=headers).status_code

    assert [post(secret), post(secret), post(new_secret())] == [204, 204, 401]
    assert receiver.events.execute("SELECT * FROM phones").fetchall() == [("+14155550123", 1)]
    assert receiver.events.execute("SELECT * FROM handled").fetchall() == [(EVENT.id,)]
    receiver.events.close()


def test_the_handlers_of_the_guide_are_called(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE", str(tmp_path / "phones.db"))
    handlers = loaded("handlers.py", tmp_path, "+14155550123")

    assert Handlers().deliver(EVENT) == Receipt()
    assert handlers.database.execute("SELECT * FROM phones").fetchall() == [("+14155550123", "verified")]
    for signal in (handlers.verified, handlers.failed):
        signal.disconnect(handlers.store)
    handlers.database.close()


@pytest.mark.usefixtures("worker")
def test_a_task_of_another_application_waits_for_the_code(plivo, number, tmp_path):
    task = loaded("phone_tasks.py", tmp_path, number).send_code

    with denied_join_result():  # as in the body of a task
        assert task(number) == "code_sent"
        assert task("555-0199") == "InvalidNumber"
    assert len(plivo.sends(number)) == 1

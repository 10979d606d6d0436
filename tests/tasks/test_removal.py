"""A number is removed at Plivo only if `ringproof remove` has ordered it, and not by any message of that name."""

import pytest
from celery import Celery
from support.harness import fresh_number

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.errors import InvalidRequest
from ringproof.ledger.removal import order_removal
from tasks import initiate_verification
from tasks.removal import REMOVE


@pytest.fixture
def number(plivo, worker):
    """A number that Plivo has as verified."""
    assert worker
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=60)
    plivo.complete(number)
    return number


def removals(plivo):
    return sum(request["kind"] == "delete" for request in plivo.requests())


def test_a_foreign_applications_message_removes_nothing(number, ledger, plivo):
    other = Celery("foreign", broker=runtime.settings().redis_url.get_secret_value(), set_as_current=False)
    order_removal(ledger, number)

    for args, kwargs in [
        ((number,), {}),
        (("*",), {}),
        (("a" * 22,), {}),
        (([number],), {}),
        ((), {"phone_number": number}),
        ((None, number), {}),
    ]:
        sent = other.send_task(REMOVE, args, kwargs, queue="ringproof.interactive", argsrepr="(…)", kwargsrepr="{…}")
        with pytest.raises(InvalidRequest) as refused:
            app.AsyncResult(sent.id).get(timeout=60)
        assert "ringproof remove" in str(refused.value)
        assert number not in str(refused.value)
    assert removals(plivo) == 0
    assert ledger.read(number)


def test_an_order_is_carried_out_once(number, ledger, plivo, client):
    handle = order_removal(ledger, number)
    assert 0 < client.ttl(ledger.keys.removal(handle)) <= 900

    def remove():
        return app.send_task(REMOVE, (handle,), queue="ringproof.interactive").get(timeout=60)

    assert remove() == {"at_plivo": True, "here": True}
    with pytest.raises(InvalidRequest):
        remove()
    assert removals(plivo) == 1

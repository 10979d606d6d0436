"""`ringproof webhook`, and what `ringproof status` says of deliveries."""

import json
from datetime import timedelta
from functools import partial

import pytest
from support.harness import eventually, fresh_number, ledger_of
from support.receivers import Notebook, WebhookServer, new_secret
from support.wire import http

from ringproof.events import outbox
from ringproof.events.delivery_status import deliveries
from ringproof.events.dispatcher import dispatch
from ringproof.events.outbox import Consumer
from ringproof.events.receiver import Receipt
from ringproof.ledger.answers import Outcome, Verdict
from ringproof.ledger.record import State
from ringproof.phone.masking import mask
from ringproof.policy import Policy, Rate

SECRET = new_secret()
SENT = Outcome(State.CODE_SENT, verification_uuid="a uuid", api_id="an id")
FAILS = Receipt("answered 500")


@pytest.fixture
def ledger(idle):
    with ledger_of(idle) as ledger:
        ledger.client.flushdb()
        ledger.publish_policy(Policy(rate=Rate.parse("1000/0.1s"), range_codes_per_hour=0))
        outbox.subscribe(ledger, Consumer.WEBHOOKS)
        yield ledger


@pytest.fixture
def receiver():
    server = WebhookServer(SECRET)
    yield server
    server.close()


@pytest.fixture
def ringproof(run, idle, receiver):
    variables = {"RINGPROOF_WEBHOOK_URL": receiver.url(), "RINGPROOF_WEBHOOK_SECRETS": SECRET}
    return partial(run, RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"], **variables)


def happen(ledger, count=1):
    numbers = [fresh_number() for _ in range(count)]
    for number in numbers:
        request = ledger.accept(number, token=number).request
        begun = eventually(lambda number=number, request=request: has_begun(ledger, number, request))
        ledger.settle(number, request, begun.fence, SENT)
    return numbers


def has_begun(ledger, number, request):
    (begun,) = ledger.begin([(number, request)])
    return begun.verdict is Verdict.BEGUN and begun


def status_of(ledger):
    return deliveries(ledger)[0]


class TestTest:
    def test_sends_a_signed_event_and_says_that_it_was_taken(self, ringproof, receiver):
        done = ringproof("webhook", "test")

        assert (done.stdout, done.returncode) == ("delivered\n", 0)
        ((message_id, message),) = receiver.messages
        assert message_id.startswith("test_")
        assert (message["type"], message["data"]) == ("webhook.test", {})

    def test_says_why_it_was_not(self, ringproof, receiver):
        receiver.answer = lambda _: http(404)
        done = ringproof("webhook", "test")

        assert (done.stdout, done.returncode) == ("not delivered: answered 404\n", 1)

    def test_lets_deliveries_go_on_that_a_410_has_ended(self, ringproof, ledger):
        happen(ledger)
        dispatch(ledger, Notebook(lambda _: Receipt("answered 410", is_gone=True)))
        assert "has answered 410, so nothing is sent; ringproof webhook test ends that" in ringproof("status").stdout
        ringproof("webhook", "test")

        assert not status_of(ledger).is_gone

    def test_names_what_is_missing(self, run, idle):
        done = run("webhook", "test", RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])

        assert done.returncode == 1
        assert "RINGPROOF_WEBHOOK_URL and RINGPROOF_WEBHOOK_SECRETS: both are needed" in done.stderr


class TestLs:
    def test_shows_what_waits_and_masks_its_number(self, ringproof, ledger):
        (number,) = happen(ledger)
        dispatch(ledger, Notebook(lambda _: FAILS))
        shown = ringproof("webhook", "ls").stdout

        assert f"verification.code_sent {mask(number)}" in shown
        assert "waits until" in shown
        assert "1 tries have failed" in shown
        assert number[1:] not in shown

    def test_shows_what_was_given_up_as_json(self, ringproof, ledger):
        (number,) = happen(ledger)
        ledger.client.hset(ledger.keys.consumers, "webhooks:cursor", "0-0")
        _age(ledger, timedelta(days=4))
        dispatch(ledger, Notebook(lambda _: FAILS))
        (line,) = map(json.loads, ringproof("webhook", "ls", "--json").stdout.splitlines())

        assert (line["outcome"], line["why"]) == ("given up at", "answered 500")
        assert line["event"] == f"verification.code_sent {mask(number)}"
        assert "1 event given up after three days" in ringproof("status").stdout


def _age(ledger, by):
    """Make the only event so old."""
    ((entry_id, fields),) = ledger.client.xrange(ledger.keys.outbox)
    letters, at, rest = fields["e"].split(" ", 2)
    ledger.client.delete(ledger.keys.outbox)
    aged = f"{letters} {int(at) - round(by.total_seconds() * 1000)} {rest}"
    ledger.client.xadd(ledger.keys.outbox, {"e": aged}, id=entry_id)


class TestReplay:
    @pytest.fixture
    def delivered(self, ledger):
        happen(ledger, 3)
        notebook = Notebook()
        dispatch(ledger, notebook)
        return notebook

    def test_sends_one_event_once_more(self, ringproof, ledger, delivered):
        event = delivered.got[1]
        done = ringproof("webhook", "replay", event.id)
        dispatch(ledger, delivered)

        assert done.stdout == "1 event will be sent once more\n"
        assert delivered.got[3:] == [event]
        assert f"replay  {event.id}" in ringproof("audit").stdout

    def test_sends_all_of_a_time_once_more(self, ringproof, ledger, delivered):
        done = ringproof("webhook", "replay", "--since", "1h")
        dispatch(ledger, delivered)

        assert done.stdout == "3 events will be sent once more\n"
        assert sorted(event.id for event in delivered.got[3:]) == sorted(event.id for event in delivered.got[:3])

    @pytest.mark.parametrize(
        "event_id",
        ["nonsense", "1764376884123-0", "019acd0e-b39b-7000-8000-000000000000", "00000000-0000-4000-8000-000000000000"],
    )
    def test_names_an_id_that_is_no_event_of_the_outbox(self, ringproof, event_id):
        done = ringproof("webhook", "replay", event_id)

        assert done.returncode == 2
        assert "give the webhook-id of an event of the last week" in done.stderr

    @pytest.mark.parametrize("arguments", [[], ["019acccf", "--since", "1h"], ["--since", "8d"]])
    def test_wants_an_id_or_a_time(self, ringproof, arguments):
        assert ringproof("webhook", "replay", *arguments).returncode == 2


class TestTheStatus:
    def test_has_no_line_on_events_without_a_consumer(self, ringproof, ledger):
        ledger.client.delete(ledger.keys.consumers)

        assert "events" not in ringproof("status").stdout

    def test_says_how_far_behind_the_receiver_is_and_that_it_seems_to_be_away(self, ringproof, ledger):
        happen(ledger, 8)
        dispatch(ledger, Notebook(lambda _: FAILS, threads=1))
        happen(ledger, 2)
        shown = ringproof("status").stdout

        assert "webhooks: 2 events to deliver, the oldest of" in shown, shown
        assert "8 wait for another try" in shown
        assert "the last 5 deliveries have failed" in shown

    def test_counts_what_the_outbox_has_lost(self, ringproof, ledger):
        happen(ledger, 5)
        outbox.trim(ledger, most=2)

        assert "3 events lost" in ringproof("status").stdout
        (line,) = json.loads(ringproof("status", "--json").stdout)["deliveries"]
        assert (line["consumer"], line["trimmed"], line["behind"]) == ("webhooks", 3, 2)

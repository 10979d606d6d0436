"""Many numbers in one message: which are sent, which get a new message, and when each gets its turn."""

import time
from collections import deque
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from support.harness import AUTH_ID, AUTH_TOKEN, fresh_number
from support.number_in_ledger import CLOCK

from ringproof.celery import messages
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import control
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import reserve_slot
from ringproof.ledger.record import Lane, Reason, State
from ringproof.plivo.client import PlivoClient
from ringproof.policy import Policy, Rate
from ringproof.secret_str import SecretStr
from worker.sending import begin, bulk
from worker.sending.begin import begin_and_send, in_quiet_hours


@pytest.fixture
def slow(client):
    """A ledger at one slot in ten seconds, whose first window is over."""
    client.delete("test:clock", "test:stopped_us")
    ledger = Ledger(client, prefix=f"t{fresh_number()}", clock=CLOCK)
    ledger.publish_policy(Policy(rate=Rate.parse("1/10s"), range_codes_per_hour=0))
    reserve_slot(ledger)
    client.incrbyfloat("test:clock", 30)
    return ledger


def requests(ledger, count):
    numbers = [fresh_number() for _ in range(count)]
    return [
        (n, ledger.accept(n, token=n, kind=RequestKind.ROSTER, lane=Lane.BULK, country="US").request) for n in numbers
    ]


@pytest.fixture
def slept(monkeypatch):
    """Return how long `begin_and_send` has slept. Its clock moves by these sleeps alone, and none takes real time."""
    began, naps = boot_clock(), [0.0]

    def sleep(seconds):
        naps.append(max(seconds, 0.0))
        return True

    monkeypatch.setattr(begin, "boot_clock", lambda: began + sum(naps))
    monkeypatch.setattr(begin.shutdown, "sleep_unless_stopping", sleep)
    return lambda: sum(naps)


def test_numbers_without_a_turn_in_time_are_returned_and_their_turn_is_free(client, slow, slept):
    sent, asked = [], requests(slow, 3)
    rest = begin_and_send(slow, asked, lambda begun, _: bool(sent.append(begun.record.phone_number)) or True)

    assert sent == [asked[0][0]]
    assert rest == asked[1:]
    assert slept() == pytest.approx(begin.BEGIN_SECONDS)
    assert not [field for field in client.hkeys(slow.keys.pace) if field.startswith("turn:")]


def test_begin_is_repeated_until_a_frozen_redis_shows_its_claims(slow, monkeypatch):
    """Only this call knows the fence. If it gave up, the number would be in doubt although nothing was sent."""
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=count(step=60).__next__))
    asked, sent, unanswered = requests(slow, 1), [], [True, True]
    begin = slow.begin

    def begin_unanswered(*args, **options):
        answers = begin(*args, **options)
        if unanswered and unanswered.pop():
            raise LedgerUnavailable("redis://", "it stood still")
        return answers

    monkeypatch.setattr(slow, "begin", begin_unanswered)
    rest = begin_and_send(slow, asked, lambda begun, _: bool(sent.append(begun.record.phone_number)) or True)

    assert (rest, sent, unanswered) == ([], [asked[0][0]], [])


def test_a_number_whose_slot_was_revoked_is_begun_again(client, slow):
    slow.publish_policy(Policy(rate=Rate.parse("1000/0.1s"), range_codes_per_hour=0))
    asked, answers = requests(slow, 1), deque([False, True])
    begun = []

    def send(one, _asked_at):
        begun.append(one)
        if answers[0] is False:
            control.pause(slow)
            slow.begin(asked, fence=one.fence)
            control.resume(slow)
        return answers.popleft()

    assert begin_and_send(slow, asked, send) == []
    assert [one.verdict for one in begun] == [Verdict.BEGUN] * 2


def test_a_chunk_is_sent_by_many_threads_each_at_its_slot(client, plivo):
    plivo.switch(latency_ms=200)
    ledger = Ledger(client, prefix=f"t{fresh_number()}")
    ledger.publish_policy(Policy(rate=Rate.parse("200/1s"), range_codes_per_hour=0))
    to_plivo = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), plivo.base_url)
    asked = requests(ledger, 40)
    time.sleep(max(0.0, reserve_slot(ledger) - boot_clock()))  # Redis is new to this prefix: a window is spent
    began = boot_clock()
    rest = bulk.send_to_many(ledger, to_plivo, asked, Lane.BULK)
    took = boot_clock() - began
    to_plivo.close()

    assert rest == []
    assert {ledger.read(number).state for number, _ in asked} == {State.CODE_SENT}
    assert took < 40 * 0.2, "they were not sent one after the other"


@pytest.mark.parametrize(
    "value",
    [None, 1, "x", {}, ["+14155550123", 1], [["+14155550123"]], [["+14155550123", "1"]], [["4155550123", 1]], [[1, 1]]],
)
def test_other_values_are_not_taken_for_requests(value):
    assert not (isinstance(value, list) and all(map(messages.is_request, value)) and value)


def test_quiet_hours_delay_bulk_until_the_morning_and_delay_no_person(client, slow):
    here = slow.now().astimezone(ZoneInfo("America/Los_Angeles"))  # where fresh numbers are
    morning = here + timedelta(hours=2)
    night = f"{here - timedelta(hours=2):%H:%M}-{morning:%H:%M}"
    slow.publish_policy(Policy(rate=Rate.parse("1000/0.1s"), range_codes_per_hour=0, quiet_hours=night))
    asked, sent = requests(slow, 1), []
    begin_and_send(
        slow, asked, lambda *_: pytest.fail("its person sleeps"), quiet_until=in_quiet_hours(slow, asked, Lane.BULK)
    )
    record = slow.read(asked[0][0])

    assert in_quiet_hours(slow, asked, Lane.INTERACTIVE) == {}
    assert (record.state, record.reason) == (State.WAITING, Reason.QUIET_HOURS)
    assert -timedelta(minutes=2) < record.due_at - morning < timedelta(hours=1, minutes=1)
    assert record.ends_at - record.due_at > timedelta(hours=23), "the night takes nothing of its day"

    client.incrbyfloat("test:clock", (record.due_at - slow.now()).total_seconds() + 1)
    work_off_agenda(slow, 10, {lane: lane for lane in Lane})
    begin_and_send(
        slow,
        asked,
        lambda begun, _: bool(sent.append(begun)) or True,
        quiet_until=in_quiet_hours(slow, asked, Lane.BULK),
    )
    assert len(sent) == 1


def test_a_chunk_ends_at_once_in_a_pause_and_its_numbers_wait(slow, slept):
    asked = requests(slow, 5)
    control.pause(slow)
    rest = begin_and_send(slow, asked, lambda *_: pytest.fail("nothing is sent"))

    assert (rest, slept()) == ([], 0)
    assert {slow.read(number).reason for number, _ in asked} == {Reason.PAUSED}

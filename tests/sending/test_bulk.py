"""`work_chunk` and the turns of those who may not book yet: what is handed on, and what comes of it."""

import time
from collections import deque
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr
from support.harness import AUTH_ID, AUTH_TOKEN, fresh_number
from support.number_in_ledger import CLOCK

from ringproof.celery import messages
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import control
from ringproof.ledger.acceptance import Requester
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import reserve_slot
from ringproof.ledger.record import Lane, Reason, State
from ringproof.plivo.client import PlivoClient
from ringproof.policy import Policy, Rate
from worker.sending import booking, bulk
from worker.sending.booking import asleep, book


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
        (n, ledger.accept(n, token=n, requester=Requester.ROSTER, lane=Lane.BULK, country="US").request)
        for n in numbers
    ]


@pytest.fixture
def slept(monkeypatch):
    """For how long whoever books has slept: no other time passes for him, and none really."""
    began, naps = boot_clock(), [0.0]

    def sleep(seconds):
        naps.append(max(seconds, 0.0))
        return True

    monkeypatch.setattr(booking, "boot_clock", lambda: began + sum(naps))
    monkeypatch.setattr(booking.shutdown, "sleep_unless_stopping", sleep)
    return lambda: sum(naps)


def test_what_has_no_turn_in_time_is_left_and_its_turn_to_others(client, slow, slept):
    sent, asked = [], requests(slow, 3)
    rest = book(slow, asked, lambda begun, _: bool(sent.append(begun.record.phone_number)) or True)

    assert sent == [asked[0][0]]
    assert rest == asked[1:]
    assert slept() == pytest.approx(booking.BOOKING_SECONDS)
    assert not [field for field in client.hkeys(slow.keys.pace) if field.startswith("turn:")]


def test_what_was_claimed_while_redis_stood_still_is_asked_for_until_it_is_known(slow, monkeypatch):
    """Nobody else knows its fence: given up, it would be in doubt, and nothing was sent."""
    minutes = SimpleNamespace(monotonic=count(step=60).__next__, sleep=lambda _: None)
    monkeypatch.setattr("worker.sending.retry.time", minutes)
    asked, sent, unheard = requests(slow, 1), [], [True, True]
    begin = slow.begin

    def begin_unheard(*args, **options):
        answers = begin(*args, **options)
        if unheard and unheard.pop():
            raise LedgerUnavailable("redis://", "it stood still")
        return answers

    monkeypatch.setattr(slow, "begin", begin_unheard)
    rest = book(slow, asked, lambda begun, _: bool(sent.append(begun.record.phone_number)) or True)

    assert (rest, sent, unheard) == ([], [asked[0][0]], [])


def test_what_goes_back_before_its_slot_is_begun_anew(client, slow):
    slow.publish_policy(Policy(rate=Rate.parse("1000/0.1s"), range_codes_per_hour=0))
    asked, told = requests(slow, 1), deque([False, True])
    begun = []

    def send(one, _asked_at):
        begun.append(one)
        if told[0] is False:
            control.pause(slow)
            slow.begin(asked, fence=one.fence)
            control.resume(slow)
        return told.popleft()

    assert book(slow, asked, send) == []
    assert [one.verdict for one in begun] == [Verdict.BEGUN] * 2


def test_a_chunk_is_sent_by_many_threads_each_at_its_slot(client, plivo):
    plivo.switch(latency_ms=200)
    ledger = Ledger(client, prefix=f"t{fresh_number()}")
    ledger.publish_policy(Policy(rate=Rate.parse("200/1s"), range_codes_per_hour=0))
    to_plivo = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), plivo.base_url)
    asked = requests(ledger, 40)
    time.sleep(max(0.0, reserve_slot(ledger) - boot_clock()))  # Redis is new to this prefix: a window is spent
    began = boot_clock()
    rest = bulk.work(ledger, to_plivo, asked, Lane.BULK)
    took = boot_clock() - began
    to_plivo.close()

    assert rest == []
    assert {ledger.read(number).state for number, _ in asked} == {State.CODE_SENT}
    assert took < 40 * 0.2, "they were not sent one after the other"


@pytest.mark.parametrize(
    "told",
    [None, 1, "x", {}, ["+14155550123", 1], [["+14155550123"]], [["+14155550123", "1"]], [["4155550123", 1]], [[1, 1]]],
)
def test_what_is_no_request_of_ours_is_told_from_one(told):
    assert not (isinstance(told, list) and all(map(messages.is_request, told)) and told)


def test_quiet_hours_hold_bulk_until_its_morning_and_no_person(client, slow, monkeypatch):
    slow.publish_policy(Policy(rate=Rate.parse("1000/0.1s"), range_codes_per_hour=0))
    here = slow.now().astimezone(ZoneInfo("America/Los_Angeles"))  # where fresh numbers are
    morning = here + timedelta(hours=2)
    monkeypatch.setenv("RINGPROOF_QUIET_HOURS", f"{here - timedelta(hours=2):%H:%M}-{morning:%H:%M}")
    asked, sent = requests(slow, 1), []
    book(slow, asked, lambda *_: pytest.fail("its person sleeps"), asleep=asleep(slow, asked, Lane.BULK))
    record = slow.read(asked[0][0])

    assert asleep(slow, asked, Lane.INTERACTIVE) == {}
    assert (record.state, record.reason) == (State.WAITING, Reason.QUIET_HOURS)
    assert -timedelta(minutes=2) < record.due_at - morning < timedelta(hours=1, minutes=1)
    assert record.ends_at - record.due_at > timedelta(hours=23), "the night takes nothing of its day"

    client.incrbyfloat("test:clock", (record.due_at - slow.now()).total_seconds() + 1)
    work_off_agenda(slow, 10, {lane: lane for lane in Lane})
    book(slow, asked, lambda begun, _: bool(sent.append(begun)) or True, asleep=asleep(slow, asked, Lane.BULK))
    assert len(sent) == 1


def test_in_a_pause_a_chunk_ends_at_once_and_its_numbers_wait(slow, slept):
    asked = requests(slow, 5)
    control.pause(slow)
    rest = book(slow, asked, lambda *_: pytest.fail("nothing is sent"))

    assert (rest, slept()) == ([], 0)
    assert {slow.read(number).reason for number, _ in asked} == {Reason.PAUSED}

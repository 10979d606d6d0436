"""When numbers are begun: which go to the senders, which wait for their turn, and which get a new message."""

from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from support.harness import fresh_number
from support.number_in_ledger import CLOCK

from ringproof.celery import messages
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import control
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import reserve_slot
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Policy, Rate
from worker.sending import begin
from worker.sending.begin import begin_one, begin_portion
from worker.sending.quiet import QuietNumbers
from worker.sending.senders import Lead


class Noted:
    """What stands in for the senders: it notes the numbers that are passed on."""

    def __init__(self):
        self.numbers = []
        self.lead = Lead()

    def wait_for_free(self, _lane, most=1):
        return most

    def send(self, begun, _asked_at):
        self.numbers.append(begun.record.phone_number)


@pytest.fixture
def senders():
    return Noted()


@pytest.fixture
def slow(client):
    """A ledger at one slot in ten seconds, whose first window is over."""
    client.delete("test:clock", "test:stopped_us")
    ledger = Ledger(client, prefix=f"t{fresh_number()}", clock=CLOCK)
    ledger.publish_policy(Policy(rate=Rate.parse("1/10s"), range_codes_per_hour=0))
    reserve_slot(ledger)
    client.incrbyfloat("test:clock", 30)
    return ledger


def accepted(ledger, count):
    numbers = [fresh_number() for _ in range(count)]
    return [
        (n, ledger.accept(n, token=n, kind=RequestKind.ROSTER, lane=Lane.BULK, country="US").request) for n in numbers
    ]


@pytest.fixture
def slept(monkeypatch):
    """Return how long `begin_one` has slept. Its clock moves by these sleeps alone, and none takes real time."""
    began, naps = boot_clock(), [0.0]

    def sleep(seconds):
        naps.append(max(seconds, 0.0))
        return True

    monkeypatch.setattr(begin, "boot_clock", lambda: began + sum(naps))
    monkeypatch.setattr(begin.shutdown, "sleep_unless_stopping", sleep)
    return lambda: sum(naps)


def test_a_portion_is_begun_as_far_as_there_are_slots(slow, senders):
    asked = accepted(slow, 3)
    before = boot_clock()
    portion = begin_portion(slow, senders, asked, {})

    assert senders.numbers == [asked[0][0]]
    assert (portion.begun, portion.later) == (1, asked[1:])
    assert portion.next_turn > before + 5


def test_a_number_without_a_turn_in_time_gets_a_new_message_and_its_turn_is_free(client, slow, senders, slept):
    (first,), (second,) = accepted(slow, 1), accepted(slow, 1)

    assert begin_one(slow, senders, *first, Lane.BULK) is True
    assert begin_one(slow, senders, *second, Lane.BULK) is False
    assert senders.numbers == [first[0]]
    assert slept() == pytest.approx(begin.BEGIN_SECONDS)
    assert not [field for field in client.hkeys(slow.keys.pace) if field.startswith("turn:")]


def test_begin_is_repeated_until_a_frozen_redis_shows_its_claims(slow, senders, monkeypatch):
    """Only this call knows the fence. If it gave up, the number would be in doubt although nothing was sent."""
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=count(step=60).__next__))
    asked, unanswered = accepted(slow, 1), [True, True]
    usual = slow.begin

    def begin_unanswered(*args, **options):
        answers = usual(*args, **options)
        if unanswered and unanswered.pop():
            raise LedgerUnavailable("redis://", "it stood still")
        return answers

    monkeypatch.setattr(slow, "begin", begin_unanswered)
    portion = begin_portion(slow, senders, asked, {})

    assert (portion.begun, senders.numbers, unanswered) == (1, [asked[0][0]], [])


@pytest.mark.parametrize(
    "value",
    [None, 1, "x", {}, ["+14155550123", 1], [["+14155550123"]], [["+14155550123", "1"]], [["4155550123", 1]], [[1, 1]]],
)
def test_other_values_are_not_taken_for_requests(value):
    assert not (isinstance(value, list) and all(map(messages.is_request, value)) and value)


def test_quiet_hours_delay_bulk_until_the_morning_and_delay_no_person(client, slow, senders):
    here = slow.now().astimezone(ZoneInfo("America/Los_Angeles"))  # where fresh numbers are
    morning = here + timedelta(hours=2)
    night = f"{here - timedelta(hours=2):%H:%M}-{morning:%H:%M}"
    slow.publish_policy(Policy(rate=Rate.parse("1000/0.1s"), range_codes_per_hour=0, quiet_hours=night))
    asked = accepted(slow, 1)
    begin_portion(slow, senders, asked, QuietNumbers(slow, Lane.BULK).among(asked))
    record = slow.read(asked[0][0])

    assert senders.numbers == [], "its person sleeps"
    assert QuietNumbers(slow, Lane.INTERACTIVE).among(asked) == {}
    assert (record.state, record.reason) == (State.WAITING, Reason.QUIET_HOURS)
    assert -timedelta(minutes=2) < record.due_at - morning < timedelta(hours=1, minutes=1)
    assert record.ends_at - record.due_at > timedelta(hours=23), "the night takes nothing of its day"

    client.incrbyfloat("test:clock", (record.due_at - slow.now()).total_seconds() + 1)
    work_off_agenda(slow, 10, {lane: lane for lane in Lane})
    begin_portion(slow, senders, asked, QuietNumbers(slow, Lane.BULK).among(asked))
    assert len(senders.numbers) == 1


def test_a_portion_is_done_at_once_in_a_pause_and_its_numbers_wait(slow, senders):
    asked = accepted(slow, 5)
    control.pause(slow)
    portion = begin_portion(slow, senders, asked, {})

    assert (senders.numbers, portion.later) == ([], [])
    assert {slow.read(number).reason for number, _ in asked} == {Reason.PAUSED}


def test_a_person_with_a_damaged_record_keeps_no_thread_of_the_worker(client, slow, senders, caplog):
    number = fresh_number()
    request = slow.accept(number, token=number).request
    key = slow.keys.record(number)
    client.delete(key)
    client.set(key, "no hash")
    try:
        assert begin_one(slow, senders, number, request, Lane.INTERACTIVE), "the sweep sends its message, once it can"
    finally:
        client.delete(key)

    assert senders.numbers == []
    assert "WRONGTYPE" in caplog.text
    assert number not in caplog.text

"""What sends in one process: many at once, each at its slot, people before batches; and an end that loses nothing."""

import os
import socket
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from support.harness import AUTH_ID, AUTH_TOKEN, eventually, fresh_number

from ringproof import runtime
from ringproof.celery.messages import message_of
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import control
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.activity import read_activities, sender_of
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import reserve_slot
from ringproof.ledger.record import Lane, State
from ringproof.phone.masking import mask
from ringproof.plivo.client import PlivoClient
from ringproof.policy import Policy, Rate
from ringproof.secret_str import SecretStr
from worker.celery import identity, shutdown
from worker.sending import activity, bulk, process, quiet, results, senders
from worker.sending.begin import begin_one
from worker.sending.final_check import CONNECT_SECONDS


@pytest.fixture
def given(client, plivo, monkeypatch):
    """Make what sends in a process at a rate, and end it afterwards. Its new messages are kept, and not sent."""

    class Given:
        chunks: tuple = ()
        persons: tuple = ()

        def __init__(self):
            self.usual = {}
            self.ledger = Ledger(client, prefix=f"t{fresh_number()}")
            self.plivo = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), plivo.base_url)
            monkeypatch.setattr(runtime, "ledger", lambda *_: self.ledger)
            monkeypatch.setattr(runtime, "plivo", lambda *_: self.plivo)
            for name in ("worker.sending.bulk", "worker.sending.process", "worker.sending.senders"):
                monkeypatch.setattr(f"{name}.send_chunk", self.keep_chunk)
            monkeypatch.setattr(senders, "send_message", self.keep_person)
            self.sending = process.Sending()

        def keep_chunk(self, requests, lane, channel, _account=None):
            self.chunks += ((list(requests), lane, channel),)
            return True

        def keep_person(self, message):
            self.persons += (message,)

        def policy(self, **changes):
            self.usual |= {"range_codes_per_hour": 0, "breaker_percent": 0, **changes}
            self.ledger.publish_policy(Policy(**self.usual))

        def at(self, rate):
            self.policy(rate=Rate.parse(rate))
            time.sleep(max(0.0, reserve_slot(self.ledger) - boot_clock()))  # a new Redis counts a window as spent
            return self

        def accept(self, count, lane=Lane.BULK):
            kind = RequestKind.PERSON if lane is Lane.INTERACTIVE else RequestKind.ROSTER
            numbers = [fresh_number() for _ in range(count)]
            accept = self.ledger.accept
            return [(n, accept(n, token=n, kind=kind, lane=lane, country="US").request) for n in numbers]

        def take(self, requests):
            self.sending.take_in_hand(requests, Lane.BULK, "sms")

        def states(self, requests):
            return [record.state for record in self.ledger.read_many(requests)]

    given = Given()
    yield given
    given.sending.close()
    given.plivo.close()
    shutdown._stopped_here = 0.0


@pytest.fixture
def no_more_threads():
    """Return a context in which the system starts no thread: there is no memory for its stack."""

    @contextmanager
    def without_threads():
        usual = threading.stack_size(1 << 46)
        try:
            yield
        finally:
            threading.stack_size(usual)

    return without_threads()


def test_the_numbers_in_hand_are_sent_by_many_threads_each_at_its_slot(given, plivo):
    plivo.switch(latency_ms=200)
    given.at("200/1s")
    asked = given.accept(40)
    began = boot_clock()
    given.take(asked)
    eventually(lambda: set(given.states(asked)) == {State.CODE_SENT})

    assert boot_clock() - began < 40 * 0.2, "they were not sent one after the other"
    assert len({send["phone_number"] for send in plivo.sends()} & {number for number, _ in asked}) == 40


def test_a_number_that_is_taken_twice_is_begun_once(given, plivo):
    given.at("100/1s")
    asked = given.accept(3)
    for _ in range(5):
        given.take(asked)
    eventually(lambda: set(given.states(asked)) == {State.CODE_SENT})

    assert [len(plivo.sends(number)) for number, _ in asked] == [1, 1, 1]


def test_a_process_takes_no_more_in_hand_than_it_can_send_in_minutes(given, plivo, monkeypatch):
    monkeypatch.setattr(bulk, "MOST_IN_HAND", 5)
    given.at("1/1s")
    asked = given.accept(20)
    given.take(asked)
    given.take(asked[10:])
    eventually(lambda: State.CODE_SENT in given.states(asked))

    assert len(given.sending._in_hand[None, Lane.BULK, "sms"]._requests) <= 5
    assert given.states(asked)[5:] == [State.QUEUED] * 15, "the sweep sends their messages again"


def test_a_process_that_is_busy_leaves_the_next_message_to_others(given, plivo, monkeypatch):
    monkeypatch.setattr(bulk, "LONGEST_WAIT_SECONDS", 60.0)
    given.at("10000/0.1s")
    asked = given.accept(2 * bulk.ENOUGH)
    given.take(asked)

    assert len(given.sending._in_hand[None, Lane.BULK, "sms"]) <= bulk.ENOUGH


def test_a_process_whose_numbers_wait_for_their_turns_takes_the_next_message_at_once(given, plivo, monkeypatch):
    monkeypatch.setattr(bulk, "LONGEST_WAIT_SECONDS", 20.0)
    given.at("2/1s")
    asked = given.accept(2 * bulk.ENOUGH)
    began = boot_clock()
    given.take(asked)

    assert boot_clock() - began < 10
    assert len(given.sending._in_hand[None, Lane.BULK, "sms"]) > bulk.ENOUGH


def test_answers_that_do_not_come_keep_no_other_accounts_message_for_long(given, plivo):
    plivo.switch(latency_ms=2000)
    given.at("10000/0.1s")
    given.take(given.accept(2 * bulk.ENOUGH))

    assert len(given.sending._in_hand[None, Lane.BULK, "sms"]) > bulk.ENOUGH


def test_slow_answers_to_a_batch_leave_senders_to_people(given, plivo):
    plivo.switch(latency_ms=3000)
    given.at("1000/0.1s")
    batch = given.accept(senders.SENDERS + 20)
    given.take(batch)
    eventually(lambda: given.states(batch).count(State.SENDING) == senders.SENDERS - senders.FOR_PEOPLE)
    ((number, request),) = given.accept(1, Lane.INTERACTIVE)
    asked_at = boot_clock()

    assert begin_one(given.ledger, given.sending.senders, number, request, Lane.INTERACTIVE)
    assert boot_clock() - asked_at < 2, "it did not wait for an answer to the batch"


def test_results_that_come_together_are_written_in_one_call(given, plivo, monkeypatch):
    calls, goes_on = [], threading.Event()
    usual = given.ledger.settle_many

    def settle_many(settlements):
        calls.append(len(settlements))
        goes_on.wait(30)
        return usual(settlements)

    monkeypatch.setattr(given.ledger, "settle_many", settle_many)
    given.at("1000/0.1s")
    asked = given.accept(30)
    given.take(asked)
    eventually(lambda: len(given.sending.senders._results._waiting) == 29)
    goes_on.set()
    eventually(lambda: set(given.states(asked)) == {State.CODE_SENT})

    assert calls == [1, results.MOST_AT_ONCE, 29 - results.MOST_AT_ONCE]


def test_a_result_is_written_once_redis_answers_again(given, plivo, monkeypatch):
    usual, failures = given.ledger.settle_many, [True, True]

    def settle_many(settlements):
        if failures and failures.pop():
            raise LedgerUnavailable("redis://", "away")
        return usual(settlements)

    monkeypatch.setattr(given.ledger, "settle_many", settle_many)
    given.at("1000/0.1s")
    asked = given.accept(5)
    given.take(asked)
    eventually(lambda: set(given.states(asked)) == {State.CODE_SENT})

    assert failures == []


def test_a_damaged_record_does_not_keep_back_the_results_of_others(given, client, plivo, monkeypatch):
    usual, goes_on = given.ledger.settle_many, threading.Event()

    def settle_many(settlements):
        goes_on.wait(30)
        return usual(settlements)

    monkeypatch.setattr(given.ledger, "settle_many", settle_many)
    given.at("1000/0.1s")
    asked = given.accept(10)
    given.take(asked)
    waiting = given.sending.senders._results._waiting
    eventually(lambda: len(waiting) == 9)
    first = waiting[0].record  # what the script has written before the damaged one stays written
    damaged = first.phone_number, first.request
    others = [one for one in asked if one != damaged]
    client.rename(given.ledger.keys.record(damaged[0]), "test:damaged")
    client.set(given.ledger.keys.record(damaged[0]), "no hash")
    goes_on.set()
    try:
        eventually(lambda: set(given.states(others)) == {State.CODE_SENT}, within=20)
    finally:
        client.rename("test:damaged", given.ledger.keys.record(damaged[0]))

    eventually(lambda: given.states([damaged]) == [State.CODE_SENT])


def test_a_damaged_record_does_not_keep_the_numbers_in_hand_from_being_begun(given, client, plivo):
    given.at("1000/0.1s")
    asked = given.accept(10)
    damaged, *others = asked[3:] + asked[:3]
    client.delete(given.ledger.keys.record(damaged[0]))
    client.set(given.ledger.keys.record(damaged[0]), "no hash")
    given.take(asked[3:4])
    given.take(asked)
    try:
        eventually(lambda: set(given.states(others)) == {State.CODE_SENT}, within=20)

        eventually(lambda: not any(numbers._requests for numbers in given.sending._in_hand.values()), within=20)
    finally:
        client.delete(given.ledger.keys.record(damaged[0]))


def test_a_damaged_record_keeps_one_sender_and_leaves_the_others_free(given, client, plivo, monkeypatch):
    usual, asks, goes_on = given.ledger.settle_many, threading.Event(), threading.Event()

    def settle_many(settlements):
        asks.set()
        goes_on.wait(30)
        return usual(settlements)

    monkeypatch.setattr(given.ledger, "settle_many", settle_many)
    given.at("1000/0.1s")
    (damaged,) = asked = given.accept(1)
    key = given.ledger.keys.record(damaged[0])
    given.take(asked)
    asks.wait(30)
    client.rename(key, "test:damaged")
    client.set(key, "no hash")
    goes_on.set()
    try:
        others = given.accept(20)
        given.take(others)
        eventually(lambda: set(given.states(others)) == {State.CODE_SENT})

        eventually(lambda: given.sending.senders.threads.free == senders.SENDERS - 1, within=5)
    finally:
        client.rename("test:damaged", key)

    eventually(lambda: given.states([damaged]) == [State.CODE_SENT])


def test_a_person_whose_far_slot_is_revoked_gets_a_new_message(given, plivo):
    given.at("1/2s")
    people = given.accept(2, Lane.INTERACTIVE)
    for number, request in people:
        assert begin_one(given.ledger, given.sending.senders, number, request, Lane.INTERACTIVE)
    control.pause(given.ledger)
    control.resume(given.ledger)
    control.override_rates(given.ledger, timedelta(minutes=1), rate=Rate.parse("1/1s"))

    eventually(lambda: len(given.persons) == len(people))
    expected = [message_of(*one, Lane.INTERACTIVE) for one in people]
    assert sorted(given.persons, key=lambda one: one.args) == sorted(expected, key=lambda one: one.args)
    assert [plivo.sends(number) for number, _ in people] == [[], []]


def test_at_a_stop_what_waits_is_queued_again_and_what_is_under_way_settles(given, plivo):
    plivo.switch(latency_ms=1000)
    given.at("10/1s")
    asked = given.accept(30)
    given.take(asked)
    eventually(plivo.sends)
    given.sending.close()
    states = given.states(asked)

    assert set(states) <= {State.CODE_SENT, State.QUEUED, State.WAITING}
    assert states.count(State.CODE_SENT) == len(plivo.sends())
    ((left, lane, channel),) = given.chunks
    assert (lane, channel) == (Lane.BULK, "sms")
    assert set(left) >= {one for one, state in zip(asked, states, strict=True) if state is State.QUEUED}

    given.take(asked[:1])
    assert given.chunks[1] == (asked[:1], Lane.BULK, "sms"), "after its end nothing is taken in hand"


def test_quiet_hours_that_begin_apply_to_the_numbers_in_hand(given, plivo, monkeypatch):
    monkeypatch.setattr(quiet, "READ_SECONDS", 0.0)
    given.at("1/1s")
    asked = given.accept(4)
    given.take(asked)
    eventually(plivo.sends)
    here = given.ledger.now().astimezone(ZoneInfo("America/Los_Angeles"))  # where fresh numbers are
    given.policy(quiet_hours=f"{here - timedelta(hours=2):%H:%M}-{here + timedelta(hours=2):%H:%M}")
    sent = len(plivo.sends())
    eventually(lambda: State.QUEUED not in given.states(asked))

    assert given.states(asked).count(State.WAITING) >= 2
    assert len(plivo.sends()) <= sent + 1, "only one can have had its slot before"


def test_a_number_is_sent_to_once_although_no_thread_can_be_started_for_it(given, plivo, no_more_threads):
    plivo.switch(latency_ms=500)
    given.at("1000/0.1s")
    asked = given.accept(3)
    given.take(asked[:1])
    eventually(plivo.sends)
    with no_more_threads:
        given.take(asked)
        eventually(lambda: set(given.states(asked)) == {State.CODE_SENT})
    given.sending.close()

    assert [len(plivo.sends(number)) for number, _ in asked] == [1, 1, 1]
    assert given.sending.senders.threads.free == senders.SENDERS


def test_numbers_are_begun_although_no_thread_could_be_started_for_the_first(given, plivo, no_more_threads):
    given.at("1000/0.1s")
    asked = given.accept(2)
    with no_more_threads, pytest.raises(RuntimeError, match="thread"):
        given.take(asked[:1])
    given.take(asked[1:])

    eventually(lambda: set(given.states(asked)) == {State.CODE_SENT})


def test_a_number_with_a_far_slot_is_sent_to_although_no_thread_can_be_started(given, plivo, no_more_threads):
    given.at("1/1s")
    people = given.accept(2, Lane.INTERACTIVE)
    asked_at = boot_clock()
    begun = given.ledger.begin(people)
    with no_more_threads:
        for one in begun:
            given.sending.senders.send(one, asked_at)

    assert begun[1].at > asked_at + CONNECT_SECONDS
    assert [len(plivo.sends(number)) for number, _ in people] == [1, 1]


def test_at_a_stop_nothing_is_begun_that_waited_for_a_free_sender(given, plivo):
    plivo.switch(latency_ms=2000)
    given.at("1000/0.1s")
    asked = given.accept(100)
    given.take(asked)
    under_way = senders.SENDERS - senders.FOR_PEOPLE
    eventually(lambda: given.states(asked).count(State.SENDING) == under_way)
    given.sending.close()

    assert given.states(asked).count(State.QUEUED) == 100 - under_way


def test_many_numbers_in_hand_are_given_back_in_messages_of_the_usual_size(given, plivo):
    given.at("1/2s")
    asked = given.accept(150)
    given.take(asked)
    given.sending.close()
    sizes = [len(requests) for requests, _, _ in given.chunks]

    assert sum(sizes) == given.states(asked).count(State.QUEUED)
    assert max(sizes) <= 100


def test_an_error_of_our_own_frees_the_sender_and_is_logged_without_the_number(given, monkeypatch, caplog):
    monkeypatch.setattr(senders, "attempt", lambda *_: 1 / 0)
    given.at("1000/0.1s")
    asked = given.accept(1)
    given.take(asked)
    eventually(lambda: "ZeroDivisionError" in caplog.text)

    eventually(lambda: given.sending.senders.threads.free == senders.SENDERS)
    assert asked[0][0] not in caplog.text
    assert given.states(asked) == [State.SENDING], "its lease ends, and it is in doubt"


def test_the_log_says_what_the_script_has_decided_and_not_what_plivos_answer_alone_would_mean(given, plivo, caplog):
    caplog.set_level("INFO")
    given.at("1000/0.1s")
    asked = given.accept(1)
    plivo.befall("402", number=asked[0][0])
    given.take(asked)
    eventually(lambda: given.states(asked) == [State.WAITING])
    (line,) = eventually(lambda: [one for one in caplog.records if getattr(one, "event", "") == "attempt"])
    (error,) = eventually(lambda: [one for one in caplog.records if one.levelname == "ERROR"])

    assert (line.state, line.reason, line.http_status, line.request) == ("waiting", "refused", 402, asked[0][1])
    assert line.getMessage().startswith(f"waiting {mask(asked[0][0])} sms ")
    assert line.ms >= 0
    assert line.slot_late_ms >= 0
    assert "the account has no credit" in error.getMessage()


def test_an_answer_that_the_ledger_does_not_take_is_a_warning_with_what_the_record_says(given, plivo, caplog):
    plivo.switch(latency_ms=500)
    given.at("1000/0.1s")
    ((number, request),) = given.accept(1)
    given.take([(number, request)])
    eventually(lambda: given.states([(number, request)]) == [State.SENDING])
    given.ledger.client.hset(given.ledger.keys.record(number), "fence", "another")
    (line,) = eventually(lambda: [one for one in caplog.records if getattr(one, "event", "") == "attempt"])

    assert line.levelname == "WARNING"
    assert line.state == "sending"
    assert line.getMessage().startswith(f"too late for the ledger: code_sent {mask(number)} sms")


def test_a_process_asks_for_slots_as_much_later_as_its_senders_need(given, plivo, monkeypatch):
    needs = 0.012
    usual = senders.attempt

    def attempt(*args):
        time.sleep(needs)  # no thread, or no turn of the interpreter
        return usual(*args)

    monkeypatch.setattr(senders, "attempt", attempt)
    given.at("10000/0.1s")
    for _ in range(3):
        asked = given.accept(30)
        given.take(asked)
        eventually(lambda asked=asked: set(given.states(asked)) == {State.CODE_SENT})

    assert given.sending.senders.lead.seconds > needs / 2
    for _ in range(300):
        given.sending.senders.lead.note(is_missed=False)
    assert given.sending.senders.lead.seconds == 0


def said(given):
    """Return what this process has last said of its work; None if nothing."""
    read = read_activities(given.ledger.client.hgetall(given.ledger.keys.activity))
    return read[0] if read else None


class TestTheActivity:
    """What a process says of its work, in Redis, where an operator reads it."""

    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch):
        monkeypatch.setattr(activity, "ACTIVITY_SECONDS", 0.05)

    def test_shows_work_while_there_is_some_and_its_end_once(self, given, plivo):
        plivo.switch(latency_ms=500)
        given.at("20/1s")
        before = given.ledger.now()
        asked = given.accept(20)
        given.take(asked)
        read = eventually(lambda: (read := said(given)) and read.in_hand and read.sending and read)

        assert read.process == identity.process_name()
        assert read.worker == identity.worker_name()
        assert read.pid == os.getpid()
        assert not read.is_idle
        eventually(lambda: said(given).is_idle)
        eventually(lambda: not given.sending.activity.is_reporting)
        read = said(given)
        assert (read.in_hand, read.sending, read.sent, read.unreachable) == (0, 0, 20, None)
        assert before < read.last_sent <= read.at

    def test_costs_nothing_once_a_process_is_idle(self, given, monkeypatch):
        written = []
        usual = activity.note_activity
        monkeypatch.setattr(activity, "note_activity", lambda *args: (written.append(args), usual(*args)))
        given.at("1000/0.1s")
        given.take(given.accept(3))
        eventually(lambda: (read := said(given)) and read.sent == 3 and read.is_idle)
        eventually(lambda: not given.sending.activity.is_reporting, within=10, why="the thread goes on")
        idle = [facts["in_hand"] + facts["sending"] == 0 for _, _, facts, _ in written]

        assert idle[-1]
        assert idle.count(True) <= 2, "one is of the moment before the last result was counted"

    def test_of_a_trickle_is_written_as_often_as_of_a_stream(self, given, monkeypatch):
        monkeypatch.setattr(activity, "ACTIVITY_SECONDS", 5.0)
        written = []
        usual = activity.note_activity
        monkeypatch.setattr(activity, "note_activity", lambda *args: (written.append(args), usual(*args)))
        given.at("1000/0.1s")
        for one in given.accept(10):
            given.take([one])
            eventually(lambda one=one: given.states([one]) == [State.CODE_SENT])

        assert len(written) <= 2

    def test_names_why_plivo_cannot_be_reached_until_it_answers(self, given):
        reachable = given.sending.senders._client
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        given.sending.senders._client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), f"http://127.0.0.1:{port}/v1")
        given.at("1000/0.1s")
        given.take(given.accept(2))
        read = eventually(lambda: (read := said(given)) and read.unreachable and read.unreachable.count == 2 and read)

        assert "refused" in read.unreachable.why
        assert read.at - timedelta(seconds=30) < read.unreachable.since <= read.at
        assert (read.sent, read.last_sent) == (0, None)
        given.sending.senders._client.close()
        given.sending.senders._client = reachable
        given.take(given.accept(1))
        eventually(lambda: said(given).sent == 1)
        eventually(lambda: said(given).unreachable is None)

    def test_waits_for_no_send_and_no_send_for_it(self, given, monkeypatch):
        begun, goes_on = threading.Event(), threading.Event()

        def slowly(*_):
            begun.set()
            goes_on.wait(30)

        monkeypatch.setattr(activity, "note_activity", slowly)
        given.at("1000/0.1s")
        asked = given.accept(20)
        given.take(asked)
        try:
            assert begun.wait(30)
            eventually(lambda: set(given.states(asked)) == {State.CODE_SENT}, within=20)
        finally:
            goes_on.set()

    def test_is_written_once_redis_takes_it(self, given, monkeypatch):
        usual, failures = activity.note_activity, [True, True]

        def note_activity(*args):
            if failures:
                failures.pop()
                raise LedgerUnavailable("redis://", "away")
            usual(*args)

        monkeypatch.setattr(activity, "note_activity", note_activity)
        given.at("1000/0.1s")
        given.take(given.accept(1))

        eventually(lambda: (read := said(given)) and read.sent == 1 and read.is_idle)
        eventually(lambda: not given.sending.activity.is_reporting)

    def test_counts_the_slots_that_were_missed(self, given, monkeypatch):
        usual = senders.attempt

        def attempt(*args):
            time.sleep(0.05)  # no thread, or no turn of the interpreter
            return usual(*args)

        monkeypatch.setattr(senders, "attempt", attempt)
        given.at("1000/0.1s")
        given.take(given.accept(3))

        eventually(lambda: (read := said(given)) and read.sent == 3 and read.missed_slots == 3)

    def test_is_forgotten_when_the_process_ends(self, given):
        given.at("1000/0.1s")
        given.take(given.accept(1))
        eventually(lambda: (read := said(given)) and read.sent == 1)
        given.sending.close()

        assert said(given) is None

    def test_names_who_sends_to_a_number_while_it_does(self, given, plivo):
        plivo.switch(latency_ms=1000)
        given.at("1000/0.1s")
        ((number, _),) = asked = given.accept(1)
        assert sender_of(given.ledger, given.ledger.read(number)) is None
        given.take(asked)
        sender = eventually(lambda: sender_of(given.ledger, given.ledger.read(number)))

        assert (sender.worker, sender.host, sender.pid) == (identity.worker_name(), None, os.getpid())
        eventually(lambda: given.states(asked) == [State.CODE_SENT])
        assert sender_of(given.ledger, given.ledger.read(number)) is None

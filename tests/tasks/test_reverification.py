"""Verified numbers are asked about again: when, how, and what becomes of those that do not answer."""

import secrets
import time
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from support.harness import fresh_number
from support.number_in_ledger import MINUTES, UUID, Book

from ringproof.batches.erasure import erase_number
from ringproof.clock import epoch_ms
from ringproof.errors import Rejected, Unreachable
from ringproof.ledger import reverification
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import repair_agenda
from ringproof.ledger.answers import Outcome, PlivoSignal
from ringproof.ledger.confirmation import Source, mark_verified
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import reserve_slot
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Reason, State
from ringproof.ledger.reverification import Requested
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy, Rate
from tasks import reverification as tasks
from tasks import sweep
from tasks.reverification import Reverified, enqueue_reverifications, reverify_numbers

DAY = timedelta(days=1)
FAST = Rate.parse("1000/0.1s")


class NumberToReverify(Book):
    """A ledger whose verified numbers are asked about again, beside what Plivo has of them."""

    def __init__(self, client, monkeypatch, days=90):
        super().__init__(client)
        self.plivo, self.asked, self.messages = {}, [], []
        self.has_no_list = False
        self.period(days)
        reserve_slot(self.ledger)
        self.move(timedelta(seconds=1))  # past the first window
        monkeypatch.setattr(tasks, "send_numbers", lambda _, numbers, lane, *__: self.messages.append((numbers, lane)))
        for module in (tasks, sweep):
            monkeypatch.setattr(module, "send_chunk", lambda requests, lane, *_: self.messages.append((requests, lane)))

    def period(self, days):
        policy = Policy(rate=FAST, call_rate=FAST, range_codes_per_hour=0, reverify_ms=days * 86_400_000)
        self.ledger.publish_policy(policy)

    def get(self, number, *, before_first_byte=lambda: None):
        """As Plivo's client: what it has of a number."""
        before_first_byte()
        self.asked.append(number)
        if isinstance(self.plivo.get(number), Exception):
            raise self.plivo[number]
        return self.plivo.get(number)

    def probe(self, *, before_first_byte=lambda: None):
        """As Plivo's client: whether it has the list."""
        before_first_byte()
        if self.has_no_list:
            raise Rejected("404 not found")

    def verify(self, number=None, **options):
        """Have a number verified by its person, now."""
        number = number or self.number
        accepted = self.ledger.accept(number, token=f"{number}{self.now()}", **options)
        self.answer(number, accepted.request)

    def answer(self, number, request):
        """Have a code sent, and entered."""
        self.send(number, request)
        known = self.has(number, self.ledger.read(number).verification_uuid)
        mark_verified(self.ledger, [known], "handle")

    def send(self, number, request, outcome=None):
        """Have a code sent, whose uuid is its own."""
        outcome = outcome or Outcome(State.CODE_SENT, verification_uuid=f"of-{request}", api_id=UUID)
        begun = self.ledger.begin([(number, request)])[0]
        self.ledger.settle(number, begun.record.request, begun.fence, outcome)

    def let_the_code_expire(self):
        """Have the code sent that is asked for, and let it expire."""
        self.send(self.number, self.record.request)
        self.pass_the_code()

    def has(self, number, uuid=UUID):
        """Plivo has it from now on."""
        self.plivo[number] = VerifiedNumber(number, "", "US", self.now(), self.now(), "", uuid)
        return self.plivo[number]

    def due_at(self, number=None):
        return reverification.next_date(self.ledger, number or self.number)

    def days_until(self, number=None):
        return (self.due_at(number) - self.now()) / DAY

    def tick(self):
        """The sweep's tick; returns the numbers that were enqueued."""
        sweep.sweep_once(self.ledger)
        before = len(self.messages)
        enqueue_reverifications(self.ledger)
        return [number for numbers, _ in self.messages[before:] for number in numbers]

    def reverify(self, numbers=None, mode="check"):
        self.client.hset(self.keys.policy, "reverify_mode", mode)
        return reverify_numbers(self.ledger, self, self.tick() if numbers is None else numbers)

    def pass_to_the_due_date(self):
        self.move(self.due_at() - self.now() + timedelta(seconds=1))

    def state(self, number=None):
        record = self.ledger.read(number or self.number)
        return record.state, record.reason

    def silence(self, mode="send"):
        """It is asked by a code, and does not answer; the next day comes."""
        assert self.reverify(mode=mode) == {Reverified.SENT_CODE: 1}
        self.let_the_code_expire()
        self.move(DAY)

    def pass_the_code(self):
        self.move(16 * MINUTES)
        self.finish_scan()
        sweep.sweep_once(self.ledger)

    def is_kept(self):
        """Whether its record stays for good."""
        return self.client.pttl(self.keys.record(self.number)) == -1


@pytest.fixture
def book(client, monkeypatch):
    return NumberToReverify(client, monkeypatch)


class TestTheDay:
    """A number falls due on a day of its own."""

    def test_is_never_later_than_the_period_nor_sooner_than_its_half_and_spread_between(self, book):
        numbers = [fresh_number() for _ in range(300)]
        for number in numbers:
            book.verify(number)
        days = sorted(book.days_until(number) for number in numbers)

        assert 44.9 < days[0] < 47
        assert 88 < days[-1] < 90
        assert max(later - sooner for sooner, later in pairwise(days)) < 3

    def test_is_a_period_later_from_the_second_time_on(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.move(timedelta(hours=5))
        assert book.reverify() == {Reverified.STILL_VERIFIED: 1}

        assert book.days_until() == pytest.approx(90 - 5 / 24, abs=0.01)

    def test_is_its_own_where_it_was_asked_for_with_another_period(self, book):
        book.verify(reverify_after_days=10)

        assert 5 <= book.days_until() <= 10
        assert book.record.reverify_after_days == 10

    def test_never_comes_where_it_is_off(self, book):
        book.period(0)
        book.verify()
        book.verify(other := fresh_number(), reverify_after_days=0)

        assert book.due_at() is None
        assert book.due_at(other) is None

    def test_comes_for_those_verified_before_it_was_on_and_not_for_all_at_once(self, book):
        book.period(0)
        numbers = [fresh_number() for _ in range(50)]
        for number in numbers:
            book.verify(number)
        book.move(400 * DAY)
        book.period(90)
        while not all(map(book.due_at, numbers)):  # the agenda repair has a round
            repair_agenda(book.ledger, 1000)
        days = [book.days_until(number) for number in numbers]

        assert all(44.9 < day <= 90 for day in days)
        assert max(days) - min(days) > 30

    def test_is_forgotten_once_it_is_off_again(self, book):
        book.verify()
        book.period(0)
        book.move(100 * DAY)

        assert book.tick() == []
        assert book.due_at() is None
        assert book.state() == (State.VERIFIED, None)


class TestChecking:
    """Plivo is asked whether it has the number still."""

    def test_sends_no_code_while_plivo_has_the_number(self, book):
        book.verify()
        book.pass_to_the_due_date()
        assert book.tick() == [book.number]
        assert book.messages == [([book.number], Lane.SCHEDULED)]
        book.reverify([book.number])

        assert book.asked == [book.number]
        assert book.state() == (State.VERIFIED, None)
        assert abs(book.record.checked_at - book.now()) < MINUTES
        assert book.tick() == []

    def test_sends_a_code_once_the_number_is_gone_and_verifies_a_user_who_answers(self, book):
        book.verify()
        book.pass_to_the_due_date()
        del book.plivo[book.number]
        assert book.reverify() == {Reverified.SENT_CODE: 1}
        record = book.record
        assert (record.state, record.lane, record.reverifies) == (State.QUEUED, Lane.SCHEDULED, True)
        assert book.messages[-1] == ([(book.number, record.request)], Lane.SCHEDULED)
        book.answer(book.number, record.request)

        assert book.state() == (State.VERIFIED, None)
        assert not book.record.reverifies
        assert 44.9 < book.days_until() <= 90

    def test_that_plivo_does_not_answer_is_done_some_minutes_later(self, book):
        book.verify()
        book.pass_to_the_due_date()
        there, book.plivo[book.number] = book.plivo[book.number], Unreachable("503")
        assert book.reverify() == {Reverified.LATER: 1}
        assert book.tick() == []
        book.plivo[book.number] = there
        book.move(11 * MINUTES)

        assert book.reverify() == {Reverified.STILL_VERIFIED: 1}

    def test_asks_once_about_each_number_however_many_messages_there_are(self, book):
        book.verify()
        book.pass_to_the_due_date()
        numbers = book.tick()
        assert book.reverify(numbers * 5) == {Reverified.STILL_VERIFIED: 1, Reverified.NOT_DUE: 4}

        assert book.reverify(numbers) == {Reverified.NOT_DUE: 1}
        assert book.asked == [book.number]

    def test_gives_a_number_to_one_worker_for_a_minute(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.tick()
        assert reverification.claim(book.ledger, book.number)
        assert reverification.claim(book.ledger, book.number) is None
        book.move(MINUTES + timedelta(seconds=1))  # its worker has died

        assert reverification.claim(book.ledger, book.number)

    def test_waits_for_a_turn_in_the_scheduled_lane(self, book):
        book.ledger.publish_policy(Policy(rate=Rate.parse("2/1s"), reverify_ms=90 * 86_400_000))
        for number in (numbers := [fresh_number() for _ in range(3)]):
            book.verify(number)
            book.move(timedelta(seconds=5))
        book.move(100 * DAY)
        before = book.slots()
        reserve_slot(book.ledger)
        book.reverify(numbers)

        assert (book.slots() - before) / 1e6 > 100 * 86_400 - 60
        assert sorted(book.asked) == sorted(numbers)
        assert book.client.hexists(book.keys.pace, "floor:scheduled")


class TestSending:
    """A new code tells whether the number is still that person's."""

    def test_gives_an_answered_number_a_new_period(self, book):
        book.verify()
        book.pass_to_the_due_date()
        assert book.reverify(mode="send") == {Reverified.SENT_CODE: 1}
        book.answer(book.number, book.record.request)

        assert book.asked == []
        assert book.state() == (State.VERIFIED, None)
        assert 44.9 < book.days_until() <= 90

    def test_makes_a_number_lapse_that_does_not_answer_twice_in_a_row(self, book):
        book.verify()
        book.pass_to_the_due_date()
        for expected in [(State.EXPIRED, None), (State.EXPIRED, Reason.LAPSED)]:
            assert book.reverify(mode="send") == {Reverified.SENT_CODE: 1}
            book.let_the_code_expire()
            assert book.state() == expected
            book.move(DAY)

        assert book.tick() == []
        assert list(reverification.lapsed(book.ledger)) == [book.number]
        assert book.client.pttl(book.keys.record(book.number)) > 0

    def test_forgives_one_silence_once_there_was_an_answer(self, book):
        book.verify()
        for _ in range(2):
            book.pass_to_the_due_date()
            book.reverify(mode="send")
            book.let_the_code_expire()
            assert book.state() == (State.EXPIRED, None)
            assert 0.9 < book.days_until() < 1
            book.move(DAY)
            book.reverify(mode="send")
            book.answer(book.number, book.record.request)
            assert book.state() == (State.VERIFIED, None)

        assert list(reverification.lapsed(book.ledger)) == []

    def test_lapsed_is_no_word_for_a_person_who_asked_by_themselves(self, book):
        book.verify()
        for _ in range(2):
            book.accept(RequestKind.RESEND)
            book.let_the_code_expire()

        assert book.state() == (State.VERIFIED, None)

    def test_that_comes_too_late_has_another_day(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.reverify(mode="send")
        book.move(25 * 60 * MINUTES)
        book.tick()
        assert book.state() == (State.FAILED, Reason.TOO_LATE)
        assert book.record.is_verified
        book.move(DAY)

        assert book.reverify(mode="send") == {Reverified.SENT_CODE: 1}

    def test_that_never_reached_plivo_has_another_day(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.reverify(mode="send")
        for _ in range(3):
            book.send(
                book.number, book.record.request, Outcome(State.WAITING, Reason.UNREACHABLE, wait=timedelta(hours=10))
            )
            book.move(timedelta(hours=11))
            book.tick()
        assert book.state() == (State.FAILED, Reason.UNREACHABLE)

        assert 0.9 < book.days_until() <= 1

    def test_that_is_refused_or_cancelled_takes_nothing_from_the_verification(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.reverify(mode="send")
        book.send(
            book.number, book.record.request, Outcome(State.FAILED, Reason.REJECTED, plivo_signal=PlivoSignal.ANSWERED)
        )
        assert book.state() == (State.FAILED, Reason.REJECTED)
        assert book.client.pttl(book.keys.record(book.number)) == -1
        assert 44.9 < book.days_until() <= 90
        assert book.accept(RequestKind.ROSTER).disposition is Disposition.VERIFIED
        book.accept(RequestKind.RESEND)
        book.ledger.cancel(book.number, book.record.request)

        assert book.state() == (State.CANCELLED, None)
        assert book.accept(RequestKind.ROSTER).disposition is Disposition.VERIFIED
        assert 44.9 < book.days_until() <= 90


class TestInBetween:
    """A number is re-verified until it has lapsed, and not before its date, whatever comes in between."""

    @pytest.mark.parametrize("way", ["too late", "refused", "cancelled", "a person's, cancelled"])
    def test_a_second_code_that_came_to_nothing_is_sent_another_time(self, book, way):
        book.verify()
        book.pass_to_the_due_date()
        book.silence()
        if way == "a person's, cancelled":
            book.accept()
        else:
            assert book.reverify(mode="send") == {Reverified.SENT_CODE: 1}
        if way == "too late":
            book.move(25 * 60 * MINUTES)
            book.tick()
        elif way == "refused":
            book.send(
                book.number,
                book.record.request,
                Outcome(State.FAILED, Reason.REJECTED, plivo_signal=PlivoSignal.ANSWERED),
            )
        else:
            book.ledger.cancel(book.number, book.record.request)
        assert book.state()[0] in {State.FAILED, State.CANCELLED}
        assert book.is_kept()
        book.pass_to_the_due_date()
        book.silence()

        assert book.state() == (State.EXPIRED, Reason.LAPSED)

    def test_a_code_whose_place_a_persons_request_takes_in_vain_counts_as_unanswered(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.reverify(mode="send")
        book.send(book.number, book.record.request)
        book.move(5 * MINUTES)
        book.accept(RequestKind.RESEND)
        book.ledger.cancel(book.number, book.record.request)
        book.pass_the_code()
        assert book.is_kept()
        book.pass_to_the_due_date()
        book.silence()

        assert book.state() == (State.EXPIRED, Reason.LAPSED)

    @pytest.mark.parametrize("silences", [0, 1])
    def test_an_unanswered_resend_neither_ends_nor_delays_it(self, book, silences):
        book.verify()
        if silences:
            book.pass_to_the_due_date()
            book.silence()
        due_at = book.due_at()
        book.move(2 * MINUTES)
        book.accept(RequestKind.RESEND)
        book.let_the_code_expire()

        assert book.state() == (State.VERIFIED, None)
        assert book.is_kept()
        if silences:
            assert 0.9 < book.days_until() <= 1
            book.pass_to_the_due_date()
            book.silence()
            assert book.state() == (State.EXPIRED, Reason.LAPSED)
        else:
            assert book.due_at() == due_at

    def test_a_number_that_plivo_no_longer_has_is_not_verified_until_a_code_is_answered(self, book):
        book.verify()
        book.pass_to_the_due_date()
        removed = book.plivo.pop(book.number)
        (numbers,) = [book.tick()]
        book.ledger.publish_policy(Policy(rate=FAST, range_codes_per_hour=0, countries=("GB",)))  # no code is sent
        assert book.reverify(numbers) == {Reverified.LATER: 1}

        assert book.state() == (State.EXPIRED, Reason.REMOVED)
        assert not book.record.is_verified
        assert list(reverification.verified(book.ledger)) == []
        book.period(90)
        book.plivo[book.number] = removed
        assert reverification.request(book.ledger, [book.number]) == [Requested.DUE]
        assert book.reverify() == {Reverified.STILL_VERIFIED: 1}
        assert book.state() == (State.VERIFIED, None)
        assert book.record.is_verified

    def test_no_number_is_removed_where_plivo_has_no_list_either(self, book):
        book.verify()
        book.pass_to_the_due_date()
        known = book.plivo.pop(book.number)
        book.has_no_list = True  # PLIVO_BASE_URL has a wrong path
        assert book.reverify() == {Reverified.LATER: 1}

        assert book.record.is_verified
        book.plivo[book.number], book.has_no_list = known, False
        book.move(10 * MINUTES)
        assert book.reverify() == {Reverified.STILL_VERIFIED: 1}

    def test_a_verification_during_the_look_up_is_not_ended_by_it(self, book, monkeypatch):
        book.verify()
        book.pass_to_the_due_date()
        del book.plivo[book.number]
        get = book.get

        def get_and_verify(number, **_):
            answer = get(number)
            book.client.hset(book.keys.record(number), "verified_at", epoch_ms(book.now()))
            return answer

        monkeypatch.setattr(book, "get", get_and_verify)
        book.reverify()

        assert book.record.is_verified

    def test_an_expired_number_whose_verification_stands_is_mended_by_the_check(self, book):
        book.period(0)
        book.verify()
        known = book.plivo[book.number]
        book.move(2 * MINUTES)
        book.accept(RequestKind.RESEND)
        book.let_the_code_expire()
        book.client.hset(book.keys.record(book.number), "state", "expired")  # as an earlier version has left it
        book.period(90)
        while not book.due_at():  # the agenda repair has a round
            repair_agenda(book.ledger, 10_000)
        book.pass_to_the_due_date()
        book.plivo[book.number] = known
        assert book.reverify() == {Reverified.STILL_VERIFIED: 1}

        assert book.state() == (State.VERIFIED, None)

    def test_a_number_in_doubt_is_not_verified_by_a_code_of_long_ago(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.reverify(mode="send")
        book.send(
            book.number, doubtful := book.record.request, Outcome(State.IN_DOUBT, plivo_signal=PlivoSignal.DOUBTFUL)
        )
        book.move(17 * MINUTES)
        sweep.sweep_once(book.ledger)
        sweep.end_doubt(book.ledger, book.record, book.get(book.number), hold=False)

        assert book.state() == (State.QUEUED, None)
        assert book.record.request > doubtful
        assert book.record.reverifies
        book.let_the_code_expire()
        assert 0.9 < book.days_until() < 1

    @pytest.mark.parametrize("has_newer_code", [True, False])
    def test_an_edited_alias_does_not_end_a_doubt(self, book, has_newer_code):
        was_verified_at = book.now()
        if has_newer_code:
            book.verify()
            uuid = book.record.verification_uuid
            book.move(2 * MINUTES)
            book.accept(RequestKind.RESEND)
            book.let_the_code_expire()
        else:
            uuid = "of another program"
        book.move(2 * MINUTES)
        request = book.accept(RequestKind.RESEND).request
        book.send(book.number, request, Outcome(State.IN_DOUBT, plivo_signal=PlivoSignal.DOUBTFUL))
        book.move(17 * MINUTES)
        sweep.sweep_once(book.ledger)
        edited = VerifiedNumber(book.number, "edited", "US", was_verified_at, book.now(), "", uuid)
        sweep.end_doubt(book.ledger, book.record, edited, hold=False)

        assert book.state() == (State.FAILED, Reason.IN_DOUBT)
        assert book.record.is_verified is has_newer_code

    def test_a_standing_number_whose_last_request_failed_has_its_day_once_the_schedule_is_on(self, book):
        book.period(0)
        book.verify()
        book.move(2 * MINUTES)
        book.accept(RequestKind.RESEND)
        book.ledger.cancel(book.number, book.record.request)
        assert book.is_kept()
        book.period(90)
        while not book.due_at():  # the agenda repair has a round
            repair_agenda(book.ledger, 10_000)

        assert 0 < book.days_until() <= 90
        assert list(reverification.verified(book.ledger)) == [book.record]

    def test_who_did_not_answer_once_is_given_up_with_the_schedule_and_taken_up_with_it(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.silence()
        book.period(0)
        assert book.tick() == []
        assert book.record.is_verified
        assert book.is_kept()
        book.period(90)
        while not book.due_at():  # the agenda repair has a round
            repair_agenda(book.ledger, 10_000)

        assert 0 < book.days_until() <= 90

    def test_who_entered_the_code_elsewhere_is_not_sent_another(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.reverify(mode="send")
        book.let_the_code_expire()
        book.has(book.number, book.record.verification_uuid)
        assert book.state() == (State.EXPIRED, None)
        book.move(DAY)
        assert book.reverify(mode="send") == {Reverified.STILL_VERIFIED: 1}

        assert book.state() == (State.VERIFIED, None)
        assert 44.9 < book.days_until() <= 90

    def test_the_agenda_repair_leaves_the_lapsed_alone(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.silence()
        book.silence()
        repair_agenda(book.ledger, 10_000)

        assert book.due_at() is None

    def test_of_a_country_that_is_left_out_by_now_it_is_not_tried_each_ten_minutes(self, book):
        book.verify(country="US")
        book.pass_to_the_due_date()
        policy = Policy(
            rate=FAST, call_rate=FAST, range_codes_per_hour=0, reverify_ms=90 * 86_400_000, countries=("CA",)
        )
        book.ledger.publish_policy(policy)
        assert book.reverify(mode="send") == {Reverified.LATER: 1}

        assert book.days_until() > 44

    def test_which_plivo_refuses_to_look_up_is_not_tried_each_ten_minutes(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.plivo[book.number] = Rejected("400")
        assert book.reverify() == {Reverified.LATER: 1}

        assert book.days_until() > 44

    @pytest.mark.parametrize("mode", ["check", "send"])
    @pytest.mark.parametrize("there", [True, False])
    def test_what_is_erased_meanwhile_is_not_brought_back(self, book, monkeypatch, mode, there):
        book.verify()
        book.pass_to_the_due_date()
        known = book.get(book.number) if there else None

        def get(_, **__):
            erase_number(book.ledger, book.number)
            return known

        claim = reverification.claim

        def claim_and_erase(*asked):
            try:
                return claim(*asked)
            finally:
                if mode == "send":
                    get(book.number)

        monkeypatch.setattr(book, "get", get)
        monkeypatch.setattr(reverification, "claim", claim_and_erase)
        book.reverify(mode=mode)

        assert book.record is None
        assert book.due_at() is None

    def test_a_doubt_that_is_erased_while_it_is_decided_is_not_brought_back(self, book):
        book.accept(RequestKind.ROSTER)
        book.send(book.number, book.record.request, Outcome(State.IN_DOUBT, plivo_signal=PlivoSignal.DOUBTFUL))
        book.move(17 * MINUTES)
        doubtful = book.record
        erase_number(book.ledger, book.number)
        sweep.end_doubt(book.ledger, doubtful, None, hold=False)

        assert book.record is None

    def test_a_number_that_is_erased_before_its_code_is_requested_is_not_brought_back(self, book):
        book.send(book.number, book.accept().request)  # this code may be live still, and that is not forgotten
        followed = book.record
        erase_number(book.ledger, book.number)
        asked = {"token": "reverify", "kind": RequestKind.REVERIFICATION, "lane": Lane.SCHEDULED}

        assert book.ledger.follow(followed, **asked).disposition is Disposition.GONE
        assert book.record is None

    def test_a_pause_holds_also_what_is_in_the_queue(self, book):
        book.verify()
        book.pass_to_the_due_date()
        numbers = book.tick()
        book.pause(Lane.SCHEDULED)
        assert book.reverify(numbers) == {Reverified.NOT_DUE: 1}
        assert book.asked == []
        book.ledger.run_script("pace/pause", args=[Lane.SCHEDULED, 0, ""])
        book.move(11 * MINUTES)

        assert book.reverify() == {Reverified.STILL_VERIFIED: 1}


class TestByHand:
    """A person wants numbers to be asked about now."""

    def test_it_has_both_its_codes_also_where_the_schedule_is_off(self, book):
        book.period(0)
        book.verify()
        reverification.request(book.ledger, [book.number])
        book.silence()
        book.silence()

        assert book.state() == (State.EXPIRED, Reason.LAPSED)
        assert not book.is_kept()

    def test_a_code_that_is_over_until_the_list_is_read_is_open_still(self, book):
        book.verify()
        book.pass_to_the_due_date()
        book.reverify(mode="send")
        book.send(book.number, book.record.request)
        book.move(16 * MINUTES)

        assert reverification.request(book.ledger, [book.number]) == [Requested.OPEN]

    def test_it_is_done_also_where_the_schedule_is_off(self, book):
        book.period(0)
        book.verify()
        assert reverification.request(book.ledger, [book.number]) == [Requested.DUE]

        assert book.reverify() == {Reverified.STILL_VERIFIED: 1}
        assert book.tick() == []
        assert book.due_at() is None

    def test_it_says_why_it_is_not_done(self, book):
        others = [fresh_number() for _ in range(3)]
        book.send(others[1], book.ledger.accept(others[1], token="expired").request)
        book.pass_the_code()
        book.ledger.accept(others[0], token="open")

        assert reverification.request(book.ledger, others) == [Requested.OPEN, Requested.NEVER, Requested.UNKNOWN]

    def test_the_lapsed_have_another_two_codes(self, book):
        book.verify()
        book.pass_to_the_due_date()
        for _ in range(2):
            book.reverify(mode="send")
            book.let_the_code_expire()
            book.move(DAY)
        assert reverification.request(book.ledger, [book.number]) == [Requested.DUE]
        assert list(reverification.lapsed(book.ledger)) == []
        book.reverify(mode="send")
        book.let_the_code_expire()

        assert book.state() == (State.EXPIRED, None)

    def test_those_that_are_due_soon_or_old_are_found(self, book):
        book.verify()
        book.move(DAY)
        book.verify(other := fresh_number(), reverify_after_days=2)

        assert list(reverification.due_within(book.ledger, 2 * DAY)) == [other]
        assert list(reverification.older_than(book.ledger, timedelta(hours=12))) == [book.number]
        assert set(reverification.due_within(book.ledger, 90 * DAY)) == {book.number, other}


def test_redis_walks_over_no_number_twice_however_many_are_due(client):
    """With LIMIT for each page, it walked over half a million numbers a page when a million were due."""
    ledger, now = Ledger(client, prefix=f"t{secrets.token_hex(4)}"), round(time.time() * 1000)
    due = {f"+1415{2_000_000 + n}": now - 1000 + n // 1000 for n in range(30_000)}  # a thousand in each millisecond
    later = {f"+1415{3_000_000 + n}": now + 86_400_000 + n for n in range(1000)}
    client.zadd(ledger.keys.renewals, due | later)
    with client.monitor() as monitor:
        found = list(reverification.due_within(ledger, timedelta(hours=1)))
        client.echo("the end")
        commands = []
        while (command := monitor.next_command()["command"]) != "ECHO the end":
            commands += [command] * (ledger.keys.renewals in command)
    client.delete(ledger.keys.renewals)
    skipped = sum(int(words[-2]) for words in map(str.split, commands) if "LIMIT" in words)

    assert found == sorted(due, key=lambda number: (due[number], number))
    assert skipped <= len(due)
    assert len(commands) < 10


def test_a_pause_holds_it_and_three_days_without_a_beat_are_caught_up(book):
    numbers = [fresh_number() for _ in range(30)]
    for number in numbers:
        book.verify(number)
    book.move(93 * DAY)
    book.pause(Lane.SCHEDULED)
    assert book.tick() == []
    book.ledger.run_script("pace/pause", args=[Lane.SCHEDULED, 0, ""])

    assert sorted(book.tick()) == sorted(numbers)
    assert [len(sent) for sent, _ in book.messages] == [20, 10]
    assert book.tick() == []


def test_a_long_queue_is_not_made_longer(book):
    book.verify()
    book.pass_to_the_due_date()
    name = queue(Lane.SCHEDULED)
    book.client.rpush(name, *["{}"] * 1000)
    try:
        assert book.tick() == []
    finally:
        book.client.delete(name)
    assert book.tick() == [book.number]


def test_many_due_at_once_are_asked_about_once_each_though_a_beat_dies_at_its_tick(book):
    """Three sweeps; one of them dies between taking numbers and sending their messages."""
    count = 5_000
    numbers = {fresh_number() for _ in range(count)}
    for number in numbers:
        book.plivo[number] = VerifiedNumber(number, "", "US", book.now(), book.now(), "", UUID)
    for start in range(0, count, 500):
        mark_verified(book.ledger, list(book.plivo.values())[start : start + 500], source=Source.LIST)
    book.move(91 * DAY)
    done = Counter()
    lost = reverification.due(book.ledger, 300, 20, queue(Lane.SCHEDULED))
    for tick in range(10**4):
        found = book.tick()
        if not found and len(book.asked) < count:
            book.move(11 * MINUTES)  # those that died with the beat are due again
        done += book.reverify(found)
        if len(book.asked) == count and tick % 3 == 0:
            break

    assert len(lost) == 300
    assert done == {Reverified.STILL_VERIFIED: count}
    assert Counter(book.asked) == dict.fromkeys(numbers, 1)
    assert book.tick() == []

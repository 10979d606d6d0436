"""Pauses: who is not sent to, until when, and what an answer of Plivo's says to all the others."""

from datetime import timedelta

import pytest
from support.simulation import SECOND, Simulation

from ringproof.errors import Forbidden, Rejected, Throttled, Unauthorized, Unknown, Unreachable
from ringproof.ledger import control
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, PlivoSignal, Verdict
from ringproof.ledger.pace import report_answer, take_probe
from ringproof.ledger.record import Lane, Reason, State
from worker.sending.outcomes import outcome_of

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)
FORBIDDEN = outcome_of(Forbidden("402 no credit"), 1)
UNAUTHORIZED = outcome_of(Unauthorized("401"), 1)
DOUBTFUL = outcome_of(Unknown("502"), 1)
QUEUES = {lane: f"test.{lane}" for lane in Lane}
DAY = timedelta(days=1)


@pytest.fixture
def simulation(client):
    return Simulation(client)


def whys(simulation):
    return [pause.why for pause in control.sending_status(simulation.ledger).pauses]


def is_paused(simulation, lane=Lane.BULK):
    return simulation.begin(*simulation.numbers(1, lane)).verdict is Verdict.WAITING


class TestAPersons:
    @pytest.mark.parametrize("lane", [None, *Lane])
    def test_keeps_its_lane_or_all_from_being_sent_to_until_a_person_resumes(self, simulation, lane):
        assert control.pause(simulation.ledger, lane, "the  codes\nare wrong") is True
        held = {one for one in Lane if is_paused(simulation, one)}
        (pause,) = control.sending_status(simulation.ledger).pauses
        assert control.resume(simulation.ledger, lane) is True

        assert held == ({lane} if lane else set(Lane))
        assert (pause.lane, pause.why, pause.since) == (lane, "the codes are wrong", simulation.moment())
        assert not any(is_paused(simulation, one) for one in Lane)

    def test_twice_is_as_once_and_its_reason_the_newest(self, simulation):
        told = [control.pause(simulation.ledger, reason=reason) for reason in ("one", "two")]

        assert (told, whys(simulation)) == ([True, False], ["two"])
        assert [control.resume(simulation.ledger) for _ in range(2)] == [True, False]

    def test_of_a_lane_ends_with_a_resume_of_all(self, simulation):
        control.pause(simulation.ledger, Lane.BULK)
        control.resume(simulation.ledger)

        assert not is_paused(simulation)

    def test_takes_back_what_has_a_slot_it_has_not_used(self, simulation):
        (request,) = simulation.numbers(1, Lane.INTERACTIVE)
        begun = simulation.begin(request)
        control.pause(simulation.ledger)
        again = simulation.begin(request, fence=begun.fence)

        assert (again.verdict, simulation.record(request).state) == (Verdict.LATER, State.QUEUED)
        assert simulation.begin(request).verdict is Verdict.WAITING
        assert (simulation.record(request).reason, simulation.record(request).attempts) == (Reason.PAUSED, 0)

    def test_is_looked_at_every_few_seconds_and_nothing_is_enqueued_meanwhile(self, simulation):
        person, *roster = simulation.numbers(1, Lane.INTERACTIVE) + simulation.numbers(3)
        control.pause(simulation.ledger)
        for request in (person, roster[0]):
            simulation.begin(request)
        done = []
        for _ in range(12):
            simulation.pass_(10)
            done += [entry.action for entry in work_off_agenda(simulation.ledger, 100, QUEUES)]

        assert set(done) == {AgendaAction.HELD}
        assert simulation.record(person).due_at == simulation.moment(5)
        assert all(simulation.record(one).due_at <= simulation.moment(30) for one in roster)

    def test_does_not_count_against_the_day_that_bulk_has_but_against_a_persons_quarter_hour(self, simulation):
        person, roster = simulation.numbers(1, Lane.INTERACTIVE) + simulation.numbers(1)
        ends = simulation.record(roster).ends_at
        control.pause(simulation.ledger)
        for _ in range(3 * 24):
            simulation.pass_(3600)
            work_off_agenda(simulation.ledger, 100, QUEUES)
        control.resume(simulation.ledger)
        simulation.pass_(31)
        done = {entry.phone_number: entry.action for entry in work_off_agenda(simulation.ledger, 100, QUEUES)}

        assert simulation.record(person).reason is Reason.TOO_LATE
        assert done == {roster[0]: AgendaAction.ENQUEUE}
        assert simulation.record(roster).ends_at > ends
        assert simulation.begin(roster).verdict is Verdict.BEGUN

    def test_releases_them_in_the_order_in_which_they_came(self, simulation):
        requests = simulation.numbers(20)
        control.pause(simulation.ledger)
        for request in requests:
            simulation.pass_(0.1)
            simulation.begin(request)
        control.resume(simulation.ledger)
        simulation.pass_(30)

        assert [entry.phone_number for entry in work_off_agenda(simulation.ledger, 100, QUEUES)] == [
            number for number, _ in requests
        ]


class TestUnknownCredentials:
    def test_pause_all_until_plivo_knows_them(self, simulation):
        request, other = simulation.numbers(2)
        record = simulation.send(request, UNAUTHORIZED)

        assert (record.state, record.reason, record.attempts) == (State.WAITING, Reason.PAUSED, 0)
        assert is_paused(simulation, Lane.INTERACTIVE)
        report_answer(simulation.ledger, PlivoSignal.KNOWN)
        assert simulation.begin(other).verdict is Verdict.BEGUN

    def test_are_asked_about_every_thirty_seconds_by_one(self, simulation):
        simulation.send(simulation.numbers(1)[0], UNAUTHORIZED)
        asked = []
        for _ in range(9):
            simulation.pass_(10)
            asked.append([take_probe(simulation.ledger) for _ in range(3)])

        assert [any(three) for three in asked] == [False, False, True] * 3
        assert sum(map(sum, asked)) == 3

    def test_are_asked_about_at_once_when_a_person_resumes(self, simulation):
        simulation.send(simulation.numbers(1)[0], UNAUTHORIZED)
        control.resume(simulation.ledger)

        assert take_probe(simulation.ledger)

    def test_are_not_known_because_an_older_send_was_taken(self, simulation):
        first, second = simulation.numbers(2, Lane.INTERACTIVE)
        under_way = simulation.begin(first)
        simulation.send(second, UNAUTHORIZED)
        simulation.settle(under_way, TAKEN)

        assert is_paused(simulation)

    def test_without_them_nobody_is_asked_about_them(self, simulation):
        assert not take_probe(simulation.ledger)


class TestARefusal:
    """402 or 403: of the account, or of one number alone."""

    def test_is_the_numbers_own_if_another_one_is_taken(self, simulation):
        suspect, other = simulation.numbers(2)
        record = simulation.send(suspect, FORBIDDEN)
        assert (record.state, record.reason, record.attempts) == (State.WAITING, Reason.PAUSED, 0)
        simulation.send(other, TAKEN)

        record = simulation.record(suspect)
        assert (record.state, record.reason, record.detail) == (State.FAILED, Reason.FORBIDDEN, "402 no credit")
        assert whys(simulation) == []

    def test_is_the_numbers_own_if_one_that_left_after_it_is_taken(self, simulation):
        suspect, later = (simulation.begin(one) for one in simulation.numbers(2, Lane.INTERACTIVE))
        simulation.settle(suspect, FORBIDDEN)
        simulation.settle(later, TAKEN)

        assert simulation.ledger.read(suspect.record.phone_number).state is State.FAILED

    def test_says_nothing_yet_if_one_that_left_before_it_is_taken(self, simulation):
        earlier, suspect = (simulation.begin(one) for one in simulation.numbers(2, Lane.INTERACTIVE))
        simulation.settle(suspect, FORBIDDEN)
        simulation.settle(earlier, TAKEN)

        assert simulation.ledger.read(suspect.record.phone_number).state is State.WAITING

    def test_lets_one_other_be_sent_to_first_and_the_rest_ask_again_shortly(self, simulation):
        suspect, first, second = simulation.numbers(3)
        simulation.send(suspect, FORBIDDEN)
        begun = simulation.begin(first)
        waits = simulation.begin(second)
        simulation.settle(begun, TAKEN)

        assert (begun.verdict, waits.verdict) == (Verdict.BEGUN, Verdict.LATER)
        assert waits.wait <= timedelta(milliseconds=250)
        simulation.at(waits.at_us)
        assert simulation.begin(second).verdict is Verdict.BEGUN

    def test_of_another_too_is_the_accounts_and_one_is_tried_every_thirty_seconds(self, simulation):
        requests = simulation.numbers(6)
        for request in requests[:2]:
            simulation.send(request, FORBIDDEN)
        held = [simulation.begin(request) for request in requests[2:4]]
        simulation.pass_(31)
        simulation.send(requests[4], FORBIDDEN)
        assert is_paused(simulation)
        simulation.pass_(31)
        simulation.send(requests[5], TAKEN)

        assert {begun.verdict for begun in held} == {Verdict.WAITING}
        assert {simulation.record(request).state for request in requests[:5]} == {State.WAITING}
        assert {simulation.record(request).attempts for request in requests[:5]} == {0}
        assert not is_paused(simulation)

    def test_of_a_number_that_is_alone_is_asked_about_again_and_then_its_own(self, simulation):
        (suspect,) = simulation.numbers(1)
        simulation.send(suspect, FORBIDDEN)
        simulation.pass_(31)
        (entry,) = work_off_agenda(simulation.ledger, 10, QUEUES)
        record = simulation.send(suspect, FORBIDDEN)

        assert entry.action is AgendaAction.ENQUEUE
        assert (record.state, record.reason) == (State.FAILED, Reason.FORBIDDEN)
        assert not is_paused(simulation)

    def test_whose_probe_dies_lets_another_be_sent_to_when_its_lease_ends(self, simulation):
        suspect, dies, other = simulation.numbers(3)
        simulation.send(suspect, FORBIDDEN)
        simulation.begin(dies)
        simulation.pass_(46)

        assert simulation.begin(other).verdict is Verdict.BEGUN

    @pytest.mark.parametrize("error", [Rejected("400"), Unreachable("refused")])
    def test_is_told_nothing_by_an_answer_that_is_neither(self, simulation, error):
        suspect, first, second = simulation.numbers(3)
        simulation.send(suspect, FORBIDDEN)
        simulation.send(first, outcome_of(error, 1))

        assert simulation.record(suspect).state is State.WAITING
        assert simulation.begin(second).verdict is Verdict.BEGUN, "it is the next to be sent to first"

    def test_leaves_a_suspect_alone_that_has_been_cancelled_meanwhile(self, simulation):
        suspect, other = simulation.numbers(2)
        simulation.send(suspect, FORBIDDEN)
        simulation.ledger.cancel(*suspect)
        simulation.send(other, TAKEN)

        assert simulation.record(suspect).state is State.CANCELLED


class TestDoubtsInARow:
    def doubt(self, simulation, count):
        for request in simulation.numbers(count):
            simulation.pass_(1)
            simulation.send(request, DOUBTFUL)

    def test_five_of_them_pause_all_for_longer_and_longer_with_one_request_first(self, simulation):
        self.doubt(simulation, 4)
        assert whys(simulation) == []
        self.doubt(simulation, 1)
        waits = []
        for _ in range(8):
            waits.append((control.sending_status(simulation.ledger).pauses[0].next_look - simulation.moment()).seconds)
            assert is_paused(simulation)
            simulation.pass_(waits[-1] + 0.01)
            first, second = (simulation.begin(one) for one in simulation.numbers(2))
            assert (first.verdict, second.verdict) == (Verdict.BEGUN, Verdict.LATER)
            simulation.at(first.at_us)
            simulation.settle(first, DOUBTFUL)

        assert [round(wait) for wait in waits] == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=1)

    @pytest.mark.parametrize("plivo_signal", [TAKEN, outcome_of(Rejected("400"), 1), outcome_of(Throttled("429"), 1)])
    def test_a_sure_answer_between_begins_the_row_anew_and_ends_the_pause(self, simulation, plivo_signal):
        self.doubt(simulation, 4)
        simulation.send(simulation.numbers(1)[0], plivo_signal)
        simulation.pass_(10)
        self.doubt(simulation, 4)
        assert whys(simulation) == []
        self.doubt(simulation, 1)
        simulation.pass_(2)
        simulation.send(simulation.numbers(1)[0], plivo_signal)

        assert whys(simulation) == []

    def test_of_those_under_way_count_once(self, simulation):
        begun = [simulation.begin(one) for one in simulation.numbers(20, Lane.INTERACTIVE)]
        simulation.pass_(2)
        for one in begun:
            simulation.settle(one, DOUBTFUL)

        (pause,) = control.sending_status(simulation.ledger).pauses
        assert pause.next_look - simulation.moment() == timedelta(seconds=1)


def test_a_look_up_is_heard_by_all(simulation):
    report_answer(simulation.ledger, PlivoSignal.THROTTLED, 7.0)
    closed = simulation.slots_from("account") - simulation.now_us
    report_answer(simulation.ledger, PlivoSignal.UNAUTHORIZED)

    assert 7 * SECOND <= closed <= 7.8 * SECOND
    assert is_paused(simulation)

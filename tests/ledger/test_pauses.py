"""Pauses: which numbers wait, until when, and what an answer of Plivo's means for all the others."""

from datetime import timedelta

import pytest
from support.simulation import SECOND, Simulation

from ringproof.batches.erasure import erase_number
from ringproof.errors import Forbidden, Rejected, Throttled, Unauthorized, Unknown, Unreachable
from ringproof.ledger import control
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, PlivoSignal, Verdict
from ringproof.ledger.pace import report_answer
from ringproof.ledger.pauses import PAUSE_KINDS
from ringproof.ledger.plivo_credentials import check_credentials
from ringproof.ledger.record import Lane, Reason, State
from worker.sending.outcomes import outcome_of

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)
NO_CREDIT = outcome_of(Forbidden("402 no credit"), 1)
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


class TestAnOperatorsPause:
    @pytest.mark.parametrize("lane", [None, *Lane])
    def test_a_pause_stops_its_lane_or_all_until_the_resume(self, simulation, lane):
        assert control.pause(simulation.ledger, lane, "the  codes\nare wrong") is True
        held = {one for one in Lane if is_paused(simulation, one)}
        (pause,) = control.sending_status(simulation.ledger).pauses
        assert control.resume(simulation.ledger, lane) is True

        assert held == ({lane} if lane else set(Lane))
        assert (pause.lane, pause.why, pause.since) == (lane, "the codes are wrong", simulation.moment())
        assert not any(is_paused(simulation, one) for one in Lane)

    def test_a_second_pause_only_changes_the_reason(self, simulation):
        is_new = [control.pause(simulation.ledger, reason=reason) for reason in ("one", "two")]

        assert (is_new, whys(simulation)) == ([True, False], ["two"])
        assert [control.resume(simulation.ledger) for _ in range(2)] == [True, False]

    def test_a_resume_of_all_ends_the_pause_of_a_lane(self, simulation):
        control.pause(simulation.ledger, Lane.BULK)
        control.resume(simulation.ledger)

        assert not is_paused(simulation)

    def test_a_pause_revokes_slots_that_are_not_used(self, simulation):
        (request,) = simulation.numbers(1, Lane.INTERACTIVE)
        begun = simulation.begin(request)
        control.pause(simulation.ledger)
        again = simulation.begin(request, fence=begun.fence)

        assert (again.verdict, simulation.record(request).state) == (Verdict.LATER, State.QUEUED)
        assert simulation.begin(request).verdict is Verdict.WAITING
        assert (simulation.record(request).reason, simulation.record(request).attempts) == (Reason.PAUSED, 0)

    def test_a_paused_number_is_checked_every_few_seconds_and_not_enqueued(self, simulation):
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

    def test_a_pause_moves_the_deadline_of_bulk_but_not_that_of_a_person(self, simulation):
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

    def test_paused_numbers_go_on_in_the_order_in_which_they_came(self, simulation):
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
    def test_unknown_credentials_pause_all_until_plivo_knows_them(self, simulation):
        request, other = simulation.numbers(2)
        record = simulation.send(request, UNAUTHORIZED)

        assert (record.state, record.reason, record.attempts) == (State.WAITING, Reason.PAUSED, 0)
        assert is_paused(simulation, Lane.INTERACTIVE)
        report_answer(simulation.ledger, PlivoSignal.KNOWN)
        assert simulation.begin(other).verdict is Verdict.BEGUN

    def test_one_process_probes_the_credentials_every_thirty_seconds(self, simulation):
        simulation.send(simulation.numbers(1)[0], UNAUTHORIZED)
        asked = []
        for _ in range(9):
            simulation.pass_(10)
            asked.append([check_credentials(simulation.ledger).probes for _ in range(3)])

        assert [any(three) for three in asked] == [False, False, True] * 3
        assert sum(map(sum, asked)) == 3

    def test_a_resume_of_all_ends_the_pause(self, simulation):
        first, second = simulation.numbers(2)
        simulation.send(first, UNAUTHORIZED)
        control.resume(simulation.ledger, Lane.BULK)
        assert is_paused(simulation)
        control.resume(simulation.ledger)

        assert not check_credentials(simulation.ledger).probes
        simulation.send(second, UNAUTHORIZED)
        assert is_paused(simulation)

    @pytest.mark.parametrize(
        "answer",
        [TAKEN, outcome_of(Forbidden("403"), 1), outcome_of(Rejected("400"), 1), outcome_of(Throttled("429"), 1)],
        ids=["taken", "402", "400", "429"],
    )
    def test_any_answer_but_401_to_a_later_send_ends_the_pause(self, simulation, answer):
        refused, later = (simulation.begin(one) for one in simulation.numbers(2, Lane.INTERACTIVE))
        simulation.pass_(1)
        simulation.settle(refused, UNAUTHORIZED)
        simulation.settle(later, answer)

        assert PAUSE_KINDS["credentials"].why not in whys(simulation)

    @pytest.mark.parametrize("answer", [DOUBTFUL, UNAUTHORIZED, outcome_of(Unreachable("503"), 1)])
    def test_what_is_no_answer_or_another_401_does_not_end_the_pause(self, simulation, answer):
        refused, later = (simulation.begin(one) for one in simulation.numbers(2, Lane.INTERACTIVE))
        simulation.settle(refused, UNAUTHORIZED)
        simulation.settle(later, answer)

        assert PAUSE_KINDS["credentials"].why in whys(simulation)

    def test_an_answer_to_a_request_that_began_earlier_does_not_end_the_pause(self, simulation):
        first, second = simulation.numbers(2, Lane.INTERACTIVE)
        under_way = simulation.begin(first)
        simulation.send(second, UNAUTHORIZED)
        simulation.pass_(2)
        simulation.settle(under_way, TAKEN)
        assert is_paused(simulation)
        report_answer(simulation.ledger, PlivoSignal.KNOWN, ago=timedelta(seconds=3))
        assert is_paused(simulation)
        report_answer(simulation.ledger, PlivoSignal.KNOWN, ago=timedelta(seconds=1))

        assert not is_paused(simulation)

    def test_the_pause_ends_although_the_clock_of_redis_was_set_back(self, simulation):
        simulation.send(simulation.numbers(1)[0], UNAUTHORIZED)
        simulation.pass_(-3600)
        report_answer(simulation.ledger, PlivoSignal.KNOWN)

        assert whys(simulation) == []

    def test_without_such_a_pause_there_is_no_probe(self, simulation):
        assert not check_credentials(simulation.ledger).probes


class TestARefusalOfTheAccount:
    """402: Plivo refuses the account, and the probe is a send. test_destinations.py has what a 403 means."""

    def test_one_number_is_the_probe_and_the_others_wait_for_it(self, simulation):
        refused, first, second = simulation.numbers(3)
        record = simulation.send(refused, NO_CREDIT)
        assert is_paused(simulation)
        simulation.pass_(30)
        begun, waits = simulation.begin(first), simulation.begin(second)
        simulation.settle(begun, TAKEN)

        assert (record.state, record.reason, record.attempts) == (State.WAITING, Reason.REFUSED, 0)
        assert (begun.verdict, waits.verdict) == (Verdict.BEGUN, Verdict.LATER)
        assert waits.wait <= timedelta(milliseconds=250)
        simulation.at(waits.at_us)
        assert simulation.begin(second).verdict is Verdict.BEGUN

    def test_another_number_is_sent_first_after_the_lease_of_a_dead_probe(self, simulation):
        refused, dies, other = simulation.numbers(3)
        simulation.send(refused, NO_CREDIT)
        simulation.pass_(30)
        simulation.begin(dies)
        simulation.pass_(46)

        assert simulation.begin(other).verdict is Verdict.BEGUN

    @pytest.mark.parametrize("lane", [Lane.INTERACTIVE, Lane.BULK])
    def test_another_number_is_sent_first_after_a_probe_that_goes_back(self, simulation, lane):
        refused, goes_back, other = simulation.numbers(3, lane)
        simulation.send(refused, NO_CREDIT)
        simulation.pass_(30)
        begun = simulation.begin(goes_back)
        control.pause(simulation.ledger, lane)
        assert simulation.begin(goes_back, fence=begun.fence).verdict is Verdict.LATER
        control.resume(simulation.ledger, lane)
        simulation.pass_(0.1)

        assert simulation.begin(other).verdict is Verdict.BEGUN

    def test_another_number_is_sent_first_after_a_probe_that_was_erased(self, simulation):
        refused, erased, other = simulation.numbers(3)
        simulation.send(refused, NO_CREDIT)
        simulation.pass_(30)
        begun = simulation.begin(erased)
        erase_number(simulation.ledger, erased[0])
        simulation.settle(begun, DOUBTFUL)
        simulation.pass_(0.1)

        assert simulation.begin(other).verdict is Verdict.BEGUN

    @pytest.mark.parametrize("error", [Rejected("400"), Unreachable("refused")])
    def test_an_answer_that_does_not_send_leaves_the_pause_to_the_next_probe(self, simulation, error):
        refused, first, second = simulation.numbers(3)
        simulation.send(refused, NO_CREDIT)
        simulation.pass_(30)
        simulation.send(first, outcome_of(error, 1))

        assert [pause.kind for pause in control.sending_status(simulation.ledger).pauses] == ["account"]
        assert simulation.begin(second).verdict is Verdict.BEGUN, "now this one is sent first"

    def test_a_resume_probes_at_once(self, simulation):
        refused, other = simulation.numbers(2)
        simulation.send(refused, NO_CREDIT)
        control.resume(simulation.ledger)

        assert simulation.begin(other).verdict is Verdict.BEGUN


class TestDoubtsInARow:
    def doubt(self, simulation, count):
        for request in simulation.numbers(count):
            simulation.pass_(1)
            simulation.send(request, DOUBTFUL)

    def test_five_doubts_in_a_row_pause_all_for_growing_times_with_one_request_first(self, simulation):
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
    def test_a_clear_answer_restarts_the_count_and_ends_the_pause(self, simulation, plivo_signal):
        self.doubt(simulation, 4)
        simulation.send(simulation.numbers(1)[0], plivo_signal)
        simulation.pass_(10)
        self.doubt(simulation, 4)
        assert whys(simulation) == []
        self.doubt(simulation, 1)
        simulation.pass_(2)
        simulation.send(simulation.numbers(1)[0], plivo_signal)

        assert whys(simulation) == []

    def test_an_answer_to_a_question_does_not_end_the_pause(self, simulation):
        self.doubt(simulation, 5)
        report_answer(simulation.ledger, PlivoSignal.KNOWN)

        assert whys(simulation)

    def test_doubts_of_requests_under_way_count_once(self, simulation):
        begun = [simulation.begin(one) for one in simulation.numbers(20, Lane.INTERACTIVE)]
        simulation.pass_(2)
        for one in begun:
            simulation.settle(one, DOUBTFUL)

        (pause,) = control.sending_status(simulation.ledger).pauses
        assert pause.next_look - simulation.moment() == timedelta(seconds=1)


def test_a_pause_of_the_account_without_a_status_is_shown(simulation):
    simulation.client.hset(simulation.keys.pauses, mapping={"account": 1, "account_until": 1})  # by an older worker

    assert whys(simulation) == [PAUSE_KINDS["account"].why]


def test_a_look_that_is_due_is_never_shown_in_the_past(simulation):
    simulation.client.hset(simulation.keys.pauses, mapping={"account": 1, "account_until": 1})
    status = control.sending_status(simulation.ledger)

    assert status.pauses[0].next_look == status.now


def test_the_answer_to_a_look_up_pauses_all(simulation):
    report_answer(simulation.ledger, PlivoSignal.THROTTLED, 7.0)
    closed = simulation.slots_from("account") - simulation.now_us
    report_answer(simulation.ledger, PlivoSignal.UNAUTHORIZED)

    assert 7 * SECOND <= closed <= 7.8 * SECOND
    assert is_paused(simulation)

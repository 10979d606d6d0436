"""The people who wait for a slot: one whose code could come only after the end of the request is refused at once."""

import secrets
from datetime import timedelta

import pytest
from support.harness import fresh_number
from support.simulation import Simulation

from ringproof.batches.erasure import erase_number
from ringproof.celery.verification import Accepting, accept
from ringproof.errors import Capped, Overloaded, Throttled, Unknown
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.answers import Outcome, PlivoSignal, Verdict
from ringproof.ledger.record import Lane, Reason, State
from ringproof.ledger.request import VerificationRequest
from ringproof.policy import Rate
from worker.sending.outcomes import outcome_of

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)
MOST = 30
"""People whom the pace of this test serves in the 15 minutes of a request."""


@pytest.fixture
def simulation(client):
    return Simulation(client, rate="1/30s", call_rate=Rate.parse("1/60s"))


def ask(simulation, number=None, *, channel="sms", lane=Lane.INTERACTIVE):
    number = number or fresh_number()
    kind = RequestKind.PERSON if lane is Lane.INTERACTIVE else RequestKind.ROSTER
    return simulation.ledger.accept(
        number, token=secrets.token_hex(8), kind=kind, lane=lane, channel=channel, country="US"
    )


def fill(simulation, channel="sms", most=100):
    """Have people ask until one is refused; return the numbers of the others."""
    numbers = []
    while len(numbers) < most:
        numbers.append(fresh_number())
        if ask(simulation, numbers[-1], channel=channel).disposition is Disposition.OVERLOADED:
            return numbers[:-1]
    raise AssertionError("nobody was refused")


def has_room(simulation, channel="sms"):
    number = fresh_number()
    accepted = ask(simulation, number, channel=channel)
    if accepted.disposition is Disposition.ACCEPTED:
        simulation.ledger.cancel(number, accepted.request)
    return accepted.disposition is Disposition.ACCEPTED


def test_people_are_accepted_for_as_long_as_the_pace_can_serve_them_and_all_of_them_are_served(simulation):
    numbers = fill(simulation)
    for number in numbers:
        simulation.booker([(number, simulation.ledger.read(number).request)], Lane.INTERACTIVE)
    simulation.run(simulation.now_us + 900_000_000)

    assert len(numbers) == pytest.approx(MOST, abs=1)
    assert len(simulation.slots[Lane.INTERACTIVE]) == len(numbers), "all that were accepted"
    assert control.sending_status(simulation.ledger).refusals == {"backlog": 1}


def test_the_error_says_when_a_code_could_come_and_when_to_ask_again(simulation):
    fill(simulation)
    wanted = VerificationRequest.read([fresh_number()], {})
    with pytest.raises(Overloaded) as caught:
        accept(Accepting(simulation.ledger, wanted, Lane.INTERACTIVE, "one"))
    error, asked_at = caught.value, simulation.moment()
    again_in = error.until - asked_at
    simulation.pass_(again_in.total_seconds() + 30)

    assert isinstance(error, Capped), "who catches Capped has a limit and an end"
    assert error.limit == "backlog"
    assert timedelta() < again_in < timedelta(seconds=60)
    assert error.sent_at == error.until + timedelta(minutes=15)
    assert simulation.ledger.read(wanted.number.e164) is None
    assert wanted.number.e164 not in str(error)


def test_those_who_leave_make_room_for_others(simulation):
    cancelled, erased, claimed, *_ = fill(simulation)
    assert not has_room(simulation)
    simulation.ledger.cancel(cancelled, simulation.ledger.read(cancelled).request)
    assert has_room(simulation)
    fill(simulation)
    erase_number(simulation.ledger, erased)
    assert has_room(simulation)
    fill(simulation)
    begun = simulation.begin((claimed, simulation.ledger.read(claimed).request))

    assert begun.verdict is Verdict.BEGUN
    assert not has_room(simulation), "a slot of the pace is taken in place of the place in the line"


def test_everybody_has_left_when_the_requests_have_ended(simulation):
    numbers = fill(simulation) + fill(simulation, "call")
    outcomes = [TAKEN, outcome_of(Unknown("502"), 1), Outcome(State.FAILED, Reason.REJECTED, "400")]
    for nth, number in enumerate(numbers[:3]):
        simulation.send((number, simulation.ledger.read(number).request), outcomes[nth])
        simulation.pass_(31)
    simulation.pass_(3600)
    while simulation.client.zcard(simulation.keys.agenda) > 2:
        simulation.called_up()
        simulation.pass_(60)

    assert not list(simulation.client.scan_iter(f"{simulation.prefix}:backlog:*"))


def test_a_number_that_goes_back_to_the_queue_is_counted_again(simulation):
    first, *_ = fill(simulation)
    request = (first, simulation.ledger.read(first).request)
    begun = simulation.begin(request)
    counted_while_sending = simulation.client.zcard(simulation.keys.backlog("sms"))
    simulation.settle(begun, outcome_of(Throttled("429"), 1))

    assert simulation.record(request).reason is Reason.PACE
    assert simulation.client.zcard(simulation.keys.backlog("sms")) == counted_while_sending + 1


def test_calls_and_texts_have_a_line_each(simulation):
    calls = fill(simulation, "call")

    assert len(calls) == pytest.approx(MOST / 2, abs=1)
    assert has_room(simulation, "sms")
    assert len(fill(simulation, "sms")) == pytest.approx(MOST, abs=2)


def test_bulk_and_schedule_are_neither_counted_nor_refused(simulation):
    simulation.numbers(2 * MOST)

    assert len(fill(simulation)) == pytest.approx(MOST, abs=1)
    assert ask(simulation, lane=Lane.BULK).disposition is Disposition.ACCEPTED


def test_a_person_does_not_take_over_a_row_whose_code_could_only_come_too_late(simulation):
    ((number, request),) = simulation.numbers(1)
    fill(simulation)
    refused = ask(simulation, number)
    record = simulation.ledger.read(number)

    assert (refused.disposition, refused.promoted) == (Disposition.OVERLOADED, False)
    assert (record.request, record.lane, record.state) == (request, Lane.BULK, State.QUEUED)


def test_a_person_who_takes_over_a_row_is_counted(simulation):
    rows = simulation.numbers(3)
    numbers = fill(simulation)
    for number in numbers[:3]:
        simulation.ledger.cancel(number, simulation.ledger.read(number).request)
    answers = [ask(simulation, number) for number, _ in rows]

    assert [answer.promoted for answer in answers] == [True] * 3
    assert not has_room(simulation)


class TestWhileNothingIsSent:
    """Nobody knows when a pause ends, so it refuses nobody. The people who wait for its end still need their slots."""

    @pytest.mark.parametrize("lane", [None, Lane.INTERACTIVE])
    def test_a_pause_alone_refuses_nobody(self, simulation, lane):
        control.pause(simulation.ledger, lane)
        simulation.pass_(600)

        assert has_room(simulation)

    def test_people_who_wait_for_the_end_of_a_pause_are_counted(self, simulation):
        control.pause(simulation.ledger)
        numbers = fill(simulation)
        for number in numbers:
            simulation.begin((number, simulation.ledger.read(number).request))

        assert {simulation.ledger.read(number).reason for number in numbers} == {Reason.PAUSED}
        assert not has_room(simulation)

    def test_a_pace_that_several_429s_have_slowed_down_for_seconds_refuses_nobody(self, client):
        simulation = Simulation(client, rate="2/1s")
        for _ in range(12):
            (person,) = simulation.numbers(1, Lane.INTERACTIVE)
            begun = simulation.begin(person)
            simulation.at(max(simulation.now_us, begun.at_us))
            simulation.settle(begun, outcome_of(Throttled("429", 1.0), 1))
            simulation.pass_(1.2)
        simulation.numbers(600, Lane.INTERACTIVE)  # at this pace they would need more than 15 minutes

        assert control.sending_status(simulation.ledger).share < 0.3
        assert has_room(simulation)

    @pytest.mark.parametrize(("minutes", "has_room_now"), [(10, True), (60, False)])
    def test_an_operators_slow_rate_refuses_only_if_it_lasts_as_long_as_the_request(
        self, client, minutes, has_room_now
    ):
        simulation = Simulation(client)
        simulation.numbers(2 * MOST, Lane.INTERACTIVE)
        control.override_rates(simulation.ledger, timedelta(minutes=minutes), rate=Rate.parse("1/30s"))

        assert has_room(simulation) == has_room_now

    def test_a_429_that_closes_the_pace_for_longer_than_a_request_lasts_refuses_with_its_end(self, simulation):
        (person,) = simulation.numbers(1, Lane.INTERACTIVE)
        begun = simulation.begin(person)
        simulation.at(begun.at_us)
        simulation.settle(begun, outcome_of(Throttled("429", 900.0), 1))
        refused = ask(simulation)

        assert refused.disposition is Disposition.OVERLOADED
        assert refused.until > simulation.moment()
        assert control.sending_status(simulation.ledger).closed_until <= refused.until + timedelta(minutes=15)

"""The caps on people's codes together: what strangers at a form can make an installation pay for."""

import io
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from rich.console import Console
from support.harness import fresh_number
from support.simulation import Simulation

from ringproof.errors import Capped, InvalidRequest, Rejected, Unknown
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Outcome, PlivoSignal, Settled, Verdict
from ringproof.ledger.confirmation import mark_verified
from ringproof.ledger.control import LiftedCaps
from ringproof.ledger.record import Lane, Reason, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Rate
from worker.observe.facts import Facts
from worker.sending.outcomes import outcome_of
from worker.views.sending import sending_view

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)
HOUR = timedelta(hours=1)
QUEUES = {lane: f"test.{lane}" for lane in Lane}


@pytest.fixture
def simulation(client):
    return Simulation(client, country_codes_per_hour=5, people_codes_per_day=12)


def ask(simulation, number=None, country="DE", **options):
    """Ask for a code as a person does, for a number of a range of its own."""
    number = number or f"+4915{secrets.randbelow(10**9):09}"
    return number, simulation.ledger.accept(number, token=secrets.token_hex(8), country=country, **options)


def ask_often(simulation, count, **options):
    """Return how many of so many people get a code, and the last one's answer."""
    answers = [ask(simulation, **options)[1] for _ in range(count)]
    return sum(answer.disposition is Disposition.ACCEPTED for answer in answers), answers[-1]


def test_people_get_so_many_codes_an_hour_for_a_country_and_others_learn_when_to_ask_again(simulation):
    sent, refused = ask_often(simulation, 8)

    assert sent == 5
    assert (refused.disposition, refused.limit) == (Disposition.CAPPED, "country_codes_per_hour")
    assert HOUR <= refused.until - simulation.moment() <= HOUR + timedelta(minutes=5)
    assert "RINGPROOF_COUNTRY_CODES_PER_HOUR" in str(Capped(refused.limit, refused.until))
    simulation.at(int(refused.until.timestamp() * 1_000_000) - 1000)
    assert ask_often(simulation, 1)[0] == 0
    simulation.pass_(0.001)
    assert ask_often(simulation, 8)[0] == 5


def test_a_person_of_another_country_is_not_held_up(simulation):
    ask_often(simulation, 8)

    assert ask(simulation, "+33612345678", country="FR")[1].disposition is Disposition.ACCEPTED


def test_in_no_hour_more_codes_are_accepted_wherever_it_begins(client):
    simulation = Simulation(client, country_codes_per_hour=30)
    accepted = []
    for _ in range(6 * 60):
        simulation.pass_(60)
        accepted += [simulation.now_us] * ask_often(simulation, simulation.chance.choice([1, 1, 2, 9]))[0]

    per_hour = [sum(start <= at < start + 3600 * 10**6 for at in accepted) for start in accepted]
    assert max(per_hour) == 30
    assert len(accepted) >= 5 * 30  # and the cap is used: an hour of it is at most five minutes longer


def test_all_people_together_get_so_many_codes_a_day(simulation):
    sent = [ask_often(simulation, 4, country=country)[0] for country in ("DE", "FR", "GB", "ES")]
    refused = ask(simulation)[1]
    simulation.pass_(26 * 3600)

    assert sent == [4, 4, 4, 0]
    assert (refused.limit, refused.until > simulation.moment(-2 * 3600)) == ("people_codes_per_day", True)
    assert ask_often(simulation, 4)[0] == 4


def test_a_range_of_numbers_has_a_cap_of_its_own(client):
    simulation = Simulation(client, range_codes_per_hour=3)
    answers = [ask(simulation, f"+49151234567{nth:02}")[1] for nth in range(4)]
    other_range = ask(simulation, "+4915999999999")[1]

    assert [answer.disposition for answer in answers] == [Disposition.ACCEPTED] * 3 + [Disposition.CAPPED]
    assert answers[-1].limit == "range_codes_per_hour"
    assert other_range.disposition is Disposition.ACCEPTED


def test_a_cap_of_0_is_off(client):
    assert ask_often(Simulation(client), 50)[0] == 50


def test_requests_of_the_same_moment_do_not_pass_a_cap(simulation):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(simulation)[1].disposition, range(40)))

    assert answers.count(Disposition.ACCEPTED) == 5


def test_batches_and_schedules_neither_count_nor_are_refused(simulation):
    bulk = ask_often(simulation, 20, kind=RequestKind.ROSTER, lane=Lane.BULK)[0]

    assert bulk == 20
    assert ask_often(simulation, 8)[0] == 5
    assert ask_often(simulation, 2, kind=RequestKind.ROSTER, lane=Lane.BULK)[0] == 2


def test_a_person_who_takes_over_a_row_counts_and_is_refused_before_the_row_is_touched(simulation):
    rows = [ask(simulation, kind=RequestKind.ROSTER, lane=Lane.BULK)[0] for _ in range(6)]
    answers = [ask(simulation, number)[1] for number in rows]

    assert [answer.promoted for answer in answers] == [True] * 5 + [False]
    assert [answer.disposition for answer in answers] == [Disposition.SAME] * 5 + [Disposition.CAPPED]
    assert simulation.ledger.read(rows[5]).lane is Lane.BULK


def shown(status):
    console = Console(file=io.StringIO(), width=200)
    console.print(sending_view(Facts(status), ()))
    return console.file.getvalue()


class TestTheWayBack:
    """A request that ends without a code gives its place back."""

    @pytest.fixture
    def simulation(self, client):
        return Simulation(client, country_codes_per_hour=1, max_codes_per_day=10)

    def gives_back(self, simulation):
        return ask(simulation)[1].disposition is Disposition.ACCEPTED

    def test_when_it_is_cancelled(self, simulation):
        number, accepted = ask(simulation)
        simulation.pass_(20 * 60)  # in another part of the hour
        assert not self.gives_back(simulation)
        assert simulation.ledger.cancel(number, accepted.request) is Settled.SETTLED

        assert self.gives_back(simulation)

    @pytest.mark.parametrize(("error", "back"), [(Rejected("400"), True), (Unknown("502"), False)])
    def test_when_plivo_surely_sent_nothing(self, simulation, error, back):
        number, accepted = ask(simulation)
        simulation.send((number, accepted.request), outcome_of(error, 1))

        assert self.gives_back(simulation) == back

    def test_when_it_was_too_late(self, simulation):
        ask(simulation)
        simulation.pass_(15 * 60)
        work_off_agenda(simulation.ledger, 100, QUEUES)

        assert self.gives_back(simulation)

    def test_when_the_code_before_it_verifies_the_number(self, client):
        simulation = Simulation(client, country_codes_per_hour=2)
        number, first = ask(simulation)
        simulation.send((number, first.request), TAKEN)
        simulation.pass_(61)
        ask(simulation, number, kind=RequestKind.RESEND)
        assert not self.gives_back(simulation)
        assert simulation.ledger.read(number).state is State.QUEUED
        now = simulation.moment()
        mark_verified(simulation.ledger, [VerifiedNumber(number, "", "DE", now, now, "", "uuid")])

        assert simulation.ledger.read(number).state is State.VERIFIED
        assert [self.gives_back(simulation) for _ in range(2)] == [True, False]

    def test_but_not_twice(self, simulation):
        number, accepted = ask(simulation)
        simulation.ledger.cancel(number, accepted.request)
        simulation.ledger.cancel(number, accepted.request)
        given = [self.gives_back(simulation) for _ in range(2)]

        assert given == [True, False]

    def test_and_not_when_a_doubt_ends_without_an_answer(self, simulation):
        number, accepted = ask(simulation)
        begun = simulation.begin((number, accepted.request))
        assert begun.verdict is Verdict.BEGUN
        simulation.pass_(30 * 60)
        work_off_agenda(simulation.ledger, 100, QUEUES)
        simulation.pass_(60)
        simulation.settle(begun, Outcome(State.FAILED, Reason.IN_DOUBT))

        assert simulation.ledger.read(number).state is State.FAILED
        assert not self.gives_back(simulation)


def test_the_status_has_what_people_got_by_country_and_of_what_they_may(simulation):
    ask_often(simulation, 7)
    ask(simulation, "+33612345678", country="FR")
    ask(simulation, fresh_number(), country="US", kind=RequestKind.ROSTER, lane=Lane.BULK)
    status = control.sending_status(simulation.ledger)

    assert [(one.limit, one.country, one.codes, one.most) for one in status.people] == [
        ("people_codes_per_day", None, 6, 12),
        ("country_codes_per_hour", "DE", 5, 5),
        ("country_codes_per_hour", "FR", 1, 5),
    ]
    assert status.refusals == {"country_codes_per_hour": 2}
    assert "6 of 12 codes in the last 24 hours" in shown(status)
    assert "in the last hour DE 5 of 5, FR 1 of 5" in shown(status)


def test_codes_that_were_counted_by_a_clock_that_was_set_back_do_not_count(simulation):
    ask_often(simulation, 5)
    simulation.pass_(-2 * 3600)

    assert ask_often(simulation, 5)[0] == 5


def test_the_counters_end_by_themselves(simulation):
    ask_often(simulation, 3)
    counters = simulation.client.keys(f"{simulation.prefix}:people:*")

    assert len(counters) == 6, "three ranges, the country, all, and the list of countries"
    assert all(0 < simulation.client.ttl(key) <= 26 * 3600 for key in counters)


class TestABlockOverTheCaps:
    """An operator lifts the caps for a company's own block of numbers."""

    BLOCK, OTHER = "+1415555", "+1415556"

    @pytest.fixture
    def simulation(self, client):
        return Simulation(
            client,
            range_codes_per_hour=2,
            country_codes_per_hour=5,
            people_codes_per_day=7,
            requester_codes_per_hour=3,
            max_codes_per_day=10,
        )

    def of_block(self, simulation, count, first=0, block=BLOCK, **options):
        """Ask for so many numbers of a block; return their dispositions."""
        numbers = [f"{block}{nth:04}" for nth in range(first, first + count)]
        return [ask(simulation, number, "US", **options)[1] for number in numbers]

    def lift(self, simulation, *blocks):
        return control.lift_caps(simulation.ledger, blocks or (self.BLOCK,), HOUR)

    def test_gets_codes_beyond_all_caps_on_people(self, simulation):
        until = self.lift(simulation)
        answers = self.of_block(simulation, 30, requester="the company's session")

        assert {answer.disposition for answer in answers} == {Disposition.ACCEPTED}
        assert until - simulation.moment() == HOUR

    def test_its_codes_count_for_the_others_who_are_capped_as_before(self, simulation):
        self.lift(simulation)
        self.of_block(simulation, 4)
        others = self.of_block(simulation, 2, block=self.OTHER)

        assert [one.disposition for one in others] == [Disposition.ACCEPTED, Disposition.CAPPED]
        assert others[1].limit == "country_codes_per_hour"

    def test_is_capped_again_afterwards_with_what_was_sent_meanwhile(self, simulation):
        self.lift(simulation)
        simulation.pass_(3599)
        during = self.of_block(simulation, 10)
        simulation.pass_(1)
        (after,) = self.of_block(simulation, 1, first=10)

        assert {one.disposition for one in during} == {Disposition.ACCEPTED}
        assert after.disposition is Disposition.CAPPED
        assert control.sending_status(simulation.ledger).over_cap == ()

    def test_ends_with_a_reset(self, simulation):
        self.lift(simulation)
        self.of_block(simulation, 6)
        control.restore_rates(simulation.ledger)

        assert self.of_block(simulation, 1, first=6)[0].disposition is Disposition.CAPPED

    def test_a_number_of_it_keeps_the_caps_of_its_own_and_the_cooldown(self, client):
        simulation = Simulation(client, range_codes_per_hour=1, max_codes_per_day=1)
        self.lift(simulation)
        (first,) = self.of_block(simulation, 1)
        number = f"{self.BLOCK}0000"
        simulation.send((number, first.request), TAKEN)
        (soon,) = self.of_block(simulation, 1, kind=RequestKind.RESEND)
        simulation.pass_(61)
        (later,) = self.of_block(simulation, 1, kind=RequestKind.RESEND)

        assert soon.disposition is Disposition.COOLING_DOWN
        assert (later.disposition, later.limit) == (Disposition.CAPPED, "codes_per_day")

    def test_other_rates_and_lifted_caps_leave_each_other_alone(self, simulation):
        control.override_rates(simulation.ledger, timedelta(minutes=10), rate=Rate.parse("10/1s"))
        until = self.lift(simulation)
        both = control.sending_status(simulation.ledger)
        control.override_rates(simulation.ledger, timedelta(minutes=5), call_rate=Rate.parse("1/1s"))
        again = control.sending_status(simulation.ledger)
        simulation.pass_(301)
        after = control.sending_status(simulation.ledger)

        assert (both.rate, both.over_cap) == ("10/1s", (LiftedCaps(self.BLOCK, until),))
        assert (again.rate, again.call_rate, again.over_cap) == ("300/5s", "1/1s", both.over_cap)
        assert (after.call_rate, after.limited_until, after.over_cap) == ("2/1s", None, both.over_cap)
        assert [one.over_cap for one in control.rate_history(simulation.ledger)] == [(), (self.BLOCK,), ()]

    def test_a_block_ends_at_its_own_time_while_another_goes_on(self, simulation):
        self.lift(simulation)
        simulation.pass_(1800)
        self.lift(simulation, self.OTHER)
        simulation.pass_(1801)
        self.lift(simulation, "+1415557")

        assert [one.block for one in control.sending_status(simulation.ledger).over_cap] == [self.OTHER, "+1415557"]
        assert simulation.client.hkeys(simulation.keys.limits) == [f"over_cap:{self.OTHER}", "over_cap:+1415557"]
        assert 3500 < simulation.client.ttl(simulation.keys.limits) <= 3600

    @pytest.mark.parametrize("block", ["+141555", "+14155550123", "1415555", "+0415555", "+1415555x", "", "+१२३४५६७"])
    def test_a_block_is_a_plus_and_seven_to_nine_digits(self, simulation, block):
        with pytest.raises(InvalidRequest, match="7 to 9 digits") as refused:
            self.lift(simulation, block)

        assert "5550123" not in str(refused.value)

    def test_there_are_twenty_blocks_at_most(self, simulation):
        blocks = [f"+14155{nth:02}" for nth in range(control.MOST_BLOCKS)]
        self.lift(simulation, *blocks)
        self.lift(simulation, *blocks)

        with pytest.raises(InvalidRequest, match="20 blocks at most"):
            self.lift(simulation, "+1415600")

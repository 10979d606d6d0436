"""Caps: how many codes a number, and a range of numbers, may get; what a refused request gets, and when a cap ends."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from support.harness import fresh_number
from support.simulation import Simulation

from ringproof.errors import Capped, InvalidNumber, Rejected, Throttled, Unknown
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, PlivoSignal, Verdict
from ringproof.ledger.failures import failure_of
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Policy
from tasks import initiate_verification
from worker.sending.outcomes import outcome_of

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)
DAY, WEEK, HOUR = timedelta(days=1), timedelta(days=7), timedelta(hours=1)


@pytest.fixture
def simulation(client):
    return Simulation(client, max_codes_per_day=3, max_calls_per_week=4)


def again(simulation, number, lane=Lane.INTERACTIVE, **options):
    kind = RequestKind.RESEND if lane is Lane.INTERACTIVE else RequestKind.ROSTER
    return simulation.ledger.accept(
        number, token=secrets.token_hex(8), kind=kind, lane=lane, **{"country": "US"} | options
    )


def codes(simulation, count, every=HOUR, **options):
    """Send so many codes to a number, and return the number."""
    ((number, _),) = simulation.numbers(1, Lane.INTERACTIVE, **options)
    simulation.ledger.cancel(number, simulation.ledger.read(number).request)
    for _ in range(count):
        simulation.pass_(every.total_seconds())
        simulation.send((number, again(simulation, number, **options).request), TAKEN)
    simulation.pass_(61)  # the cooldown
    return number


def test_a_persons_request_is_refused_at_once_with_the_cap_and_its_end(simulation):
    number = codes(simulation, 3)
    first = simulation.moment(-2 * 3600 - 61)
    refused = again(simulation, number)
    simulation.pass_(22 * 3600)

    assert (refused.disposition, refused.limit) == (Disposition.CAPPED, "codes_per_day")
    assert abs(refused.until - first - DAY) <= timedelta(seconds=1)
    assert again(simulation, number).disposition is Disposition.ACCEPTED


def test_calls_have_a_weekly_cap_of_their_own(simulation):
    number = codes(simulation, 4, every=timedelta(hours=12), channel="call")
    call, text = again(simulation, number, channel="call"), again(simulation, number, channel="sms")

    assert (call.disposition, call.limit) == (Disposition.CAPPED, "calls_per_week")
    assert call.until > simulation.moment(5 * 86400)
    assert text.disposition is Disposition.ACCEPTED


@pytest.mark.parametrize(("channel", "days"), [("call", 7), ("sms", 2)])
def test_a_record_with_calls_is_kept_for_the_week_of_their_cap(client, channel, days):
    simulation = Simulation(client, record_ms=2 * 86_400_000)
    number = codes(simulation, 1, channel=channel)
    simulation.send((number, again(simulation, number, channel=channel).request), outcome_of(Rejected("400"), 1))

    assert client.pttl(simulation.keys.record(number)) == pytest.approx(days * 86_400_000, abs=60_000)


def test_a_request_that_was_accepted_before_the_last_code_fails_with_the_cap(simulation):
    number = codes(simulation, 2)
    simulation.pass_(3600)
    request = again(simulation, number).request
    simulation.client.hset(simulation.keys.policy, "max_codes_per_day", 2)
    begun = simulation.begin((number, request))
    record = simulation.ledger.read(number)
    failure = failure_of(record)

    assert begun.verdict is Verdict.ENDED
    assert (record.state, record.reason) == (State.FAILED, Reason.CAPPED)
    assert isinstance(failure, Capped)
    assert (failure.limit, failure.until) == ("codes_per_day", record.due_at)
    assert "RINGPROOF_MAX_CODES_PER_DAY" in str(failure)


def test_bulk_waits_for_the_end_of_the_cap_and_fails_if_it_comes_after_the_deadline(simulation):
    late = codes(simulation, 4, every=timedelta(hours=12), channel="call")
    soon = codes(simulation, 3)
    simulation.pass_(15 * 60)
    records = []
    for number, channel in ((soon, "sms"), (late, "call")):
        request = again(simulation, number, Lane.BULK, channel=channel).request
        simulation.begin((number, request))
        records.append(simulation.ledger.read(number))

    assert [(record.state, record.reason) for record in records] == [
        (State.WAITING, Reason.CAP),
        (State.FAILED, Reason.CAPPED),
    ]
    assert records[0].detail == "codes_per_day"
    simulation.at(int(records[0].due_at.timestamp() * 1_000_000) + 1_000_000)
    assert [entry.action for entry in work_off_agenda(simulation.ledger, 9, {lane: lane for lane in Lane})].count(
        AgendaAction.ENQUEUE
    ) == 1
    assert simulation.begin((soon, records[0].request)).verdict is Verdict.BEGUN


@pytest.mark.parametrize(
    ("error", "counts"), [(Rejected("400"), False), (Throttled("429"), False), (Unknown("502"), True)]
)
def test_a_code_that_was_surely_not_sent_is_not_counted(simulation, error, counts):
    number = codes(simulation, 2)
    simulation.pass_(3600)
    simulation.send((number, again(simulation, number).request), outcome_of(error, 1))
    simulation.pass_(3600)
    simulation.ledger.cancel(number, simulation.ledger.read(number).request)

    assert (again(simulation, number).disposition is Disposition.CAPPED) == counts


class TestCountries:
    @pytest.fixture
    def simulation(self, client):
        simulation = Simulation(client)
        simulation.ledger.publish_policy(Policy(countries=("US", "GB"), range_codes_per_hour=0))
        return simulation

    @pytest.mark.parametrize(("country", "allowed"), [("US", True), ("GB", True), ("B", False), ("DE", False)])
    @pytest.mark.parametrize("kind", [RequestKind.PERSON, RequestKind.RESEND, RequestKind.ROSTER])
    def test_a_number_of_another_country_is_refused_in_each_lane(self, simulation, country, allowed, kind):
        lane = Lane.BULK if kind is RequestKind.ROSTER else Lane.INTERACTIVE
        number = f"+1415555{simulation.now_us % 10000:04}"
        simulation.pass_(1e-6)
        accepted = simulation.ledger.accept(number, token=number, kind=kind, lane=lane, country=country)

        assert (accepted.disposition is Disposition.ACCEPTED) == allowed
        assert (accepted.disposition is Disposition.COUNTRY) != allowed
        assert (simulation.ledger.read(number) is None) != allowed

    def test_without_named_countries_every_country_is_allowed(self, simulation):
        simulation.ledger.publish_policy(Policy())

        assert simulation.ledger.accept("+4915112345678", token="t", country="DE").disposition is Disposition.ACCEPTED


def test_each_refusal_is_counted_under_its_cap(simulation):
    number = codes(simulation, 3)
    for _ in range(2):
        simulation.pass_(1)
        again(simulation, number)

    assert control.sending_status(simulation.ledger).refusals == {"codes_per_day": 2}


@pytest.mark.usefixtures("worker")
class TestAtTheCall:
    """The errors that a web app gets: nothing was queued, and the error says what to do."""

    def test_a_capped_number_raises_capped(self, publish, plivo):
        publish(max_codes_per_day=1, cooldown_ms=0)
        number = fresh_number()
        initiate_verification.delay(number).get(timeout=60)

        with pytest.raises(Capped) as caught:
            initiate_verification.delay(number, resend=True)
        assert caught.value.limit == "codes_per_day"
        assert caught.value.until > datetime.now(UTC) + timedelta(hours=23)
        assert initiate_verification.AsyncResult(number).state == "SUCCESS"
        assert len(plivo.sends(number)) == 1

    def test_a_number_of_another_country_raises_invalid_number(self, publish):
        publish(countries=("GB",))
        number = fresh_number()

        with pytest.raises(InvalidNumber) as caught:
            initiate_verification.delay(number)
        assert caught.value.reason == "country"
        assert number not in str(caught.value)
        assert initiate_verification.AsyncResult(number).state == "PENDING"

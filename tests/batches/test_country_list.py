"""A list of countries that is shortened while requests wait: it ends them, and nothing else."""

import phonenumbers
import pytest
from support.harness import fresh_number
from support.roster_of_batch import TAKEN, Batches, import_rows

from ringproof.batches import operations
from ringproof.batches.forecast import Tally, forecast
from ringproof.batches.model import BatchState
from ringproof.celery.verification import Accepting, accept
from ringproof.errors import Forbidden, InvalidNumber, Unknown
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.answers import Verdict
from ringproof.ledger.failures import failure_of
from ringproof.ledger.record import Lane, Reason, State
from ringproof.ledger.request import VerificationRequest
from ringproof.phone.number import parse
from ringproof.phone.number_plan import NETWORKS
from ringproof.policy import Policy
from ringproof.rosters.roster import roster_of
from worker.sending.outcomes import outcome_of

BRAZIL = [f"+55119{60000000 + nth}" for nth in range(300)]


@pytest.fixture
def world(client, monkeypatch):
    return Batches(client, monkeypatch)


def shorten(world, *countries):
    world.ledger.publish_policy(Policy(countries=countries, range_codes_per_hour=0))


def test_a_persons_queued_request_of_a_country_that_was_taken_off_the_list_fails_and_names_it(world):
    left_out, kept = world.numbers(1, Lane.INTERACTIVE, country="BR") + world.numbers(1, Lane.INTERACTIVE, country="US")
    shorten(world, "US", "CA")
    begun = world.ledger.begin([left_out, kept])
    record = world.record(left_out)
    failure = failure_of(record)

    assert [one.verdict for one in begun] == [Verdict.ENDED, Verdict.BEGUN]
    assert (record.state, record.reason, record.attempts) == (State.FAILED, Reason.COUNTRY, 0)
    assert isinstance(failure, InvalidNumber)
    assert failure.reason == "country"
    assert left_out[0] not in str(failure)
    assert world.client.zscore(world.keys.agenda, left_out[0]) is None
    assert control.sending_status(world.ledger).refusals == {"countries": 1}


def test_a_request_that_begins_behind_others_without_a_slot_ends_all_the_same(world):
    bulk = world.numbers(200, country="US")
    (left_out,) = world.numbers(1, country="BR")
    shorten(world, "US")
    begun = world.ledger.begin([*bulk, left_out])

    assert Verdict.LATER in {one.verdict for one in begun}
    assert begun[-1].verdict is Verdict.ENDED


def test_what_is_under_way_or_in_doubt_ends_as_if_the_list_were_the_same(world):
    under_way, doubtful = world.numbers(2, country="BR")
    claims = [world.begin(under_way), world.begin(doubtful)]
    world.settle(claims[1], outcome_of(Unknown("502"), 1))
    shorten(world, "US")
    again = world.ledger.begin([under_way], fence=claims[0].fence)[0]
    world.settle(claims[0], TAKEN)

    assert again.verdict is Verdict.BEGUN
    assert world.record(under_way).state is State.CODE_SENT
    assert world.record(doubtful).state is State.IN_DOUBT


def test_a_batch_whose_rows_are_all_left_out_is_completed_with_the_outcome_of_feed(world):
    import_rows(world.ledger, "spring", BRAZIL)
    world.feed()
    queued = world.summary("spring").outcomes["queued"]
    shorten(world, "US")
    assert world.until_empty() == []
    batch = world.summary("spring")

    assert 0 < queued < len(BRAZIL), "some rows were fed before, and some after"
    assert batch.outcomes == {"country": len(BRAZIL)}
    assert batch.countries["BR"]["country"] == len(BRAZIL)
    assert batch.state is BatchState.COMPLETED
    assert world.client.zcard(world.keys.agenda) == 0


def test_rows_of_a_country_that_plivo_refuses_end_at_once_when_the_list_leaves_it_out(world):
    import_rows(world.ledger, "spring", BRAZIL)
    world.feed()
    world.work(outcome_of(Forbidden("403 not enabled"), 1))
    world.until_empty(outcome_of(Forbidden("403 not enabled"), 1))
    waiting = world.summary("spring").outcomes["waiting:refused"]
    shorten(world, "US")
    world.pass_(30)
    world.until_empty()
    batch = world.summary("spring")

    assert waiting > 250
    assert batch.outcomes["country"] == waiting
    assert batch.state is BatchState.COMPLETED


def test_an_operator_retries_the_rows_once_the_country_is_on_the_list(world):
    numbers = [fresh_number(), *BRAZIL[:3]]
    import_rows(world.ledger, "spring", numbers)
    world.feed()
    shorten(world, "US")
    world.until_empty()
    shorten(world, "US", "BR")

    assert operations.retry(world.ledger, "spring", [Reason.COUNTRY]) == 3
    assert sorted(world.until_empty()) == sorted(BRAZIL[:3])


class TestNetworksAndPersonalNumbers:
    """Where a code costs many times more: such numbers get none unless the list names them."""

    NUMBERS = ("+14155550123", "+447400123456", "+881612345678", "+870301234567", "+447012345678", "+15002345678")
    LISTS = (
        ((), {"+14155550123", "+447400123456"}),
        (("all",), {"+14155550123", "+447400123456"}),
        (("US",), {"+14155550123"}),
        (("US", "personal"), {"+14155550123", "+15002345678"}),
        (("GB", "personal", "+881"), {"+447400123456", "+447012345678", "+881612345678"}),
        (("all", "personal", "+870"), set(NUMBERS) - {"+881612345678"}),
        (("+881",), {"+881612345678"}),
    )

    @pytest.mark.parametrize(("countries", "allowed"), LISTS)
    @pytest.mark.parametrize("kind", [RequestKind.PERSON, RequestKind.ROSTER])
    def test_get_codes_only_if_they_are_named(self, world, countries, allowed, kind):
        shorten(world, *countries)
        lane = Lane.INTERACTIVE if kind is RequestKind.PERSON else Lane.BULK
        answers = {
            number: world.ledger.accept(number, token=number, kind=kind, lane=lane, country=parse(number).country)
            for number in self.NUMBERS
        }

        assert {number for number, one in answers.items() if one.disposition is Disposition.ACCEPTED} == allowed
        assert all(one.disposition is Disposition.COUNTRY for n, one in answers.items() if n not in allowed)

    @pytest.mark.parametrize(("countries", "allowed"), LISTS)
    def test_are_refused_alike_by_the_forecast_the_feeder_and_begin(self, world, countries, allowed):
        shorten(world, "all", "personal", *NETWORKS)
        import_rows(world.ledger, "fed before", self.NUMBERS)
        world.feed()
        tally = Tally()
        shorten(world, *countries)
        began_for = world.until_empty()
        world.pass_(86_400)
        world.client.delete(*world.client.keys(f"{world.prefix}:number:*"))
        for row in roster_of(self.NUMBERS):
            tally.add(row)
        forecasted = forecast(tally, world.ledger)
        import_rows(world.ledger, "fed after", self.NUMBERS)
        sent = world.until_empty()

        assert set(began_for) == set(sent) == allowed
        assert forecasted.skipped == {Disposition.COUNTRY: len(self.NUMBERS) - len(allowed)}
        assert world.summary("fed before").outcomes == world.summary("fed after").outcomes

    @pytest.mark.parametrize(
        ("number", "countries", "reason"),
        [
            ("+881612345678", (), "network"),
            ("+447012345678", (), "personal"),
            ("+447012345678", ("US", "personal"), "country"),
            ("+447400123456", ("US",), "country"),
        ],
    )
    def test_the_error_names_what_to_add_to_the_list(self, world, number, countries, reason):
        shorten(world, *countries)
        wanted = VerificationRequest.read([number], {})
        with pytest.raises(InvalidNumber) as at_the_call:
            accept(Accepting(world.ledger, wanted, Lane.INTERACTIVE, "first"))
        shorten(world, "all", "personal", *NETWORKS)
        accepted = accept(Accepting(world.ledger, wanted, Lane.INTERACTIVE, "second"))
        shorten(world, *countries)
        world.begin((number, accepted.request))
        at_get = failure_of(world.ledger.read(number))

        assert at_the_call.value.reason == at_get.reason == reason
        assert str(at_the_call.value) == str(at_get)
        assert number not in str(at_get)

    def test_every_calling_code_without_a_country_is_one_of_a_network(self, world):
        codes = [code for code, countries in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items() if "001" in countries]
        answers = [
            world.ledger.accept(f"+{code}12345678", token=str(code), country="001").disposition for code in codes
        ]

        assert len(codes) >= 9
        assert set(answers) == {Disposition.COUNTRY}

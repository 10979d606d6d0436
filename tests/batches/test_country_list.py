"""A list of countries that is shortened while requests wait: it ends them, and nothing else."""

import pytest
from support.harness import fresh_number
from support.roster_of_batch import TAKEN, Batches, import_rows

from ringproof.batches import operations
from ringproof.batches.model import BatchState
from ringproof.errors import Forbidden, InvalidNumber, Unknown
from ringproof.ledger import control
from ringproof.ledger.answers import Verdict
from ringproof.ledger.failures import failure_of
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Policy
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

"""A batch's budget, in simulated time: what was sent never costs more, whatever becomes of the codes."""

from decimal import Decimal

import pytest
from support.harness import fresh_number
from support.roster_of_batch import TAKEN, Batches, import_rows

from ringproof.batches import operations
from ringproof.batches.costs import payment_of_resend
from ringproof.batches.importing import begin_import
from ringproof.batches.model import BatchState
from ringproof.batches.prices import Payment, Prices
from ringproof.batches.resend import RowCopier, UnansweredRows, finish_resend, resend_name
from ringproof.ledger.answers import Outcome, PlivoSignal, Verdict
from ringproof.ledger.record import Reason, State
from tasks.sweep import end_doubt

DOUBTFUL = Outcome(State.IN_DOUBT)
REJECTED = Outcome(State.FAILED, Reason.REJECTED, "400", plivo_signal=PlivoSignal.ANSWERED)
FIVE_CENTS = Prices.read("US=0.05", "USD")
MINUTE = 60


def payment(budget, prices=FIVE_CENTS):
    return Payment(prices, Decimal(budget))


@pytest.fixture
def world(client, monkeypatch):
    return Batches(client, monkeypatch)


def spent(world, name="spring"):
    return world.summary(name).cost.spent


def test_a_batch_pauses_when_its_budget_does_not_pay_for_another_code(world):
    world.roster("spring", 40, payment=payment("1.02"))

    sent = world.until_empty()
    spring = world.summary("spring")

    assert len(sent) == 20
    assert (spring.state, spring.cost.spent, spring.cost.budget) == (
        BatchState.PAUSED,
        Decimal("1.00"),
        Decimal("1.02"),
    )
    assert "its budget does not pay for another code (1.00 of 1.02 USD)" in spring.held_back_by
    assert "ringproof batch resume spring --budget AMOUNT" in spring.held_back_by


def test_it_goes_on_with_a_larger_budget_and_not_without_one(world):
    numbers = world.roster("spring", 40, payment=payment("1.00"))
    first = world.until_empty()

    without = operations.resume(world.ledger, "spring")
    assert not world.until_empty()
    operations.set_budget(world.ledger, "spring", Decimal(2))
    after = operations.resume(world.ledger, "spring")
    rest = world.until_empty()

    assert (without.state, after.state) == (BatchState.PAUSED, BatchState.RUNNING)
    assert (len(first), len(rest)) == (20, 20)
    assert sorted(first + rest) == sorted(numbers)
    assert world.summary("spring").state is BatchState.COMPLETED
    assert spent(world) == 2


def test_an_operators_pause_is_no_end_of_the_budget(world):
    world.roster("spring", 4, payment=payment(1))
    operations.pause(world.ledger, "spring")

    assert "an operator paused" in world.summary("spring").held_back_by
    assert operations.resume(world.ledger, "spring").state is BatchState.RUNNING


def test_without_a_budget_the_codes_are_counted_and_none_is_held_back(world):
    world.roster("spring", 30, call=10, payment=Payment(Prices.read("US=0.05,US/call=0.0133")))

    world.until_empty()

    assert world.summary("spring").state is BatchState.COMPLETED
    assert spent(world) == 20 * Decimal("0.05") + 10 * Decimal("0.0133")


def test_a_code_that_was_surely_not_sent_costs_nothing(world):
    numbers = world.roster("spring", 30, payment=payment(1))
    rejected = set(numbers[:10])

    sent = world.until_empty(lambda number: REJECTED if number in rejected else TAKEN)

    assert len(set(sent) - rejected) == 20
    assert spent(world) == 1
    assert world.summary("spring").outcomes == {"code_sent": 20, "failed:rejected": 10}


def test_a_batch_that_was_paused_for_codes_that_were_not_sent_after_all_goes_on(world):
    numbers = world.roster("spring", 3, payment=payment("0.10"))
    world.feed(1)
    begun = []
    for _ in range(3):
        begun.append(world.begin(world.queue.pop(0)))
        world.at(max(world.now_us, begun[-1].at_us))
    paused = world.summary("spring").state
    for one in begun[:2]:
        world.settle(one, REJECTED)
    resumed = world.summary("spring").state
    for _ in range(5):
        world.feed(1)

    assert [one.verdict for one in begun] == [Verdict.BEGUN, Verdict.BEGUN, Verdict.WAITING]
    assert (paused, resumed) == (BatchState.PAUSED, BatchState.RUNNING)
    assert world.work() == numbers[2:]
    assert world.summary("spring").state is BatchState.COMPLETED


def test_what_is_paid_back_resumes_no_batch_that_an_operator_has_paused(world):
    world.roster("spring", 3, payment=payment("0.10"))
    world.feed(1)
    begun = []
    for _ in range(3):
        begun.append(world.begin(world.queue.pop(0)))
        world.at(max(world.now_us, begun[-1].at_us))
    operations.pause(world.ledger, "spring")
    world.settle(begun[0], REJECTED)

    assert world.summary("spring").state is BatchState.PAUSED
    assert "an operator paused" in world.summary("spring").held_back_by


def test_a_code_in_doubt_costs_and_its_automatic_resend_costs_again(world):
    numbers = world.roster("spring", 3, payment=payment("0.20"))
    world.until_empty(lambda _number: DOUBTFUL)
    in_doubt = spent(world)
    world.pass_(17 * MINUTE)
    for number in numbers:
        end_doubt(world.ledger, world.ledger.read(number), None, hold=False)

    assert in_doubt == Decimal("0.15")
    assert len(world.work()) == 1
    assert spent(world) == Decimal("0.20")
    assert world.summary("spring").state is BatchState.PAUSED


def test_a_code_in_doubt_that_plivo_says_it_refused_is_paid_back(world):
    (number,) = world.roster("spring", 1, payment=payment(1))
    world.feed(1)
    begun = world.begin(world.queue.pop(0))
    world.at(begun.at_us)
    world.settle(begun, DOUBTFUL)
    before = spent(world)
    world.settle(begun, REJECTED)

    assert (before, spent(world)) == (Decimal("0.05"), 0)
    assert world.state_of(number) is State.FAILED


def test_a_worker_that_dies_before_it_reports_has_paid(world):
    world.roster("spring", 10, payment=payment("0.20"))
    world.feed(1)
    begun = []
    while world.queue and (one := world.begin(world.queue.pop(0))).verdict is not Verdict.WAITING:
        if one.verdict is Verdict.BEGUN:
            begun.append(one)
        world.at(max(world.now_us, one.at_us))
    for _ in range(5):
        world.feed(MINUTE)  # their leases end

    assert len(begun) == 4
    assert spent(world) == Decimal("0.20")
    assert world.summary("spring").outcomes["in_doubt:worker_lost"] == 4


def test_the_same_begin_again_pays_once(world):
    world.roster("spring", 1, payment=payment("0.05"))
    world.feed(1)
    request = world.queue[0]

    begun = [world.begin(request, fence="f" * 16) for _ in range(2)]

    assert [one.verdict for one in begun] == [Verdict.BEGUN] * 2
    assert spent(world) == Decimal("0.05")


def test_a_country_without_a_price_is_not_sent_to_under_a_budget(world):
    import_rows(world.ledger, "spring", [fresh_number(), "+447400123456"], payment=payment(1))

    sent = world.until_empty()

    assert len(sent) == 1
    assert world.summary("spring").cost.unpriced == ("GB",)
    assert world.summary("spring").state is BatchState.PAUSED


def test_a_code_that_a_person_takes_over_is_not_paid_by_the_budget(world):
    number, *_ = world.roster("spring", 3, payment=payment("0.10"))
    world.feed(1)
    world.person(number)

    world.until_empty()

    assert spent(world) == Decimal("0.10")
    assert world.summary("spring").outcomes == {"code_sent": 3}


def test_a_batch_that_has_joined_pays_when_the_first_one_cannot(world):
    numbers = world.roster("spring", 10, payment=payment("0.10"))
    world.feed()
    import_rows(world.ledger, "summer", numbers, payment=payment("0.15"))

    sent = world.until_empty()

    assert len(sent) == 5
    assert (spent(world), spent(world, "summer")) == (Decimal("0.10"), Decimal("0.15"))


def test_a_batch_without_prices_sends_what_the_first_one_cannot_pay(world):
    numbers = world.roster("spring", 10, payment=payment("0.10"))
    world.feed()
    import_rows(world.ledger, "summer", numbers)

    assert sorted(world.until_empty()) == sorted(numbers)
    assert spent(world) == Decimal("0.10")


def resend(world, name):
    new_name = resend_name(world.ledger, name)
    with begin_import(world.ledger, new_name, fingerprint=None) as importing:
        copier = RowCopier(world.ledger, name, importing)
        for row in UnansweredRows(world.ledger, name):
            copier.add(row)
        return finish_resend(world.ledger, name, importing)


def test_a_resend_spends_from_the_budget_of_the_first_batch(world):
    world.roster("spring", 20, payment=payment("1.50"))
    world.until_empty()
    world.feed(16 * MINUTE)
    left = payment_of_resend(world.ledger, "spring").budget

    resent = resend(world, "spring")
    sent = world.until_empty()

    assert left == Decimal("0.50")
    assert resent.cost.payer == "spring"
    assert len(sent) == 10
    assert spent(world, "spring-resend") == spent(world) == Decimal("1.50")
    assert world.summary("spring-resend").state is BatchState.PAUSED
    assert operations.set_budget(world.ledger, "spring-resend", Decimal(3))
    assert world.summary("spring").cost.budget == 3


def test_the_budget_is_kept_for_as_long_as_a_resend_needs_it(world, client):
    world.roster("spring", 3, payment=payment(1))
    world.until_empty()
    world.feed(16 * MINUTE)
    keys = world.keys.batch("spring")
    client.pexpire(keys.batch, 60_000)

    resend(world, "spring")

    assert client.pttl(keys.batch) > 80 * 24 * 3600 * 1000
    assert client.pttl(keys.lists[0]) == pytest.approx(client.pttl(keys.batch), abs=1000)


def test_a_resend_whose_budget_is_lost_sends_nothing(world, client):
    world.roster("spring", 3, payment=payment(1))
    world.until_empty()
    world.feed(16 * MINUTE)
    resend(world, "spring")
    client.delete(world.keys.batch("spring").batch)

    assert world.until_empty() == []
    assert world.summary("spring-resend").state is BatchState.PAUSED


def test_a_retry_of_failed_rows_spends_from_the_same_budget(world):
    world.roster("spring", 30, payment=payment(1))
    world.until_empty(lambda _number: REJECTED)
    assert spent(world) == 0

    operations.retry(world.ledger, "spring", ["rejected"])
    sent = world.until_empty()

    assert len(sent) == 20
    assert spent(world) == 1


def test_a_batch_without_prices_takes_no_budget(world):
    world.roster("spring", 1)

    assert operations.set_budget(world.ledger, "spring", Decimal(1)) is False
    assert world.summary("spring").cost is None

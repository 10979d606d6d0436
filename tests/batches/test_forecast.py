"""The forecast of an import: a sample of bounded size, and the estimate from it."""

import random

import pytest
from support.harness import fresh_number
from support.roster_of_batch import TAKEN, Batches, import_rows

from ringproof.batches import operations
from ringproof.batches.erasure import erase_number
from ringproof.batches.forecast import Tally, forecast
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.answers import Outcome
from ringproof.ledger.record import Reason, State
from ringproof.phone.number import PhoneNumber
from ringproof.rosters.row import Row
from ringproof.rosters.sample import NumberSample


def row(at, channel="sms"):
    return Row(at, PhoneNumber(f"+1415{2_000_000 + at}", "US", landline=False), channel)


def test_a_sample_of_few_numbers_has_all_of_them_and_is_exact():
    sample = NumberSample(100)
    for at in [*range(50), *range(10)]:
        sample.add(row(at))

    assert sample.is_exact
    assert sorted(one.rows for one in sample.numbers) == [1] * 40 + [2] * 10


@pytest.mark.parametrize("order", [sorted, lambda rows: random.Random(1).sample(rows, len(rows))])
def test_a_sample_of_many_numbers_is_bounded_and_counts_all_rows_of_each(order):
    sample = NumberSample(100)
    for at in order([*range(5_000)] * 3):
        sample.add(row(at))

    assert not sample.is_exact
    assert [one.rows for one in sample.numbers] == [3] * 100


def test_an_estimate_is_close_to_the_real_counts():
    tally = Tally()
    for at in [*range(20_000), *range(2_000)]:
        tally.add(row(at, "call" if at % 10 == 0 else "sms"))

    found = forecast(tally, None)

    assert not found.is_exact
    assert found.duplicates == pytest.approx(2_000, rel=0.4)  # six standard deviations
    assert found.texts + found.calls == pytest.approx(20_000, rel=0.05)
    assert found.calls == pytest.approx(2_000, rel=0.2)


@pytest.fixture
def world(client, monkeypatch):
    return Batches(client, monkeypatch, max_codes_per_day=1, max_calls_per_week=1)


def send(world, outcome=TAKEN, number=None, **options):
    """Bring a number to an outcome by a person's request."""
    world.pass_(2)
    number = number or fresh_number()
    world.settle(world.begin((number, world.person(number, **options).request)), outcome)
    return number


def queued_in_batch(world, change=None):
    (number,) = world.roster("spring", 1)
    world.feed()
    if change:
        change(world.ledger, "spring")
    return number


def queued_by_person(world):
    number = fresh_number()
    world.person(number)
    return number


def verified(world):
    return send(world, Outcome(State.VERIFIED, verification_uuid="uuid"))


def verified_and_refused_since(world):
    number = verified(world)
    world.pass_(24 * 3600)
    return send(world, Outcome(State.FAILED, Reason.REJECTED), number, kind=RequestKind.RESEND)


def erased(world):
    number = send(world)
    erase_number(world.ledger, number)
    return number


def over(world, channel):
    number = send(world, channel=channel)
    world.feed(16 * 60)
    return number


@pytest.mark.parametrize(
    ("situation", "channel", "disposition"),
    [
        (lambda _: fresh_number(), "sms", Disposition.ACCEPTED),
        (queued_in_batch, "sms", Disposition.JOINED),
        (lambda world: queued_in_batch(world, operations.pause), "sms", Disposition.ACCEPTED),
        (lambda world: queued_in_batch(world, operations.cancel), "sms", Disposition.ACCEPTED),
        (queued_by_person, "sms", Disposition.JOINED),
        (send, "sms", Disposition.LIVE),
        (verified, "sms", Disposition.VERIFIED),
        (verified_and_refused_since, "sms", Disposition.VERIFIED),
        (erased, "sms", Disposition.LIVE),
        (lambda world: over(world, "sms"), "sms", Disposition.ACCEPTED),  # the cap of a day ends before the row does
        (lambda world: over(world, "call"), "call", Disposition.CAPPED),
    ],
    ids=[
        "unknown",
        "queued in a running batch",
        "queued in a paused batch",
        "queued in a cancelled batch",
        "queued by a person",
        "with a live code",
        "verified",
        "verified with a failed request since",
        "erased with a live code",
        "at the cap of a day",
        "at the cap of a week",
    ],
)
def test_the_forecast_says_what_becomes_of_the_row_and_writes_nothing(world, client, situation, channel, disposition):
    number = situation(world)
    tally = Tally()
    tally.add(Row(1, PhoneNumber(number, "US", landline=False), channel))
    keys = sorted(client.scan_iter(f"{world.prefix}:*"))
    before = [client.dump(key) for key in keys]
    found = forecast(tally, world.ledger)

    assert [client.dump(key) for key in keys] == before
    assert sorted(client.scan_iter(f"{world.prefix}:*")) == keys
    import_rows(world.ledger, "summer", [{"phone": number, "channel": channel}])
    world.feed()
    (outcome,) = world.summary("summer").outcomes
    if disposition is Disposition.ACCEPTED:
        assert (found.texts + found.calls, found.skipped) == (1, {})
        assert outcome == "queued"
    else:
        assert (found.texts + found.calls, found.skipped) == (0, {disposition: 1})
        assert outcome.partition(":")[0] == disposition


def test_the_forecast_leaves_out_the_countries_that_the_policy_leaves_out(client, monkeypatch):
    world = Batches(client, monkeypatch, countries=("CA",))
    tally = Tally()
    tally.add(row(1))

    assert forecast(tally, world.ledger).skipped == {Disposition.COUNTRY: 1}

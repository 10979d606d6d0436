"""What is told before an import: a sample of bounded size, and what follows from it."""

import random

import pytest

from ringproof.batches.forecast import Tally, forecast
from ringproof.phone.number import PhoneNumber
from ringproof.rosters.row import Row
from ringproof.rosters.sample import Sample


def row(at, channel="sms"):
    return Row(at, PhoneNumber(f"+1415{2_000_000 + at}", "US", landline=False), channel)


def test_a_sample_of_few_is_all_of_them_and_exact():
    sample = Sample(100)
    for at in [*range(50), *range(10)]:
        sample.add(row(at))

    assert sample.exact
    assert sorted(one.rows for one in sample.numbers) == [1] * 40 + [2] * 10


@pytest.mark.parametrize("order", [sorted, lambda rows: random.Random(1).sample(rows, len(rows))])
def test_a_sample_of_many_is_bounded_and_counts_all_rows_of_each(order):
    sample = Sample(100)
    for at in order([*range(5_000)] * 3):
        sample.add(row(at))

    assert not sample.exact
    assert [one.rows for one in sample.numbers] == [3] * 100


def test_an_estimate_is_near_what_is_so():
    tally = Tally()
    for at in [*range(20_000), *range(2_000)]:
        tally.add(row(at, "call" if at % 10 == 0 else "sms"))

    found = forecast(tally, None)

    assert not found.exact
    assert found.again == pytest.approx(2_000, rel=0.4)  # six standard deviations
    assert found.texts + found.calls == pytest.approx(20_000, rel=0.05)
    assert found.calls == pytest.approx(2_000, rel=0.2)

import pytest
from arrivals import Arrivals, within


def seen(*taken, refused=()):
    """What the sandbox tells of its requests."""
    moments = [(at, 201) for at in taken] + [(at, 429) for at in refused]
    return Arrivals([{"kind": "initiate", "monotonic": at, "status": status} for at, status in moments])


def test_the_first_arrival_only_starts_the_clock():
    assert seen(10.0, 10.5, 11.0).per_second == pytest.approx(2.0)


@pytest.mark.parametrize("taken", [(), (10.0,)])
def test_of_none_or_one_there_is_no_pace(taken):
    assert seen(*taken).per_second == 0
    assert seen(*taken).most_in(1.0) == len(taken)


def test_what_was_refused_or_is_no_send_is_not_taken():
    arrivals = Arrivals(
        [
            {"kind": "initiate", "monotonic": 2.0, "status": 429},
            {"kind": "initiate", "monotonic": 1.0, "status": 201},
            {"kind": "initiate", "monotonic": 3.0, "status": None},
            {"kind": "get", "monotonic": 4.0, "status": 200},
        ]
    )

    assert arrivals.taken == [1.0]
    assert arrivals.refused == 1
    assert len(arrivals.judged) == 3


def test_a_window_is_closed_as_the_sandboxs_is():
    arrivals = seen(0.0, 1.0, 2.0, 2.5, 3.0)

    assert arrivals.most_in(1.0) == 3
    assert arrivals.most_in(0.4) == 1
    assert arrivals.most_in(10.0) == 5


def test_a_stretch_has_its_start_and_not_its_end():
    assert seen(0.0, 1.0, 2.0, refused=(0.5, 1.0, 2.0)).between(1.0, 2.0) == (1, 1)


@pytest.mark.parametrize(("percent", "value"), [(50, 100), (99, 198), (100, 200)])
def test_so_many_percent_are_within_one_of_the_values(percent, value):
    assert within(range(1, 201), percent) == value

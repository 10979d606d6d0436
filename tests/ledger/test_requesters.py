"""Requesters: each has a cap of its own and a fair turn among the people, and Redis knows it by an HMAC only."""

import secrets
from datetime import timedelta

import pytest
from support.harness import fresh_number
from support.simulation import Simulation
from test_caps_on_people import shown

from ringproof.errors import Capped
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.record import Lane
from tasks import initiate_verification

SESSION = "session:7f3a-of-the-web-app"


def ask(simulation, requester=SESSION, number=None, **options):
    number = number or fresh_number()
    return number, simulation.ledger.accept(
        number, token=secrets.token_hex(8), country="US", **{"requester": requester} | options
    )


def ask_often(simulation, count, **options):
    """Return how many of so many requests are accepted, and the last one's answer."""
    answers = [ask(simulation, **options)[1] for _ in range(count)]
    return sum(answer.disposition is Disposition.ACCEPTED for answer in answers), answers[-1]


@pytest.fixture
def simulation(client):
    return Simulation(client, requester_codes_per_hour=4, requester_codes_per_day=6)


def test_a_requester_gets_so_many_codes_an_hour_and_a_day(simulation):
    sent, refused = ask_often(simulation, 6)
    simulation.pass_(66 * 60)
    later, at_last = ask_often(simulation, 6)

    assert (sent, refused.disposition, refused.limit) == (4, Disposition.CAPPED, "requester_codes_per_hour")
    assert (later, at_last.limit) == (2, "requester_codes_per_day")
    assert at_last.until - simulation.moment() > timedelta(hours=22)
    assert "RINGPROOF_REQUESTER_CODES_PER_DAY" in str(Capped(at_last.limit, at_last.until))
    assert control.sending_status(simulation.ledger).refusals == {
        "requester_codes_per_hour": 2,
        "requester_codes_per_day": 4,
    }
    assert "requester_codes_per_hour 2" in shown(control.sending_status(simulation.ledger))


def test_another_requester_and_a_person_without_one_are_not_held_up(simulation):
    ask_often(simulation, 6)

    assert ask_often(simulation, 4, requester="session:another")[0] == 4
    assert ask_often(simulation, 9, requester=None)[0] == 9


def test_a_cancelled_request_gives_its_place_back_and_a_batch_takes_none(simulation):
    number, accepted = ask(simulation)
    simulation.ledger.cancel(number, accepted.request)
    ask_often(simulation, 5, kind=RequestKind.ROSTER, lane=Lane.BULK)

    assert ask_often(simulation, 6)[0] == 4


def test_redis_has_an_hmac_of_the_requester_which_is_forgotten_two_days_after_the_last_one(simulation):
    ask_often(simulation, 2)
    client, prefix = simulation.client, simulation.prefix
    stored = {key: client.dump(key) for key in client.keys(f"{prefix}:*")}
    keys = [key for key in stored if ":requester_codes_" in key] + [f"{prefix}:requesters"]

    assert SESSION not in str([client.hgetall(key) for key in stored if client.type(key) == "hash"])
    assert SESSION not in str([*stored, *(client.get(key) for key in stored if client.type(key) == "string")])
    assert len(keys) == 3
    assert all(0 < client.ttl(key) <= 2 * 86400 for key in keys)
    other = Simulation(client, requester_codes_per_hour=4)
    ask(other)
    assert not set(requesters_of(simulation)) & set(requesters_of(other))  # each installation has a key of its own


def requesters_of(simulation):
    keys = simulation.client.keys(f"{simulation.prefix}:people:requester_codes_per_hour:*")
    return [key.rpartition(":")[2] for key in keys]


@pytest.mark.parametrize("channel", ["sms", "call"])
def test_fifty_waiting_numbers_of_one_requester_do_not_hold_up_the_first_of_another(client, channel):
    simulation = Simulation(client, rate="2/1s")
    requests = {}

    def person(requester):
        number, accepted = ask(simulation, requester, channel=channel)
        requests[number] = requester
        simulation.booker([(number, accepted.request)], Lane.INTERACTIVE, simulation.now_us)

    for _ in range(50):
        person("many")
    simulation.run(simulation.now_us + 3_000_000)
    waiting = simulation.client.zcard(simulation.keys.line(channel))
    person("few")
    person("few")
    person(None)
    simulation.run(simulation.now_us + 60_000_000)
    order = [requests[number] for number in sorted(requests, key=lambda number: slot_of(simulation, number))]

    assert waiting > 20
    first, second, none = order.index("few"), len(order) - 1 - order[::-1].index("few"), order.index(None)
    assert max(first, none) <= 50 - waiting + 3  # behind those only that had their slots, or were called up
    assert second > none  # its own second number stands back as well
    assert order[second:].count("many") >= waiting - 5


def slot_of(simulation, number):
    record = simulation.ledger.read(number)
    assert record.lease_until, record
    return record.lease_until


def test_a_requester_reaches_the_ledger_from_the_call(publish, ledger):
    session = secrets.token_hex(8)
    for _ in range(3):
        initiate_verification.delay(fresh_number(), requester=session)

    with pytest.raises(Capped) as caught:
        initiate_verification.delay(fresh_number(), requester=session)
    assert caught.value.limit == "requester_codes_per_hour"
    assert session not in str(caught.value)
    initiate_verification.delay(fresh_number(), requester=secrets.token_hex(8))

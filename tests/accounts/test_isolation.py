"""What befalls one account costs the others nothing: measured in one run, before and while five have trouble."""

import threading
import time
from itertools import count

import pytest
from support.accounts import Installation
from support.harness import LONG, eventually

from ringproof.ledger.record import Reason, State
from worker.local.processes.redis_server import RedisServer

TROUBLED = ("refused", "limited", "slow", "crowded", "away")
RATE = {"well": "50/5s"} | dict.fromkeys(TROUBLED, "25/5s")
SECONDS, ROWS, CROWD = (12.0, 3000, 1500) if LONG else (6.0, 600, 300)
"""How long the pace is measured before the trouble and in it; rows of each account; people of the crowded one."""

NUMBERS = count(3_000_000)


def numbers(many):
    return [f"+1415{next(NUMBERS)}" for _ in range(many)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An installation with a batch of each account under way."""
    with RedisServer() as other:
        fields = {name: {"rate": rate} for name, rate in RATE.items()}
        fields["away"]["ledger"] = other.url
        with Installation(tmp_path_factory.mktemp("isolation"), accounts=tuple(RATE), fields=fields) as installation:
            installation.other = other
            for name in RATE:
                installation.call("import", numbers(ROWS), "all", account=name)
            for name in RATE:
                eventually(lambda name=name: sent_by(installation, name) > 10, why=f"{name} waits")
            yield installation


def sent_by(world, name):
    return world.plivos.counts(world.auth_ids[name])["sends"]


def codes_of_well(world):
    return sent_by(world, "well")


def pace_and_patience(world, seconds):
    """Return how many codes a second the account `well` gets, and how long its people wait (s), the median."""
    before, began = codes_of_well(world), time.monotonic()
    waits = []
    while time.monotonic() < began + seconds:
        (number,) = numbers(1)
        asked_at = time.time()
        world.initiate(number, "well")
        sent = eventually(
            lambda number=number: [
                one for one in world.plivos.sends(world.auth_ids["well"]) if one["number"] == number
            ],
            why="a person waits",
        )
        waits.append(sent[0]["at"] - asked_at)
        before_next = codes_of_well(world)
        eventually(lambda before_next=before_next: codes_of_well(world) > before_next + 2, why="the batch waits")
    took = time.monotonic() - began
    return (codes_of_well(world) - before) / took, sorted(waits)[len(waits) // 2]


def in_trouble(world):
    """Make trouble for five accounts; return what `pace_and_patience` finds of the sixth in it."""
    world.plivos.trouble(world.auth_ids["refused"], status=401)
    world.plivos.trouble(world.auth_ids["limited"], status=429)
    world.plivos.trouble(world.auth_ids["slow"], delay=8)
    crowd = threading.Thread(target=world.call_apart, args=("many", numbers(CROWD), {"account": "crowded"}))
    crowd.start()
    world.other.freeze()
    found = pace_and_patience(world, SECONDS)
    world.other.thaw()
    crowd.join()
    return found


def test_trouble_of_five_accounts_stops_neither_the_batch_nor_the_people_of_a_sixth(world):
    in_trouble(world)

    assert world.ledger("refused").client.hexists("{ringproof:refused}:pauses", "credentials")
    assert not world.ledger("well").client.exists("{ringproof:well}:pauses")


@pytest.mark.long  # it compares two paces, on a machine that other tests keep busy
def test_nor_does_it_slow_them_down(world):
    for name in TROUBLED:
        world.plivos.trouble(world.auth_ids[name])
    pace, wait = pace_and_patience(world, SECONDS)
    pace_then, wait_then = in_trouble(world)
    print(f"pace {pace:.2f} -> {pace_then:.2f} a second, wait {wait:.2f} -> {wait_then:.2f} s")

    assert pace_then >= 0.9 * pace
    assert wait_then <= max(2 * wait, 1.0)


def test_each_account_goes_on_once_its_trouble_is_over(world):
    for name in TROUBLED:
        world.plivos.trouble(world.auth_ids[name])
    for name in TROUBLED:
        before = sent_by(world, name)
        eventually(
            lambda name=name, before=before: sent_by(world, name) > before + 5,
            why=f"{name} does not go on",
            within=90,
        )


def test_a_rotated_token_is_taken_up_without_a_restart(world):
    world.plivos.tell(tokens={world.auth_ids["well"]: "rotated"})
    (number,) = numbers(1)
    world.initiate(number, "well")
    eventually(lambda: world.client.hexists("{ringproof:well}:pauses", "credentials"), why="no 401 was noted")
    world.until("well", number, State.WAITING)
    world.tokens["well"] = "rotated"
    world.write_file()

    assert world.until("well", number, State.CODE_SENT)
    assert "rotated" not in world.log


def test_the_numbers_of_an_account_that_is_removed_wait_and_are_sent_to_once_it_is_back(world):
    (number,) = numbers(1)
    read = "the accounts were read again"
    times = world.worker.log.count(read)
    world.write_file(limited=None)
    eventually(lambda: world.worker.log.count(read) > times, why="who sweeps has not read them")
    ledger = world.ledger("limited")
    request = ledger.accept(number, token=number, country="US").request
    world.client.zadd("ringproof:accounts", {"limited": 0})
    eventually(lambda: "numbers of account limited wait until it is back" in world.log)
    assert ledger.read(number).state is State.QUEUED

    world.write_file()
    record = world.until("limited", number, State.CODE_SENT, within=90)
    assert record.request == request
    assert record.reason is not Reason.TOO_LATE

"""Redis dies, freezes, drops everybody, is full, or is a replica: workers stay, and nothing is sent twice or lost."""

import re
import threading
import time

import pytest
from batches_of import agrees, import_rows
from checker import check
from redis.exceptions import RedisError
from support.harness import LONG, eventually, fresh_number
from world import World

from ringproof.batches.model import BatchState
from ringproof.batches.summary import batch_summary
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.record import Lane, State

LOADS = {"numbers": (600, "40/1s"), "batch": (5000, "300/1s")} if LONG else {"numbers": (120, "40/1s")}
"""How many, and a pace at which there is work left when Redis is back."""
FROZEN_SECONDS = [5, 20] if LONG else [5]
AGAIN_SECONDS = 30.0
SUPERVISOR_SECONDS = 30.0  # between SIGTERM and SIGKILL, as docs/operating/deploying.md asks for


POOLS = ("prefork", pytest.param("threads", marks=pytest.mark.long))


@pytest.fixture(params=LOADS)
def load(request):
    return request.param


@pytest.fixture(params=POOLS)
def pool(request):
    return request.param


@pytest.fixture
def world(load, pool, tmp_path):
    numbers, rate = LOADS[load]
    # A begin that was sent while Redis stood still is repeated within 2 s: its lease must be longer than that.
    # With `everysec` a Redis whose disk is busy keeps two seconds to itself, and forgets them when it is killed.
    durations = {"lease": 5.0, "first_byte": 2.5}
    with World(tmp_path, RINGPROOF_RATE=rate, durations=durations, appendfsync="always") as world:
        world.plivo.switch(latency_ms=[50, 200])
        world.load, world.pool, world.numbers = load, pool, numbers
        yield world


def sent(world):
    return world.plivo.counts()["next"]


def goes_on(world):
    """Return how long it takes from now until Plivo is asked for another code, if everybody has not got one by now."""
    before, began = sent(world), time.monotonic()
    eventually(lambda: sent(world) > before or before >= world.numbers, within=AGAIN_SECONDS, why="no new send")
    return time.monotonic() - began


def under_load(world):
    """A worker with its hands full: it starts when all wait, since a busy machine accepts as slowly as it sends."""
    if world.load == "batch":
        import_rows(world, "spring", [fresh_number() for _ in range(world.numbers)])
    else:
        world.enqueue(world.numbers)
    worker = world.start("-P", world.pool, children=4)
    eventually(lambda: sent(world) > 5, within=30)
    return worker


def until_all_have_one(world, worker):
    """Wait until everybody has got a code and Redis knows of it; nobody has restarted the worker."""
    try:
        eventually(lambda: answered(world) and all_have_one(world), within=60)
    except AssertionError as error:
        raise AssertionError(f"{world.states()}, and the worker's log ends:\n{worker.log[-2000:]}") from error
    assert worker.popen.poll() is None
    check(world)
    if world.load == "batch":
        eventually(lambda: batch_summary(world.ledger, "spring").state is BatchState.COMPLETED)
        assert agrees(world, "spring").outcomes == {"code_sent": world.numbers}


def all_have_one(world):
    if world.load == "batch" and batch_summary(world.ledger, "spring").unfinished:
        return False
    return set(world.states()) == {State.CODE_SENT}


def answered(world):
    try:
        return world.client.ping()
    except RedisError:
        return False


def test_redis_is_killed_and_restarted_under_load(world):
    worker = under_load(world)
    for _ in range(3):
        world.redis.kill()
        world.redis.restart()
        took = goes_on(world)
        print(f"sent again after {took:.1f} s")

    until_all_have_one(world, worker)


@pytest.mark.parametrize("seconds", FROZEN_SECONDS)
def test_a_frozen_redis_loses_and_doubles_nothing(world, seconds):
    worker = under_load(world)
    world.redis.freeze()
    threading.Timer(seconds, world.redis.thaw).start()
    eventually(lambda: answered(world), within=seconds + 30)
    goes_on(world)

    until_all_have_one(world, worker)


def test_connections_that_are_cut_each_second_lose_and_double_nothing(world):
    worker = under_load(world)
    over = threading.Event()

    def cut():
        while not over.wait(1):
            world.client.client_kill_filter(_type="normal", skipme=True)
            world.client.client_kill_filter(_type="pubsub", skipme=True)

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        eventually(lambda: sent(world) >= world.numbers * 0.9, within=60)
    finally:
        over.set()
        cutting.join()

    until_all_have_one(world, worker)


REFUSALS = {
    "OOM": (("maxmemory", "1"), ("maxmemory", "0")),
    "READONLY": (("replicaof", "127.0.0.1 1"), ("replicaof", "no one")),
}
IN_CELERYS_WORDS = r"used memory > 'maxmemory'|read only replica"
"""A child logs Redis' own word. If none has a message just then, the parent meets the refusal first."""


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refusal_of_redis_names_its_reason_and_nothing_is_half_accepted(world, reason):
    refuse, relent = REFUSALS[reason]

    def configure(name, value):
        if name == "replicaof":
            world.client.execute_command("REPLICAOF", *value.split())
        else:
            world.client.config_set(name, value)

    worker = under_load(world)
    configure(*refuse)
    before = world.client.dbsize()
    with pytest.raises(LedgerUnavailable, match=reason):
        world.accept(1)
    assert world.client.dbsize() <= before
    eventually(lambda: re.search(f"called again until it answers|{IN_CELERYS_WORDS}", worker.log), within=60)
    configure(*relent)
    goes_on(world)

    until_all_have_one(world, worker)


@pytest.mark.parametrize(
    ("pool", "fails"), [("prefork", "kill"), pytest.param("threads", "freeze", marks=pytest.mark.long)]
)
def test_a_worker_stops_in_time_although_redis_takes_no_result(tmp_path, pool, fails):
    with World(tmp_path, FAULTS_GRACE_SECONDS="2") as world:
        world.plivo.switch(latency_ms=2000)
        worker = world.start("-P", pool, children=2)
        eventually(lambda: len(world.first_bytes()) == 1, why="its question at the start")
        numbers = world.enqueue(6, Lane.INTERACTIVE)
        eventually(lambda: len(world.first_bytes()) == 7)
        getattr(world.redis, fails)()
        worker.popen.terminate()
        eventually(lambda: worker.popen.poll() is not None, within=SUPERVISOR_SECONDS)
        {"kill": world.redis.restart, "freeze": world.redis.thaw}[fails]()
        eventually(lambda: answered(world))
        world.start(name="another", children=2)
        states = world.until_settled()

        assert "Redis has not taken the results of" in worker.log
        assert states.keys() <= {State.IN_DOUBT, State.CODE_SENT}, "a frozen Redis may have got results before it froze"
        assert states.total() == 6
        assert len(world.plivo.sends()) == len(numbers)
        check(world)

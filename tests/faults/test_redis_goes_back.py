"""Redis forgets its last seconds, or everything, under real workers: none is sent to twice, none is lost.

An AOF of some seconds ago is put back, everything is flushed, workers and Redis die together. The workers report
what they remember; what nobody remembers is held until no code of it can live.
"""

import shutil
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest
from batches_of import agrees, import_rows
from checker import check
from support.harness import LONG, eventually, fresh_number
from world import World

from ringproof.batches.model import BatchState
from ringproof.batches.summary import batch_summary
from ringproof.ledger import control
from ringproof.ledger.gate import read_gate
from ringproof.ledger.record import Lane, State

ROWS = 1500 if LONG else 500
RATE = "200/5s"
LOST = 200 if LONG else 100
AGAIN_SECONDS = 10.0
LEASE = 5.0
SETTLED_SECONDS = 1.0
"""Longer than an answer of the sandbox takes here."""


@pytest.fixture
def world(tmp_path):
    durations = {"lease": LEASE, "first_byte": 2.5}
    with World(tmp_path, RINGPROOF_RATE=RATE, durations=durations, appendfsync="always") as world:
        world.plivo.switch(latency_ms=[50, 200])
        world.numbers = [fresh_number() for _ in range(ROWS)]
        yield world


def sent(world):
    return world.plivo.counts()["next"]


def doubled(world):
    sends = Counter(send["phone_number"] for send in world.plivo.sends())
    return [number for number, count in sends.items() if count > 1]


def gate(world):
    return read_gate(world.client.hgetall(world.ledger.keys.generation))


def under_load(world, pool="prefork", workers=2):
    import_rows(world, "spring", world.numbers)
    started = [world.start("-P", pool, children=2, name=f"w{place}") for place in range(workers)]
    eventually(lambda: sent(world) > 40, within=60)
    return started


def files(world):
    return [path for path in world.redis.directory.iterdir() if path.name.startswith("appendonly")]


def copy(paths, folder):
    folder.mkdir(exist_ok=True)
    for path in paths:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)


def put_back(world, backup):
    """Put a copy of the AOF in the place of what Redis has; Redis does not run."""
    for path in files(world):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    copy(backup.iterdir(), world.redis.directory)


def back_up(world):
    copy(files(world), world.folder / "backup")
    return sent(world), world.folder / "backup"


def goes_on(world, within=AGAIN_SECONDS):
    """Return how long it takes until the gate is open and Plivo is asked for another code."""
    began = time.monotonic()
    eventually(lambda: answers(world) and not gate(world).is_closed, within=within + 20)
    before = sent(world)
    eventually(lambda: sent(world) > before or before >= ROWS, within=within + 20)
    took = time.monotonic() - began
    print(f"sent again after {took:.1f} s")
    return took


def answers(world):
    try:
        return world.client.ping() and gate(world).closing
    except Exception:  # noqa: BLE001  # it is away, or loads its AOF
        return False


def until_all_have_one(world):
    eventually(lambda: not batch_summary(world.ledger, "spring").unfinished, within=90)
    eventually(lambda: batch_summary(world.ledger, "spring").state is BatchState.COMPLETED)
    sends = world.plivo.sends()
    assert doubled(world) == []
    assert {send["phone_number"] for send in sends} == set(world.numbers)
    check(world)


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.long)])
def test_an_older_aof_is_restored_under_running_workers(world, pool):
    under_load(world, pool)
    before, backup = back_up(world)
    eventually(lambda: sent(world) > before + LOST, why="of these Redis knows nothing later")
    world.redis.kill()
    put_back(world, backup)
    world.redis.start()

    assert goes_on(world) < AGAIN_SECONDS
    found = gate(world)
    assert found.went_back
    assert found.mended > 20
    assert found.unreported == found.forgotten == 0
    until_all_have_one(world)
    assert agrees(world, "spring").outcomes == {"code_sent": ROWS}


def test_everything_is_flushed_under_running_workers(world):
    under_load(world)
    world.client.flushall()
    goes_on_without_work(world)
    had_one = {send["phone_number"] for send in world.plivo.sends()}

    assert gate(world).lost_batches == ("spring",)
    import_rows(world, "spring", world.numbers)  # as the finding says
    until_all_have_one(world)
    outcomes = agrees(world, "spring").outcomes
    assert outcomes["code_sent"] <= ROWS - len(had_one) + 1
    assert sum(outcomes.values()) == ROWS


def goes_on_without_work(world):
    eventually(lambda: gate(world).opened_at, within=AGAIN_SECONDS + 20)


def test_workers_and_redis_die_together_and_what_nobody_remembers_is_held(world):
    workers = under_load(world)
    before, backup = back_up(world)
    eventually(lambda: sent(world) > before + 40)
    for worker in workers:
        kill_all(world, worker)
    world.redis.kill()
    put_back(world, backup)
    world.redis.start()
    before = settled_count(world)
    world.start(children=2, name="another")
    eventually(lambda: gate(world).opened_at, within=LEASE + 30)
    eventually(lambda: gate(world).forgotten > 0, within=60)
    world.until_swept_again()

    found = gate(world)
    assert found.unreported >= 1
    assert found.closing - found.knew_until < found.opened_at - found.knew_until
    assert sent(world) == before
    (pause,) = control.sending_status(world.ledger).pauses
    assert pause.kind == "forgotten"
    control.resume(world.ledger)
    eventually(lambda: sent(world) > before + 20, within=60)


def kill_all(world, worker):
    children = world.children(worker)
    worker.kill()  # first, or it would replace its children
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def settled_count(world):
    """Return how many codes were sent, once what dead workers have sent is counted: it may be under way to Plivo."""
    counted, since = sent(world), time.monotonic()

    def is_settled():
        nonlocal counted, since
        if (now := sent(world)) != counted:
            counted, since = now, time.monotonic()
        return time.monotonic() > since + SETTLED_SECONDS

    eventually(is_settled)
    return counted


@pytest.mark.long
def test_a_plain_restart_holds_nothing_up(world):
    under_load(world)
    world.redis.restart()

    assert goes_on(world) < AGAIN_SECONDS
    found = gate(world)
    assert not found.went_back
    assert not found.mended
    assert found.unreported == 0
    until_all_have_one(world)
    assert agrees(world, "spring").outcomes == {"code_sent": ROWS}


@pytest.mark.long
def test_everything_is_stopped_and_started_again(world):
    workers = under_load(world)
    for worker in workers:
        worker.popen.terminate()
    for worker in workers:
        eventually(lambda worker=worker: worker.popen.poll() is not None, within=40)
    assert not [name for name in world.client.hgetall(world.ledger.keys.generation) if name.startswith("member:")]
    world.redis.restart()
    world.start(children=2, name="another")
    before = sent(world)
    eventually(lambda: sent(world) > before + 5, within=AGAIN_SECONDS + 20)

    assert gate(world).unreported == 0
    assert not control.sending_status(world.ledger).pauses
    until_all_have_one(world)


@pytest.mark.long
def test_a_host_that_never_comes_back_is_waited_for_no_longer_than_its_lease(world):
    workers = under_load(world)
    kill_all(world, workers[0])
    world.redis.restart()
    began = time.monotonic()
    eventually(lambda: gate(world).opened_at, within=LEASE + 30)

    assert time.monotonic() - began < LEASE + 10
    assert doubled(world) == []


@pytest.mark.long
def test_a_redis_that_restarts_every_few_seconds_does_not_stop_the_sending(world):
    under_load(world)
    for _ in range(4):
        before = sent(world)
        world.redis.restart()
        eventually(lambda before=before: sent(world) > before + 10 or sent(world) >= ROWS, within=20)
    until_all_have_one(world)


@pytest.mark.long
def test_a_user_without_info_is_noticed_by_the_counter(world):
    world.client.execute_command("ACL", "SETUSER", "ringproof", "on", ">secret", "~*", "&*", "+@all", "-info")
    host = world.redis.url.rpartition("@")[2]
    import_rows(world, "spring", world.numbers)
    world.client.config_set("appendonly", "yes")
    for place in range(2):
        world.start(children=2, name=f"w{place}", RINGPROOF_REDIS_URL=f"redis://ringproof:secret@{host}")
    eventually(lambda: sent(world) > 40, within=60)
    assert world.client.hget(world.ledger.keys.generation, "server") in {None, ""}
    world.client.hincrby(world.ledger.keys.generation, "counter", -50)

    eventually(lambda: gate(world).closing, within=5)
    assert gate(world).went_back
    goes_on_without_work(world)
    until_all_have_one(world)


def test_people_are_not_sent_to_twice_either(world):
    world.start(children=4)
    people = world.enqueue(20, Lane.INTERACTIVE)
    eventually(lambda: sent(world) > 5, within=30)
    _, backup = back_up(world)
    eventually(lambda: world.states()[State.CODE_SENT] >= 15, within=30)
    world.redis.kill()
    put_back(world, backup)
    world.redis.start()
    world.until_settled()

    assert doubled(world) == []
    assert {send["phone_number"] for send in world.plivo.sends()} == set(people)

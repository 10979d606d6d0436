"""A stop: no number is begun any more, and each that was begun settles, also if the whole group gets the signal."""

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from support.harness import Worker, eventually, fresh_number, stopped

from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from worker.local.processes.redis_server import RedisServer

STOP_SECONDS = 30


@pytest.fixture
def world(environ, tmp_path, plivo):
    """A worker of four children on a Redis of its own, and a way to give it numbers."""

    class World:
        numbers: tuple[str, ...] = ()

        def give(self, count):
            self.numbers = tuple(fresh_number() for _ in range(count))
            for number in self.numbers:
                request = ledger.accept(number, token=number, country="US").request
                options = {"queue": "ringproof.interactive", "argsrepr": "(…)"}
                producer.send_task("initiate_verification", [number], {"request": request}, **options)

        def states(self):
            return [record.state for record in ledger.read_many([(number, None) for number in self.numbers])]

        def all_are_under_way(self):
            """Their slots have gone by, and Plivo has not answered yet."""
            records = ledger.read_many([(number, None) for number in self.numbers])
            slots = [record.lease_until - ledger.durations.lease for record in records if record.lease_until]
            return len(slots) == len(self.numbers) and max(slots) < datetime.now(UTC) - timedelta(seconds=1)

        def ended(self):
            """End within the time."""
            try:
                self.worker.popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pytest.fail(f"it did not end within {STOP_SECONDS} s")

        def start(self, pool, rate):
            own = environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_RATE": rate}
            self.worker = Worker(tmp_path / "worker.log", own, tmp_path, "-P", pool)
            return self.worker

    with RedisServer() as server:
        client = connect(server.url)
        ledger, producer = Ledger(client), Celery("producer", broker=server.url, set_as_current=False)
        yield World()
        client.close()
        producer.close()


GROUP = pytest.param(lambda pid: os.killpg(pid, signal.SIGTERM), id="the group")
BOTH_POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])
PARENT = pytest.param(lambda pid: os.kill(pid, signal.SIGTERM), id="the parent")


@BOTH_POOLS
@pytest.mark.parametrize("terminate", [GROUP, PARENT])
def test_each_send_under_way_settles(world, plivo, terminate, pool):
    plivo.switch(latency_ms=5000)  # longer than a busy machine stands still between a look and the signal
    with stopped(world.start(pool, "1000/0.1s")):
        world.give(20)
        eventually(world.all_are_under_way)
        terminate(world.worker.popen.pid)
        world.ended()

    assert world.states() == [State.CODE_SENT] * 20
    assert len(plivo.sends()) == 20


@BOTH_POOLS
@pytest.mark.parametrize("terminate", [GROUP, PARENT])
def test_a_number_that_waits_for_its_slot_is_queued_again(world, plivo, terminate, pool):
    with stopped(
        world.start(pool, "20/4s")
    ):  # the first window is spent: the first of the four slots is four seconds away
        world.give(4)
        eventually(lambda: world.states().count(State.SENDING) == 4)
        terminate(world.worker.popen.pid)
        world.ended()

    assert State.SENDING not in world.states()
    assert plivo.sends() == []

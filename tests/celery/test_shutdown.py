"""A stop: no number is begun any more, and each that was begun settles, also if the whole group gets the signal."""

import fcntl
import os
import signal
import stat
import subprocess
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery
from support.harness import Worker, eventually, fresh_number, stopped

from ringproof.ledger.connection import connect
from ringproof.ledger.heartbeats import workers_alive
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from worker.local.processes.redis_server import RedisServer
from worker.sending.senders import SENDERS

STOP_SECONDS = 30
CELERYS_HEARTBEAT_SECONDS = 2
QUICK_SECONDS = 15
"""A stop that waits for nothing takes two seconds, and more on a busy machine."""


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

        def freeze_redis(self):
            server.freeze()

        def has_stopped_to_take_messages(self):
            return not workers_alive(ledger)

        def start(self, pool, rate, *options, children=4):
            own = environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_RATE": rate}
            self.worker = Worker(tmp_path / "worker.log", own, tmp_path, "-P", pool, *options, concurrency=children)
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


def unread(pid):
    """How many bytes wait in the pipes that this process reads from."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if stat.S_ISFIFO(link.stat().st_mode) and os.access(link, os.R_OK, follow_symlinks=True):
            pipe = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
            count += int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), "little")
            os.close(pipe)
    return count


def test_a_child_that_takes_a_message_in_the_middle_of_the_stop_does_not_delay_it(world):
    """Its parent has forgotten the message by then, and reads no results any more."""
    with stopped(world.start("prefork", "1000/0.1s", children=1)) as worker:
        [child] = worker.children()
        os.kill(child, signal.SIGSTOP)
        world.give(1)
        eventually(lambda: unread(child))
        os.kill(worker.popen.pid, signal.SIGTERM)
        eventually(world.has_stopped_to_take_messages)
        os.kill(child, signal.SIGCONT)
        began = time.monotonic()
        world.ended()

    assert time.monotonic() - began < QUICK_SECONDS
    assert world.states() == [State.QUEUED]


def has_handler(pid, number):
    """Whether this process has a handler of its own for a signal."""
    [caught] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGHUP])
def test_a_child_that_is_ending_lets_no_signal_interrupt_its_sends(world, plivo, again):
    plivo.switch(latency_ms=5000)
    with stopped(world.start("prefork", "1000/0.1s", children=2)) as worker:
        world.give(8)
        eventually(world.all_are_under_way)
        children = worker.children()
        os.killpg(worker.popen.pid, signal.SIGTERM)
        eventually(lambda: not any(has_handler(child, signal.SIGTERM) for child in children))
        for child in children:
            os.kill(child, again)
        world.ended()

    assert world.states() == [State.CODE_SENT] * 8
    assert len(plivo.sends()) == 8


def test_a_worker_whose_redis_stands_still_does_not_wait_for_each_message_that_it_has(world, plivo):
    """Celery acknowledges one after the other, and waits for Redis 5 s for each."""
    waiting = 16
    plivo.switch(latency_ms=9000)
    with stopped(world.start("threads", "1000/0.1s", children=waiting)) as worker:
        world.give(SENDERS + waiting)
        eventually(lambda: worker.log.count("] received") == SENDERS + waiting)
        world.freeze_redis()
        os.kill(worker.popen.pid, signal.SIGTERM)
        world.ended()

    assert "this worker ends without Redis" in worker.log


def test_a_worker_whose_redis_has_stood_still_before_notices_the_stop(world):
    """Celery's heartbeat of that time was repeated until Redis took it."""
    with stopped(world.start("threads", "1000/0.1s")) as worker:
        world.freeze_redis()
        beaten = time.monotonic() + 1.5 * CELERYS_HEARTBEAT_SECONDS
        eventually(lambda: time.monotonic() > beaten)
        os.kill(worker.popen.pid, signal.SIGTERM)
        world.ended()

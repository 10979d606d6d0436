"""A worker is alive in Redis while it takes messages: from its start to a warm stop, and again after Redis was away."""

import json

import pytest
from support.harness import Worker, eventually, ledger_of, stopped

from ringproof.ledger.heartbeats import workers_alive
from worker.local.processes.redis_server import RedisServer


@pytest.fixture
def world(environ, tmp_path):
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        options = ("-n", "bulk@vm", "-Q", "ringproof.scheduled,ringproof.bulk")
        with ledger_of(own) as ledger, stopped(Worker(tmp_path / "log", own, tmp_path, *options)) as worker:
            eventually(lambda: workers_alive(ledger) == ["bulk@vm"], why="the worker is not alive")
            yield ledger, worker


def test_a_worker_says_what_it_is_and_beats_again_and_again(world):
    ledger, worker = world

    def facts():
        return json.loads(ledger.client.hget(ledger.keys.heartbeats, "bulk@vm"))

    first = facts()
    assert first["queues"] == ["ringproof.bulk", "ringproof.scheduled"]
    assert first["pid"] == worker.popen.pid
    assert first["host"]
    assert first["version"]
    eventually(lambda: facts()["at"] > first["at"], why="there was no second heartbeat")


def test_a_warm_stop_ends_the_heartbeats_at_once(world):
    ledger, worker = world
    worker.popen.terminate()
    worker.popen.wait(60)

    assert workers_alive(ledger) == []
    assert not ledger.client.exists(ledger.keys.heartbeats)


def test_a_worker_that_lost_its_connections_beats_again(world):
    ledger, worker = world
    for kind in ("normal", "pubsub"):
        ledger.client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    ledger.client.delete(ledger.keys.heartbeats)

    eventually(lambda: workers_alive(ledger) == ["bulk@vm"], why="it does not beat")
    assert worker.popen.poll() is None

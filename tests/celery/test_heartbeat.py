"""A worker is alive in Redis while it takes messages: from its start to a warm stop, and again after Redis was away."""

import json
import os
import signal
import sys
from datetime import timedelta

import pytest
from celery import Celery
from support.harness import (
    AUTH_ID,
    AUTH_TOKEN,
    Process,
    Worker,
    eventually,
    fresh_number,
    ledger_of,
    stopped,
)

from ringproof.celery.messages import WORK_CHUNK
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.activity import read_activities, read_ticks
from ringproof.ledger.heartbeats import read_heartbeats, workers_alive
from ringproof.ledger.record import Lane, State
from worker.local.processes.redis_server import RedisServer


@pytest.fixture
def world(environ, tmp_path):
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        options = ("-n", "bulk@vm", "-Q", "ringproof.scheduled,ringproof.bulk")
        with ledger_of(own) as ledger, stopped(Worker(tmp_path / "log", own, tmp_path, *options)) as worker:
            ledger.shown_url = server.url
            eventually(lambda: workers_alive(ledger) == ["bulk@vm"], why="the worker is not alive")
            yield ledger, worker


@pytest.fixture
def client_of_all(world):
    """A program that sends messages to this Redis."""
    url = world[0].shown_url
    with Celery("producer", broker=url, backend=url, set_as_current=False) as producer:
        yield producer


def heartbeats(ledger):
    return read_heartbeats(ledger.client.hgetall(ledger.keys.heartbeats))


def test_a_worker_says_what_it_is_and_beats_again_and_again(world):
    ledger, worker = world

    def facts():
        return json.loads(ledger.client.hget(ledger.keys.heartbeats, "bulk@vm"))

    eventually(lambda: facts()["children"] == worker.children())
    first = facts()
    assert first["queues"] == ["ringproof.bulk", "ringproof.scheduled"]
    assert first["pid"] == worker.popen.pid
    assert first["host"]
    assert first["version"]
    assert first["kind"] == "worker"
    assert first["pool"].startswith("prefork ")
    assert len(first["account"]) == len(first["credentials"]) == len(first["policy"]) == 12
    assert first["started"] <= first["at"]
    assert (first["active"], first["oldest_active_s"]) == (0, None)
    assert 0 < first["away_ms"] < 1000
    assert "taken" not in first
    assert AUTH_TOKEN not in json.dumps(first)
    assert AUTH_ID not in json.dumps(first)
    eventually(lambda: facts()["at"] > first["at"], why="there was no second heartbeat")


def test_it_says_when_it_last_took_a_message_and_that_its_children_do_not_begin_it(world, client_of_all):
    ledger, worker = world
    children = worker.children()
    for child in children:
        os.kill(child, signal.SIGSTOP)
    try:
        number = fresh_number()
        request = ledger.accept(number, token=number, kind=RequestKind.ROSTER, lane=Lane.BULK, country="US").request
        client_of_all.send_task(WORK_CHUNK, ([[number, request]], "sms"), queue="ringproof.bulk", ignore_result=True)

        def stands_still():
            (beat,) = heartbeats(ledger)
            return beat.waiting and beat.oldest_waiting_s and beat

        beat = eventually(stands_still, why="no message waits for a child")
        assert (beat.active, beat.waiting) == (0, 1)
        assert beat.at - timedelta(seconds=30) < beat.taken <= beat.at
    finally:
        for child in children:
            os.kill(child, signal.SIGCONT)
    eventually(lambda: heartbeats(ledger)[0].waiting == 0, why="the message still waits")
    eventually(lambda: ledger.read(number).state is State.CODE_SENT)
    assert [one.worker for one in read_activities(ledger.client.hgetall(ledger.keys.activity))] == ["bulk@vm"]


def test_a_message_for_no_task_here_was_taken_too(world, client_of_all):
    ledger, _ = world
    assert heartbeats(ledger)[0].taken is None
    client_of_all.send_task("of.others", queue="ringproof.bulk", ignore_result=True)

    eventually(lambda: heartbeats(ledger)[0].taken, why="it does not say so")


def test_a_beat_that_runs_alone_has_a_heartbeat_and_notes_its_ticks(environ, tmp_path):
    with RedisServer() as server, ledger_of(environ | {"RINGPROOF_REDIS_URL": server.url}) as ledger:
        command = [sys.executable, "-m", "celery", "-A", "worker", "beat"]
        with stopped(
            Process(command, tmp_path / "log", environ | {"RINGPROOF_REDIS_URL": server.url}, tmp_path)
        ) as beat:
            (first,) = eventually(lambda: heartbeats(ledger), why="it has no heartbeat")
            tick = eventually(lambda: read_ticks(ledger.client.hgetall(ledger.keys.ticks)).get("beat"))

            assert first.worker == tick.worker == f"beat@{first.host}"
            assert (first.kind, first.pid) == ("beat", beat.popen.pid)
            assert "sweep" in tick.what
            assert workers_alive(ledger) == []
            eventually(lambda: heartbeats(ledger)[0].at > first.at, why="there was no second one")
            beat.popen.terminate()
            beat.popen.wait(60)
        assert heartbeats(ledger) == []


def test_the_sweep_notes_what_it_did(environ, tmp_path):
    with RedisServer() as server, ledger_of(environ | {"RINGPROOF_REDIS_URL": server.url}) as ledger:
        options = ("-n", "ticks@vm", "-Q", "ringproof.ticks", "-P", "threads", "-B")
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        with stopped(Worker(tmp_path / "log", own, tmp_path, *options)):
            tick = eventually(lambda: read_ticks(ledger.client.hgetall(ledger.keys.ticks)).get("sweep"))

            assert (tick.what, tick.worker) == ("nothing to do", "ticks@vm")
            assert tick.ms > 0
            kinds = eventually(
                lambda: len(found := heartbeats(ledger)) == 2 and [(one.kind, one.pool) for one in found]
            )
            assert kinds == [("beat", None), ("worker", "threads 4")]


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

"""The door is killed, stopped, or loses its Redis: no number is lost, and a repetition gets what became of it."""

import contextlib
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.front_door import FrontDoor
from support.harness import Worker, eventually, fresh_number, ledger_of, stopped

from ringproof.ledger.credentials import issue
from ringproof.ledger.record import State
from worker.local.processes.redis_server import RedisServer

WAITING = 100


@pytest.fixture(scope="module")
def home(environ, tmp_path_factory):
    """A Redis of its own, with a worker that does everything: its environment, and the server."""
    folder = tmp_path_factory.mktemp("home")
    with RedisServer(appendfsync="always") as server:
        # A repetition is no resend, however long this takes.
        settings = environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_RESEND_COOLDOWN_SECONDS": "60"}
        with stopped(Worker(folder / "worker.log", settings, folder, "-P", "threads", "-B")):
            yield settings, server


@pytest.fixture
def ledger(home):
    with ledger_of(home[0]) as ledger:
        yield ledger


@pytest.fixture
def start(home, ledger, tmp_path):
    """Start doors, with one credential."""
    issued = issue(ledger, f"lost {time.monotonic()}")
    with contextlib.ExitStack() as stack:

        def start_(port=0):
            log = tmp_path / f"door-{time.monotonic()}.log"
            return stack.enter_context(stopped(FrontDoor(log, home[0], tmp_path, issued, port=port)))

        yield start_


def in_parallel(call, numbers):
    """Call with each number at once; None for a call without an answer."""

    def one(number):
        with contextlib.suppress(requests.ConnectionError):
            return call(number)

    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(one, numbers))


def port_of(door):
    return int(door.url.rsplit(":", 1)[1])


def test_a_door_that_is_killed_with_a_hundred_waiting_loses_none(start, plivo, ledger):
    plivo.switch(latency_ms=3000)
    numbers = [fresh_number() for _ in range(WAITING)]
    first = start()
    with ThreadPoolExecutor(1) as background:
        asked = background.submit(in_parallel, first.initiate, numbers)
        eventually(lambda: all(ledger.read_many([(number, None) for number in numbers])))
        first.kill()
        lost = asked.result()
    plivo.switch(latency_ms=0)
    second = start(port_of(first))
    answers = in_parallel(second.initiate, numbers)
    uuids = [answer.json()["verification_uuid"] for answer in answers]
    eventually(lambda: all(ledger.read(number).state is State.CODE_SENT for number in numbers))
    again = [answer.json()["verification_uuid"] for answer in in_parallel(second.initiate, numbers)]
    completed = second.complete(uuids[0], plivo.sends(numbers[0])[0]["code"])

    assert lost.count(None) > WAITING / 2
    assert {answer.status_code for answer in answers} <= {200, 201, 202}
    assert again == uuids
    assert len(set(uuids)) == WAITING
    assert [len(plivo.sends(number)) for number in numbers] == [1] * WAITING
    assert completed.status_code == 200


def test_a_redis_that_is_killed_under_the_door_and_comes_back_loses_none(start, home, plivo, ledger):
    _, server = home
    numbers = [fresh_number() for _ in range(30)]
    door = start()
    assert door.initiate(fresh_number()).status_code == 201
    server.kill()
    away = in_parallel(door.initiate, numbers[:3])
    with ThreadPoolExecutor(1) as background:
        asked = background.submit(in_parallel, door.initiate, numbers)
        server.restart()
        during = asked.result()
    for number in numbers:
        eventually(lambda number=number: door.initiate(number).status_code in {200, 201})
    statuses = {answer.status_code for answer in (*away, *during)}

    assert {answer.status_code for answer in away} == {409}
    assert {answer.json()["reason"] for answer in away} == {"ledger_away"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in away)
    assert statuses <= {200, 201, 202, 409}
    assert max(answer.elapsed.total_seconds() for answer in (*away, *during)) < 4.5
    assert [len(plivo.sends(number)) for number in numbers] == [1] * len(numbers)


def test_a_redis_that_is_frozen_is_answered_in_time(start, home, plivo):
    _, server = home
    door = start()
    assert door.initiate(fresh_number()).status_code == 201
    server.freeze()
    try:
        answers = in_parallel(door.initiate, [fresh_number() for _ in range(50)])
    finally:
        server.thaw()

    assert {answer.status_code for answer in answers} == {409}
    assert max(answer.elapsed.total_seconds() for answer in answers) < 4.5


def test_a_stop_lets_what_runs_be_answered_and_takes_nothing_new(start, plivo, ledger):
    plivo.switch(latency_ms=1500)
    numbers = [fresh_number() for _ in range(20)]
    door = start()
    with ThreadPoolExecutor(1) as background:
        asked = background.submit(in_parallel, door.initiate, numbers)
        eventually(lambda: all(ledger.read_many([(number, None) for number in numbers])))
        door.popen.send_signal(signal.SIGTERM)
        answers = asked.result()

    assert door.popen.wait(10) == 0
    assert {answer.status_code for answer in answers if answer} <= {201, 202}  # 202 if the machine is slow
    assert answers.count(None) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(door)), 5).close()
    assert "Traceback" not in door.log


def test_a_kept_connection_serves_one_request_after_the_other(start, plivo):
    door = start()
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (door.auth_id, door.token)
        ports = set()
        for _ in range(20):
            with session.get(f"{door.resource}/hello", timeout=30, stream=True) as answer:
                ports.add(answer.raw.connection.sock.getsockname()[1])
                assert answer.status_code == 404
                answer.content  # noqa: B018  # a connection is kept once its answer is read

    assert len(ports) == 1

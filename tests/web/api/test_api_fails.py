"""The API while something fails: Redis is away, no worker answers, or the process stops."""

import contextlib
import gzip
import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from support.api import Api
from support.front_door import FrontDoor
from support.harness import eventually, fresh_number, ledger_of, stopped

from ringproof.ledger.credentials import Scope, issue
from worker.local.processes.redis_server import RedisServer
from worker.web.api.batches import MOST_UPLOADS


@pytest.fixture(scope="module")
def own_redis():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def start(environ, own_redis, tmp_path_factory):
    """Return a function that starts a front door with a Redis that can be away, and without a worker."""
    folder = tmp_path_factory.mktemp("own")
    own = environ | {"RINGPROOF_REDIS_URL": own_redis.url}
    with contextlib.ExitStack() as started:
        with ledger_of(own) as ledger:
            program = issue(ledger, "program", tuple(Scope))

        def start_(name):
            door = started.enter_context(stopped(FrontDoor(folder / name, own, folder, program)))
            return door, started.enter_context(Api(door.url, program.token))

        yield start_


@pytest.fixture(scope="module")
def ledger_of_own(environ, own_redis):
    with ledger_of(environ | {"RINGPROOF_REDIS_URL": own_redis.url}) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def own_api(start):
    return start("without-worker.log")[1]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/verifications", {"json": {"phone_number": "+14155550123"}}),
        ("GET", "/verifications/3b5c1f2e-8e0b-8a5b-9d0e-3c1a2b4c5d6e?wait=1", {}),
        ("POST", "/numbers/lookup", {"json": {"phone_number": "+14155550123"}}),
        ("GET", "/batches/spring", {}),
        ("GET", "/batches/spring/export", {}),
        ("GET", "/events", {}),
        ("POST", "/batches?name=spring", {"data": "Phone\n+14155550123\n", "headers": {"Content-Type": "text/csv"}}),
    ],
)
def test_without_redis_a_request_is_to_be_sent_again(own_api, own_redis, method, path, body):
    assert own_api.get("/nothing").status_code == 404
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        answer = own_api.request(method, path, **body)
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)

    assert (answer.status_code, answer.json()["reason"]) == (503, "ledger_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "127.0.0.1" not in answer.text
    eventually(lambda: own_api.get("/nothing").status_code == 404)


def test_a_stream_ends_when_redis_does_not_answer_and_the_next_one_goes_on(own_api, own_redis):
    with own_api.get("/events", stream=True) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(b":")
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            assert not any(lines)
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)

    with own_api.get("/events", stream=True) as again:
        assert next(again.iter_lines()).startswith(b":")


def test_without_a_worker_a_code_is_neither_right_nor_wrong(own_api):
    verification = own_api.ask_for_code(fresh_number())
    answer = own_api.post(f"/verifications/{verification}/confirm", json={"code": "1234"})

    assert (answer.status_code, answer.json()["reason"]) == (503, "unconfirmed")
    assert answer.headers["Retry-After"]


def test_a_process_that_stops_answers_what_it_has_begun(start):
    door, api = start("stops.log")
    begun, answers = threading.Event(), []

    def body():
        yield b"Phone\n"
        begun.set()
        while True:
            yield f"{fresh_number()}\n".encode() * 100

    def upload():
        answers.append(api.post("/batches?name=spring", data=body(), headers={"Content-Type": "text/csv"}))

    uploading = threading.Thread(target=upload)
    uploading.start()
    begun.wait()
    door.popen.send_signal(signal.SIGTERM)
    uploading.join(timeout=25)

    assert (answers[0].status_code, answers[0].json()["reason"]) == (503, "stopping")
    assert door.popen.wait(timeout=20) == 0


def test_a_process_that_stops_answers_whose_upload_stands_still(start):
    door, api = start("stops-still.log")
    address = urlsplit(api.url)
    with contextlib.closing(HTTPConnection(address.hostname, address.port, timeout=25)) as connection:
        connection.putrequest("POST", f"{address.path}/batches?name=spring")
        connection.putheader("Authorization", api.headers["Authorization"])
        connection.putheader("Content-Type", "text/csv")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(b"6\r\nPhone\n\r\n")
        eventually(lambda: len(psutil.Process(door.popen.pid).net_connections("tcp")) > 1, why="nothing is received")
        door.popen.send_signal(signal.SIGTERM)
        answer = connection.getresponse()

        assert (answer.status, json.load(answer)["reason"]) == (503, "stopping")
    assert door.popen.wait(timeout=20) == 0


@pytest.fixture
def long_work():
    """A roster of a few kilobytes, which takes minutes to read."""
    return {"data": gzip.compress(b"Phone\n" + b"1\n" * 3_000_000), "headers": {"Content-Type": "application/gzip"}}


def test_a_process_that_stops_ends_the_reading_of_a_whole_roster(start, long_work):
    door, api = start("stops-reading.log")
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(api.post, "/batches?name=spring", **long_work)
        eventually(lambda: psutil.Process(door.popen.pid).cpu_percent(0.2) > 20, why="nothing is read")
        door.popen.send_signal(signal.SIGTERM)
        answer = uploading.result()

    assert (answer.status_code, answer.json()["reason"]) == (503, "stopping")
    assert door.popen.wait(timeout=10) == 0


def test_nobody_reads_on_for_a_sender_who_has_gone(own_api, long_work):
    for _ in range(MOST_UPLOADS):
        with pytest.raises(requests.Timeout):
            own_api.post("/batches?name=spring", timeout=0.5, **long_work)

    few = {"data": "Phone\n+14155550123\n", "headers": {"Content-Type": "text/csv"}}
    eventually(lambda: own_api.post("/batches?name=spring", **few).ok, why="the readers of those who have gone read on")


def test_a_process_that_stops_answers_who_waits(start):
    door, api = start("stops-waiting.log")
    verification = api.ask_for_code(fresh_number())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.get, f"/verifications/{verification}", params={"wait": 30})
        eventually(lambda: len(psutil.Process(door.popen.pid).net_connections("tcp")) > 1, why="nobody waits")
        door.popen.send_signal(signal.SIGTERM)
        answer = waiting.result()

    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert door.popen.wait(timeout=10) == 0


def test_a_damaged_record_is_for_the_operator(own_api, ledger_of_own):
    number = fresh_number()
    ledger_of_own.client.set(ledger_of_own.keys.record(number), "junk")
    answer = own_api.post("/verifications", json={"phone_number": number})

    assert (answer.status_code, answer.json()["reason"]) == (500, "ledger_damaged")
    assert not [text for text in (number[-7:], "127.0.0.1") if text in answer.text]


def test_an_upload_whose_server_is_killed_goes_on_where_it_was(start, ledger_of_own):
    """Nobody was there to delete what is stored: the same upload to another process continues it."""
    first, api = start("killed.log")
    rows = [f"{fresh_number()},{'x' * 90}\n".encode() for _ in range(4_000)]

    def stored():
        return sum(ledger_of_own.run("llen", key) for key in ledger_of_own.keys.batch("killed").lists)

    def body():
        yield b"Phone,Note\n"
        yield b"".join(rows[:2_500])
        eventually(lambda: stored() >= 1_000)
        first.kill()
        yield b"".join(rows[2_500:])

    upload = {"params": {"name": "killed", "dry_run": False, "paused": True}, "headers": {"Content-Type": "text/csv"}}
    with pytest.raises(requests.ConnectionError):
        api.post("/batches", data=body(), **upload)
    assert stored() >= 1_000

    again = start("after.log")[1].post("/batches", data=b"Phone,Note\n" + b"".join(rows), **upload)

    assert (again.status_code, again.json()["rows"]) == (201, 4_000)

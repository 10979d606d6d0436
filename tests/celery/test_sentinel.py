"""A worker and a program follow a failover by themselves, and say nothing of a password meanwhile."""

import json
import sys
import time
from urllib.parse import quote

import pytest
from support.harness import Process, Worker, eventually, ledger_of, stopped
from support.sentinels import SentinelServers

from ringproof.ledger import control
from ringproof.ledger.record import Lane

PASSWORD, OF_SENTINELS = "redis%41/w?#[];@:,", "sentinel &=+/?%41"

MOST_SECONDS = 7.0
"""What `.delay` takes at most: two attempts of 3 s each."""

PRODUCER = """
import json, sys, threading, time
from ringproof import errors, initiate_verification

def say(**facts):
    sys.stdout.write(json.dumps(facts) + "\\n")
    sys.stdout.flush()

def wait(verification, what):
    try:
        say(waited=what, got=verification.get(timeout=60)["state"])
    except Exception as error:
        say(waited=what, got=repr(error))

def wait_for(verification, what):
    threading.Thread(target=wait, args=(verification, what), daemon=True).start()

first = int(sys.argv[1])
wait_for(initiate_verification.apply_async((f"+1415{first}",), queue="ringproof.scheduled"), "a paused lane")
for line in range(first + 1, first + 1000):
    began = time.monotonic()
    try:
        wait_for(initiate_verification.delay(f"+1415{line}"), "at once")
        error = None
    except errors.LedgerUnavailable as unavailable:
        error = str(unavailable)
    say(seconds=time.monotonic() - began, error=error)
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def servers():
    with SentinelServers(password=PASSWORD, sentinel_password=OF_SENTINELS) as servers:
        yield servers


@pytest.fixture(scope="module")
def own(environ, servers):
    return environ | {"RINGPROOF_REDIS_URL": servers.url, "RINGPROOF_RATE": "10000/0.1s"}


@pytest.fixture(scope="module")
def running(own, tmp_path_factory):
    """A worker and a beat, which nobody restarts."""
    folder = tmp_path_factory.mktemp("worker")
    beat = [sys.executable, "-m", "celery", "-A", "worker", "beat"]
    with (
        stopped(Worker(folder / "worker.log", own, folder, concurrency=2)) as worker,
        stopped(Process(beat, folder / "beat.log", own, folder)) as beat,
    ):
        yield worker, beat


class Producer(Process):
    """A program that asks for a code ten times a second, and waits for the result of each."""

    first = 7_000_000

    def __init__(self, log, environ, cwd):
        Producer.first += 1000
        super().__init__([sys.executable, "-c", PRODUCER, str(Producer.first)], log, environ, cwd)

    def said(self, fact):
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if fact in line]

    def got(self, waited):
        return [line["got"] for line in self.said("got") if line["waited"] == waited]

    def sent(self):
        return self.got("at once").count("code_sent")


@pytest.mark.parametrize(
    "how", ["kill_master", *(pytest.param(how, marks=pytest.mark.long) for how in ("failover", "pause_master"))]
)
def test_a_worker_and_a_program_follow_the_master_without_a_restart(how, servers, own, running, tmp_path):
    with ledger_of(own) as ledger:
        control.pause(ledger, Lane.SCHEDULED)
    with stopped(Producer(tmp_path / "producer.log", own, tmp_path)) as producer:
        eventually(lambda: producer.sent() > 5, why="nothing is sent")
        with servers.master.client() as client:
            client.wait(1, 1000)
        getattr(servers, how)()
        moved, before = time.monotonic(), producer.sent()
        eventually(lambda: producer.sent() > before + 20, why="sending does not go on")
        took = time.monotonic() - moved
        with ledger_of(own) as ledger:
            control.resume(ledger, Lane.SCHEDULED)
        of_the_waiting = eventually(lambda: producer.got("a paused lane"), why="`.get()` does not return")
        answers = producer.said("seconds")

    print(f"{how}: the 20th code {took:.1f} s after the new master; {max(line['seconds'] for line in answers):.1f} s")
    assert of_the_waiting == ["code_sent"]
    assert max(line["seconds"] for line in answers) < MOST_SECONDS
    assert all(line["error"].startswith("Redis at sentinel://:•••@") for line in answers if line["error"])
    assert [process.popen.poll() for process in running] == [None, None]

    servers.revive()
    logs = "".join(process.log for process in (*running, producer))
    secrets = {PASSWORD, OF_SENTINELS, quote(PASSWORD, safe=""), quote(OF_SENTINELS, safe=""), quote(PASSWORD)}
    assert not [secret for secret in secrets if secret in logs]

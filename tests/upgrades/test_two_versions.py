"""The last release and this version on one Redis under load: forward, and back."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest
from release import install, last_release
from support.harness import AUTH_ID, AUTH_TOKEN, Process, Sandbox, eventually, fresh_number, stopped

from ringproof.batches.summary import recount
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.numbers import all_records
from ringproof.ledger.record import State
from worker.local.processes.redis_server import RedisServer
from worker.observe.facts import read_facts
from worker.observe.findings import Code, findings

ROWS = 1500
"""More than are sent while the versions change: the rest is cancelled in the end."""

POLICY = {
    "RINGPROOF_RATE": "20/1s",
    "RINGPROOF_RANGE_CODES_PER_HOUR": "0",
    "RINGPROOF_COUNTRY_CODES_PER_HOUR": "0",
    "RINGPROOF_PEOPLE_CODES_PER_DAY": "0",
    "RINGPROOF_BREAKER_PERCENT": "0",
}


class Site:
    """A Redis and Plivo, with processes of both versions."""

    def __init__(self, folder, redis_server, plivo, old_python):
        self.folder, self.plivo = folder, plivo
        self.pythons = {"old": old_python, "new": Path(sys.executable)}
        self.client = connect(redis_server.url)
        self.ledger = Ledger(self.client)
        self.environ = {
            **os.environ,
            **POLICY,
            "RINGPROOF_REDIS_URL": redis_server.url,
            "PLIVO_AUTH_ID": AUTH_ID,
            "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
            "PLIVO_BASE_URL": plivo.base_url,
        }
        self.environ.pop("PYTHONPATH", None)
        self.workers, self.names = [], itertools.count(1)

    def start(self, age):
        """Start a worker that does everything."""
        name = f"{age}{next(self.names)}"
        options = ["worker", "-P", "threads", "-c", "8", "-B", "-l", "INFO", "-n", f"{name}@%h"]
        command = [str(self.pythons[age]), "-m", "worker", *options]
        worker = Process(command, self.folder / f"{name}.log", self.environ, self.folder)
        self.workers.append(worker)
        return worker.until_logged(" ready.")

    def stop(self, worker):
        """Stop a worker as an operator does, and wait for its end."""
        os.kill(worker.popen.pid, signal.SIGTERM)
        assert worker.popen.wait(timeout=60) == 0, worker.log

    def replace(self, worker, age):
        """Start a worker of a version, and then stop another one."""
        started = self.start(age)
        sent = self.plivo.counts()["next"]
        self.stop(worker)
        eventually(lambda: self.plivo.counts()["next"] > sent + 20, why="the others do not go on")
        return started

    def run(self, age, *arguments):
        """Run the command of a version."""
        command = [str(self.pythons[age]), "-m", "worker", *arguments]
        done = subprocess.run(
            command, env=self.environ, cwd=self.folder, capture_output=True, text=True, check=False, timeout=90
        )
        is_over = "is completed; there is nothing to cancel" in done.stdout  # on a slow machine
        assert done.returncode in {0, 3} or is_over, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def producer(self, age):
        """Start a web app of a version."""
        return subprocess.Popen(
            [str(self.pythons[age]), str(Path(__file__).with_name("producer.py"))],
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def records(self):
        return {record.phone_number: record for record in all_records(self.ledger)}

    def close(self):
        for worker in self.workers:
            worker.kill()
        self.client.close()


class People:
    """People who ask for a code, and enter it: each at a web app of one version, and then at one of the other."""

    def __init__(self, site):
        self.asked, self.entered, self.problem = [], [], None
        self._site, self._stops = site, threading.Event()
        self._apps = [site.producer("old"), site.producer("new")]
        self._thread = threading.Thread(target=self._come)
        self._thread.start()

    def stop(self):
        self._stops.set()
        self._thread.join()
        for app in self._apps:
            app.stdin.close()
            app.wait(timeout=20)
            app.stdout.close()
        if self.problem:
            raise self.problem

    def _come(self):
        try:
            for first, second in itertools.cycle([self._apps, self._apps[::-1]]):
                if self._stops.wait(0.1):
                    return
                number = fresh_number()
                self.asked.append(number)
                assert self._tell(first, f"ask {number}").startswith(number)
                eventually(lambda number=number: self._site.ledger.read(number).state is State.CODE_SENT)
                (send,) = self._site.plivo.sends(number)
                line = f"confirm {number} {send['code']}"
                answer = self._tell(second, line)
                for _ in range(3):  # a worker that stops asks for the code once more
                    answer = self._tell(second, line) if answer == "enter it again" else answer
                assert answer == "verified"
                self.entered.append(number)
        except BaseException as error:  # noqa: BLE001  # the test raises it
            self.problem = error

    @staticmethod
    def _tell(app, line):
        print(line, file=app.stdin, flush=True)
        return app.stdout.readline().strip()


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    return install(tmp_path_factory.mktemp("release"))


@pytest.fixture
def site(tmp_path, old_python):
    with RedisServer() as redis_server, stopped(Sandbox(tmp_path / "sandbox.log", os.environ, tmp_path)) as plivo:
        plivo.switch(limit=1_000_000)
        site = Site(tmp_path, redis_server, plivo, old_python)
        yield site
        site.close()


def roster(site, name, age):
    """Import a roster by the command of a version; return its numbers."""
    numbers = [fresh_number() for _ in range(ROWS)]
    file = site.folder / f"{name}.csv"
    file.write_text("phone\n" + "\n".join(numbers) + "\n")
    site.run(age, "import", str(file), "--batch", name, "--yes")
    return numbers


@pytest.mark.timeout(240)
def test_an_upgrade_and_the_way_back_under_load_lose_double_and_doubt_nothing(site):
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(site.start, ["old", "old"])
    rows = {"spring": roster(site, "spring", "old")}
    people = People(site)
    try:
        first = site.replace(first, "new")
        # Each worker has its first heartbeat a moment after it is ready.
        eventually(lambda: "different versions" in site.run("new", "status"))
        both = findings(read_facts(site.ledger))
        second = site.replace(second, "new")
        rows["autumn"] = roster(site, "autumn", "new")
        first = site.replace(first, "old")
        second = site.replace(second, "old")
    finally:
        people.stop()
    for name in rows:
        site.run("old", "batch", "cancel", name, "--yes")
    under_way = {State.QUEUED, State.WAITING, State.SENDING}
    eventually(lambda: not under_way & {record.state for record in site.records().values()}, why="numbers are left")
    for worker in (first, second):
        site.stop(worker)

    assert [one for one in both if one.code is Code.VERSIONS_DIFFER and last_release()[0] in one.sentence]
    assert [one for one in both if version("ringproof") in one.sentence]
    sent = [send["phone_number"] for send in site.plivo.sends()]
    records = site.records()
    assert len(sent) == len(set(sent)), "a number got two codes"
    assert set(people.entered) == set(people.asked) <= set(sent)
    assert {records[number].state for number in people.asked} == {State.VERIFIED}
    of_rows = [number for numbers in rows.values() for number in numbers]
    assert {records[number].state for number in of_rows if number in records} <= {State.CODE_SENT, State.CANCELLED}
    assert {number for number in of_rows if number in records and records[number].state is State.CODE_SENT} == set(
        sent
    ) - set(people.asked)
    for name in rows:
        kept, recounted = recount(site.ledger, name)
        assert kept == recounted
        assert kept.unfinished == 0
    for worker in site.workers:
        assert "Traceback" not in worker.log
        assert "in doubt" not in worker.log
        assert "code_sent" in worker.log, "a worker has sent nothing"

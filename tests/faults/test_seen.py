"""Each of thirteen faults, made with real processes while a batch runs: the status, the healthcheck, the alerts and
the doctor name it.

They run in this order, in one installation. Each one is mended before the next; the last three are not.
"""

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.alerts import firing
from support.far_away import FarAway
from support.harness import AUTH_ID, AUTH_TOKEN, Process, Sandbox, Worker, eventually, fresh_number, stopped
from support.scrape import scrape

from ringproof.errors import LedgerUnavailable
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from worker.local.processes.redis_server import RedisServer
from worker.observe.facts import read_facts
from worker.observe.findings import Code, Finding, findings, redis_away

PEOPLE, BULK, BEAT = "interactive@vm", "bulk@vm", f"beat@{socket.gethostname()}"
ROTATED = "the-rotated-token"
SILENT_SECONDS = 31
"""After this a process that shows nothing is gone or stopped, and no sweep is late: there is none."""


class Installation:
    """A Redis, a sandbox, a worker for people and ticks, one for bulk with two children, and a beat; a batch runs."""

    def __init__(self, folder: Path, run: Callable[..., Any], environ: dict[str, str], stack: ExitStack) -> None:
        self.folder, self._run, self.stack = folder, run, stack
        self.redis = self.stack.enter_context(RedisServer(has_config=True))
        self.plivo = self.stack.enter_context(stopped(Sandbox(folder / "plivo.log", os.environ, folder)))
        self.plivo.switch(limit=100_000)
        self.environ = environ | {
            "RINGPROOF_REDIS_URL": self.redis.url,
            "RINGPROOF_RATE": "20/1s",
            "RINGPROOF_COUNTRIES": "",
            "PLIVO_AUTH_ID": AUTH_ID,
            "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
            "PLIVO_BASE_URL": self.plivo.base_url,
        }
        self.client = connect(self.redis.url)
        self.stack.callback(self.client.close)
        self.ledger = Ledger(self.client)
        self.keys = self.ledger.keys
        self.people = self.worker(PEOPLE, "ringproof.ticks,ringproof.interactive", "-P", "threads")
        self.bulk = self.worker(BULK, "ringproof.scheduled,ringproof.bulk")
        self.start_beat()
        roster = folder / "people.csv"
        roster.write_text("phone_number\n" + "".join(f"{fresh_number()}\n" for _ in range(5000)))
        assert self.run("import", str(roster), "--yes").returncode == 0

    def run(self, *arguments: str, **changes: str) -> Any:
        return self._run(*arguments, **self.environ | changes)

    def worker(self, name: str, queues: str, *options: str, concurrency: int = 2, **changes: str) -> Worker:
        log, environ = self.folder / f"{name}.log", self.environ | changes
        started = Worker(log, environ, self.folder, "-n", name, "-Q", queues, *options, concurrency=concurrency)
        self.stack.enter_context(stopped(started))
        return started

    @contextmanager
    def another(self, name: str, queues: str = "ringproof.scheduled", **changes: str) -> Iterator[Worker]:
        """One more worker, which ends with the block, and says so."""
        worker = self.worker(name, queues, "-P", "threads", concurrency=1, **changes)
        yield worker
        worker.popen.terminate()
        worker.popen.wait(60)

    def let_time_pass(self, *silent: str) -> None:
        """Move back in time what these have said, who say nothing any more."""
        for key in (self.keys.heartbeats, self.keys.activity):
            for name, text in self.client.hgetall(key).items():
                if name in silent:
                    said = json.loads(text)
                    self.client.hset(key, name, json.dumps(said | {"at": said["at"] - SILENT_SECONDS * 1000}))

    def findings(self, prefix: str = "ringproof") -> list[Finding]:
        """What the status finds, without a process for it."""
        try:
            return findings(read_facts(Ledger(self.client, prefix=prefix)))
        except LedgerUnavailable as error:
            return [redis_away(error)]

    def alerts(self, prefix: str) -> set[str]:
        """The codes of the alerts that Prometheus fires, if all stays as it is."""
        return firing(scrape(Ledger(self.client, prefix=prefix)))

    def until_well(self) -> None:
        def well() -> bool:
            facts = read_facts(self.ledger)
            return findings(facts) == [] and bool(facts.minute and facts.minute.codes.get("bulk"))

        eventually(well, why=f"it is not well: {self.findings()}")

    def start_beat(self) -> None:
        self.beat = self._process("beat", "-m", "worker", "beat")

    def _process(self, name: str, *arguments: str) -> Process:
        log = self.folder / f"{name}.log"
        return self.stack.enter_context(stopped(Process([sys.executable, *arguments], log, self.environ, self.folder)))


@pytest.fixture(scope="module")
def installation(command, environ, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seen")

    def run(*arguments, **environ):
        done = command.run(arguments, environ=environ, cwd=folder)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    with ExitStack() as stack:
        yield Installation(folder, run, environ, stack)


@contextmanager
def children_are_stopped(here):
    def own():
        return [f"{BULK}/{pid}" for pid in here.bulk.children()]

    def has_work(name):
        said = json.loads(here.client.hget(here.keys.activity, name) or "{}")
        return said.get("in_hand") or said.get("sending")

    (bulk,) = (one for one in read_facts(here.ledger).workers if one.worker == BULK)
    eventually(lambda: (here.ledger.now() - bulk.started).total_seconds() > SILENT_SECONDS + 1)
    eventually(lambda: any(map(has_work, own())), why="no child says that it has work")
    for pid in here.bulk.children():
        os.kill(pid, signal.SIGSTOP)
    here.let_time_pass(*own())
    yield {}
    for pid in here.bulk.children():
        os.kill(pid, signal.SIGCONT)


@contextmanager
def redis_is_full(here):
    here.client.config_set("maxmemory", "1mb")
    yield {}
    here.client.config_set("maxmemory", "0")


@contextmanager
def its_disk_is_full(here):
    folder, before = here.folder / "gone", here.client.config_get("dir")["dir"]
    folder.mkdir()
    here.client.config_set("dir", str(folder))
    folder.rmdir()
    here.client.config_set("save", "3600 1")
    here.client.bgsave()
    eventually(lambda: here.client.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield {}
    here.client.config_set("dir", before)
    here.client.config_set("save", "")


@contextmanager
def plivo_refuses_connections(here):
    here.plivo.kill()
    yield {}


@contextmanager
def the_prefix_is_another(here):
    yield {"RINGPROOF_PREFIX": "another"}


@contextmanager
def redis_is_far(here):
    with FarAway(here.redis.port, 100) as network:
        url = here.redis.url.replace(f":{here.redis.port}/", f":{network.port}/")
        with here.another("far@elsewhere", RINGPROOF_REDIS_URL=url):
            yield {}


@contextmanager
def accounts_differ(here):
    with here.another("other@elsewhere", PLIVO_AUTH_ID="MA" + "Y" * 18):
        yield {}


@contextmanager
def a_backup_is_restored(here):
    kept = {key: here.client.execute_command("DUMP", key, NEVER_DECODE=True) for key in here.client.scan_iter()}
    sent = len(here.plivo.sends())
    eventually(lambda: len(here.plivo.sends()) > sent + 40, why="nothing was sent meanwhile")
    pipeline = here.client.pipeline()
    pipeline.flushall()
    for key, value in kept.items():
        if value:
            pipeline.restore(key, 0, value)
    pipeline.execute()
    # The workers notice it within a second, and report what they remember; then sending goes on.
    eventually(lambda: here.client.hget(here.keys.generation, "opened_at"), why="the gate is not opened again")
    yield {}
    here.client.delete(here.keys.gap)
    here.client.hdel(here.keys.generation, "went_back", "mended")


@contextmanager
def one_host_has_a_rotated_token(here):
    here.plivo.switch(unknown_tokens=[ROTATED])
    with here.another("rotated@elsewhere", "ringproof.interactive", PLIVO_AUTH_TOKEN=ROTATED):
        yield {}


@contextmanager
def nobody_takes_bulk(here):
    here.bulk.popen.terminate()
    here.bulk.popen.wait(60)
    yield {}
    here.bulk = here.worker(BULK, "ringproof.scheduled,ringproof.bulk")


@contextmanager
def beat_is_dead(here):
    here.beat.kill()
    here.let_time_pass(BEAT)
    here.client.decrby(here.keys.tick("sweep"), SILENT_SECONDS * 1000)
    yield {}
    here.client.incrby(here.keys.tick("sweep"), SILENT_SECONDS * 1000)  # or a sweep would find that Redis went back
    here.start_beat()


@contextmanager
def no_worker_is_left(here):
    for worker in (here.people, here.bulk):
        worker.kill()
    here.let_time_pass(PEOPLE, BULK)
    yield {}


@contextmanager
def redis_is_gone(here):
    here.redis.kill()
    yield {}


@dataclass(frozen=True)
class Fault:
    """A fault, its finding, some words of its sentence, and how `status` and `health` end."""

    make: Callable[[Installation], Any]
    code: Code
    words: str
    status: int
    health: int
    begins_well: bool = True


FAULTS = (
    Fault(redis_is_full, Code.REDIS_FULL, "Redis is full", 1, 1),
    Fault(its_disk_is_full, Code.REDIS_READ_ONLY, "it cannot save to its disk", 1, 1),
    Fault(the_prefix_is_another, Code.OTHER_PREFIX, 'workers run under "ringproof"', 1, 1),
    Fault(redis_is_far, Code.REDIS_FAR, "ms from far@elsewhere", 0, 0),
    Fault(accounts_differ, Code.ACCOUNTS_DIFFER, "different Plivo accounts", 3, 0),
    Fault(one_host_has_a_rotated_token, Code.CREDENTIALS_REFUSED, "the credentials of rotated@elsewhere", 3, 0),
    Fault(a_backup_is_restored, Code.WENT_BACK, "Redis went back by", 0, 0),
    Fault(children_are_stopped, Code.CHILDREN_STOPPED, "bulk@vm answers, but", 3, 1),
    Fault(nobody_takes_bulk, Code.LANE_WITHOUT_WORKER, "no worker takes the queue of bulk", 3, 1),
    Fault(beat_is_dead, Code.NO_BEAT, "no beat runs", 3, 1),
    Fault(plivo_refuses_connections, Code.PLIVO_UNREACHABLE, "Plivo cannot be reached", 1, 0),
    Fault(no_worker_is_left, Code.NO_WORKER, "no worker takes messages", 1, 1, begins_well=False),
    Fault(redis_is_gone, Code.REDIS_AWAY, "Redis does not answer", 1, 1, begins_well=False),
)


# As many as fit into the suite's time; `make faults` has all of them.
SHORT = (
    *(redis_is_full, a_backup_is_restored, nobody_takes_bulk, beat_is_dead),
    *(plivo_refuses_connections, no_worker_is_left, redis_is_gone),
)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.make.__name__, marks=() if fault.make in SHORT else pytest.mark.long)
        for fault in FAULTS
    ],
)
def test_the_fault_is_named_once_with_what_to_do(installation, fault):
    if fault.begins_well:
        installation.until_well()
    with fault.make(installation) as changes:
        prefix = changes.get("RINGPROOF_PREFIX", "ringproof")
        found = eventually(
            lambda: [one for one in installation.findings(prefix) if one.code is fault.code],
            why=f"{fault.code} is not found: {installation.findings(prefix)}",
        )
        others = [one for one in installation.findings(prefix) if one.code is not fault.code]
        alerts = installation.alerts(prefix)
        status, health = installation.run("status", **changes), installation.run("health", **changes)
        # A worker that has just started answers Celery's ping a little later than it says that it lives.
        doctor = eventually(
            lambda: (done := installation.run("doctor", "--json", **changes)).returncode == bool(fault.status) and done,
            why="the doctor's exit code is another",
        )

    assert not others
    assert alerts == {fault.code}
    assert fault.words in found[0].sentence
    shown = re.sub(r"\s+", " ", status.stdout)
    assert fault.words in shown
    assert f"to do: {found[0].remedy}" in shown
    assert (status.returncode, health.returncode) == (fault.status, fault.health), health.stdout + health.stderr
    assert not status.returncode or "goes on" not in shown.partition(" wrong ")[0]
    diagnosed = [line for line in json.loads(doctor.stdout)["checks"] if line["code"] == fault.code]
    assert {line["result"] for line in diagnosed} == {"failed" if fault.status else "warning"}
    assert any(fault.words in line["sentence"] for line in diagnosed)

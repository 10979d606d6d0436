"""Three worker hosts, a web app's host, Redis and Plivo's sandbox on machines of their own, under a running batch."""

import os
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from arrivals import Arrivals
from batches_of import import_rows
from checker import check
from host import Host
from machines import Network
from storm import PRODUCTION
from support.harness import PATIENCE_SECONDS, Process, eventually, fresh_number
from table import tell
from workload import UNDER_WAY_MS, pace
from world import SETTLED, World

from ringproof.policy import Rate
from worker.local.processes.redis_server import RedisServer

PEOPLE = str(Path(__file__).with_name("people.py"))
RATE = Rate.parse("300/5s")
PACE = pace(RATE)
WORKERS = ("worker-1", "worker-2", "worker-3")
BATCH = "spring"

WARM_SECONDS = 6.0
"""More than a window of the pace, and for children that start."""

SETTLE_SECONDS = 120.0
"""A row that a dead connection holds is waited for: its lease, and what follows."""


class ReachableRedis(RedisServer):
    """A server that other machines reach, too."""

    address = "127.0.0.1"

    @property
    def url(self):
        return super().url.replace("@127.0.0.1:", f"@{self.address}:")

    def _configuration(self):
        return super()._configuration().replace("bind 127.0.0.1\n", f"bind 127.0.0.1 {self.address}\n")


class Site(World):
    """A world on several machines. The test itself is on a machine of its own, whose cable nobody cuts."""

    MACHINES = ("redis",)

    def __init__(self, folder, rows, **variables):
        super().__init__(folder, durations=PRODUCTION, appendfsync="always", RINGPROOF_RATE=str(RATE), **variables)
        self.rows = rows
        self.hosts, self.people = {}, []

    def __enter__(self):
        self.network = self._stack.enter_context(Network("operator", "plivo", "web", *self.MACHINES, *WORKERS))
        self._stack.enter_context(self.network["operator"].inside())
        try:
            super().__enter__()
            self.plivo.switch(
                limit=RATE.number, window_seconds=float(RATE.window_seconds), latency_ms=UNDER_WAY_MS, code_length=8
            )
            for pid in (self.redis.pid, self.plivo.popen.pid):
                # Other machines would not wait for the workers' processors, and the judge must see each as it comes.
                os.setpriority(os.PRIO_PROCESS, pid, -15)
            for name in WORKERS:
                self.hosts[name] = Host(self, name, on=self.network[name].on)
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start_redis(self):
        machine = self.network["redis"]
        server = ReachableRedis(appendfsync=self.appendfsync, has_config=True)
        server.address = machine.address
        with machine.inside():
            return server.start()

    def _start_plivo(self):
        with self.network["plivo"].inside():
            return super()._start_plivo()

    def begin(self):
        """Have a batch under way at the whole pace, and people beside it; return since when."""
        import_rows(self, BATCH, [fresh_number() for _ in range(self.rows)])
        self.ask_from("web")
        eventually(
            lambda: any(call.outcome == "taken" for call in self.calls()), why=f"nobody asks: {self.people[0].log}"
        )
        eventually(lambda: self.plivo.counts()["next"] > PACE, why="the batch did not begin")
        time.sleep(WARM_SECONDS)
        return time.monotonic()

    def ask_from(self, name):
        """Have people ask from there."""
        log = self.folder / f"people-{len(self.people)}.calls"
        command = [*self.network[name].on, sys.executable, PEOPLE, str(len(self.people))]
        self.people.append(Process(command, log, self.environ(), self.folder))
        self.callback(self.people[-1].kill)

    def end(self):
        """Let nobody ask any more, wait until each number has an outcome or a doubt, and check all promises.

        Return the judge's record.
        """
        for people in self.people:
            people.popen.terminate()
            assert people.popen.wait(PATIENCE_SECONDS) == 0, people.log
        self.accepted |= dict.fromkeys((call.number for call in self.calls()), 0)
        for host in self.hosts.values():
            host.assert_alive()
        with suppress(AssertionError):
            self.until_settled(within=SETTLE_SECONDS)
        waiting = [f"{number}: {record}" for number, record in self.records().items() if not is_settled(record)]
        assert not waiting, f"{len(waiting)} numbers are lost, or not settled:\n" + "\n".join(waiting[:20])
        check(self)
        tell(f"{dict(Counter(map(str, self.states().elements())))}, counts {self.plivo.counts()}")
        return Arrivals(self.plivo.requests())

    def calls(self):
        """What the people's program has logged."""
        lines = [line.split() for people in self.people for line in people.log.splitlines()]
        return [Call(line[0], float(line[1]), float(line[2]), line[3]) for line in lines if len(line) == 4]

    def waits(self, since=0.0, until=float("inf")):
        """How many seconds people who asked in this stretch of wall time waited, until Plivo had their request."""
        sent = {send["phone_number"]: send["at"] for send in self.plivo.sends()}
        first = {}
        for call in self.calls():
            first.setdefault(call.number, call.at)
        return [sent[number] - at for number, at in first.items() if since <= at < until and number in sent]


def is_settled(record):
    """Whether a number has an outcome or a doubt."""
    return record is not None and record.state in SETTLED


class Call:
    """A call of `.delay`."""

    def __init__(self, number, at, seconds, outcome):
        self.number, self.at, self.seconds, self.outcome = number, at, seconds, outcome


def used(arrivals, start, end):
    """The share of the pace in this stretch."""
    return arrivals.between(start, end)[0] / (end - start) / PACE

"""A Redis, a sandbox and workers of one test's own, with what goes wrong; and numbers whose fate is followed."""

import json
import os
import random
import secrets
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import psutil
from celery import Celery
from support import celery_with_notes
from support.harness import AUTH_ID, AUTH_TOKEN, Process, Sandbox, eventually, fresh_number, stopped
from support.number_in_ledger import CLOCK
from support.simulation import UNLIMITED

from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.connection import connect
from ringproof.ledger.durations import Durations
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, State
from ringproof.policy import Policy
from worker.local.processes.redis_server import RedisServer

SHORT = {"lease": 2.0, "first_byte": 1.0, "enqueue_again": 1.0, "look_up": 2.0}
"""What takes half a minute or more in production, in seconds."""

TICK_SECONDS = 1.5
"""Within this the sweep has seen whatever is due."""

TASK = "initiate_verification"
ARMED = str(Path(__file__).with_name("armed.py"))
SETTLED = {State.CODE_SENT, State.IN_DOUBT, State.FAILED, State.VERIFIED, State.EXPIRED, State.CANCELLED}


class World:
    """Everything that a scenario needs; a context manager that leaves nothing behind."""

    def __init__(self, folder, *, durations=None, appendfsync="everysec", clock=CLOCK, **variables):
        self.folder = folder
        self.appendfsync, self.clock = appendfsync, clock
        self.durations = SHORT | (durations or {})
        self.variables = variables
        self.accepted = {}
        self.logs = []
        self._beats = False
        self._stack = ExitStack()

    def __enter__(self):
        self.redis = self._stack.enter_context(self._start_redis())
        self.plivo = self._stack.enter_context(stopped(self._start_plivo()))
        self.plivo.switch(limit=1_000_000, code_length=8)
        self.client = connect(self.redis.url)
        self._stack.callback(self.client.close)
        short = Durations(**{name: timedelta(seconds=seconds) for name, seconds in self.durations.items()})
        self.ledger = Ledger(self.client, clock=self.clock, durations=short, policy=Policy(**UNLIMITED))
        for name in ("number/accept", "number/begin", "number/settle", "agenda/work_off"):
            self.client.script_load(self.ledger.script(name).script)  # or a settle's first answer is that it is unknown
        self.producer = Celery("producer", broker=self.redis.url, set_as_current=False)
        self._stack.callback(self.producer.close)
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _start_redis(self):
        return RedisServer(appendfsync=self.appendfsync, has_config=True).start()

    def _start_plivo(self):
        return Sandbox(self.folder / "sandbox.log", os.environ, self.folder)

    def callback(self, end):
        """Have this done when the world ends."""
        self._stack.callback(end)

    def environ(self, **variables):
        return (
            os.environ
            | {
                "TMPDIR": str(self.folder),  # what a killed worker leaves there goes with the world
                "RINGPROOF_REDIS_URL": self.redis.url,
                "RINGPROOF_RATE": "10000/0.1s",
                "RINGPROOF_CALL_RATE": "10000/0.1s",
                "RINGPROOF_RANGE_CODES_PER_HOUR": "0",
                "RINGPROOF_COUNTRY_CODES_PER_HOUR": "0",
                "RINGPROOF_PEOPLE_CODES_PER_DAY": "0",
                "RINGPROOF_BREAKER_PERCENT": "0",
                "PLIVO_AUTH_ID": AUTH_ID,
                "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
                "PLIVO_BASE_URL": self.plivo.base_url,
                "TEST_CLOCK": self.clock,
                "FAULTS_DURATIONS": json.dumps(self.durations),
                "FIRST_BYTES": str(self.folder / celery_with_notes.NAME),
            }
            | self.variables
            | variables
        )

    def start(self, *options, children=8, name="worker", **variables):
        """Start a worker of this world, armed; it ends with the world."""
        log = self.folder / f"{name}-{len(self.logs)}.log"
        self.logs.append(log)
        command = [sys.executable, ARMED, "-A", "worker", "worker", "-l", "INFO", "-c", str(children)]
        command += ["-n", f"{name}@%h", *options]
        self._beat()
        worker = Process(command, log, self.environ(**variables), self.folder)
        self.callback(worker.kill)
        return worker.until_logged(" ready.")

    def _beat(self):
        """Have a beat beside the workers, which nobody kills: one, from the first worker on."""
        if not self._beats:
            self._beats = True
            log = self.folder / "beat.log"
            self.logs.append(log)
            process = Process([sys.executable, ARMED, "-A", "worker", "beat"], log, self.environ(), self.folder)
            self.callback(process.kill)

    def accept(self, count, lane=Lane.BULK):
        """Accept so many numbers, with no message sent."""
        numbers = [fresh_number() for _ in range(count)]
        kind = RequestKind.PERSON if lane is Lane.INTERACTIVE else RequestKind.ROSTER
        for number in numbers:
            token = secrets.token_hex(8)
            accepted = self.ledger.accept(number, token=token, kind=kind, lane=lane, country="US")
            self.accepted[number] = accepted.request
        return numbers

    def send(self, *numbers):
        """Send the messages of accepted numbers."""
        for number in numbers:
            lane = self.ledger.read(number).lane
            options = {"queue": queue(lane), "argsrepr": "(…)", "ignore_result": True}
            self.producer.send_task(TASK, [number], {"request": self.accepted[number]}, **options)

    def enqueue(self, count, lane=Lane.BULK):
        """Accept numbers and send their messages, as `.delay` does."""
        numbers = self.accept(count, lane)
        self.send(*numbers)
        return numbers

    def records(self):
        """The newest record of each accepted number."""
        numbers = list(self.accepted)
        return dict(zip(numbers, self.ledger.read_many([(number, None) for number in numbers]), strict=True))

    def first_bytes(self):
        """When each request to Plivo was begun to be written, by the boot clock, in order."""
        return celery_with_notes.first_bytes(self.folder)

    def states(self):
        """How many numbers are in each state; in None, those of a batch that were not accepted yet."""
        return Counter(record and record.state for record in self.records().values())

    def until_settled(self, within=60.0, states=SETTLED):
        """Wait until each accepted number has an outcome or a doubt."""
        eventually(lambda: not set(self.states()) - states, within=within, why=f"{self.states()}")
        return self.states()

    def until(self, number, *states, within=60.0):
        return eventually(
            lambda: (record := self.ledger.read(number)) and record.state in states and record,
            within=within,
            why=f"it is {self.ledger.read(number)}",
        )

    def move(self, by):
        """Move the ledger's clock and Plivo's."""
        self.client.incrbyfloat("test:clock", by.total_seconds())
        self.plivo.advance(by.total_seconds())

    def until_swept_again(self):
        """Wait until a sweep has begun and ended: what is due by now, and is not held, has gone out."""
        key = self.ledger.keys.tick("sweep")
        for _ in range(2):
            last = self.client.get(key)
            eventually(lambda last=last: self.client.get(key) != last, why="nobody sweeps")

    def hurry_until(self, look, within):
        """Wait, but let no pause of Plivo's take its time: after each tick without a send the clock is moved."""
        moved = time.monotonic()

        def looked():
            nonlocal moved
            if time.monotonic() - moved > TICK_SECONDS and not self.states()[State.SENDING]:
                if look():
                    return True
                self.move(timedelta(seconds=20))
                moved = time.monotonic()
            return False

        try:
            eventually(looked, within=within)
        except AssertionError as error:
            raise AssertionError(f"{self.states()}") from error

    def until_doubts_are_over(self, within=60.0):
        """Move past the last code that may live, and see each doubt resolved."""
        self.move(timedelta(minutes=16))
        self.until_settled(within, SETTLED - {State.IN_DOUBT})

    def children(self, worker):
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(worker.popen.pid).children()
        return []


class KillingOfChildren(threading.Thread):
    """Kills a random child of whatever worker runs, every so often, until it is stopped.

    It waits for a send between two kills, `PATIENCE_SECONDS` at most: on a busy machine a child that starts would
    otherwise die before it has done anything, and so would all after it.
    """

    PATIENCE_SECONDS = 5.0

    def __init__(self, world, every=0.3, seed=None):
        super().__init__(daemon=True)
        self.world, self.every = world, every
        self.seed = secrets.randbelow(10**6) if seed is None else seed
        self.worker, self.killed, self.under_way = None, 0, 0
        self.over = threading.Event()

    def run(self):
        chance = random.Random(self.seed)
        sent, since = 0, time.monotonic()
        while not self.over.wait(self.every):
            children = self.world.children(self.worker)
            now = self.world.plivo.counts()["next"]
            if children and (now > sent or time.monotonic() - since > self.PATIENCE_SECONDS):
                sent, since = now, time.monotonic()
                self._kill(chance.choice(children))

    def kill_worker(self):
        """Kill the whole worker, with all of its children."""
        for child in self.world.children(self.worker):
            self._count(child)
        self.worker.kill()

    def _kill(self, child):
        self._count(child)
        with suppress(psutil.NoSuchProcess):
            child.kill()
            self.killed += 1

    def _count(self, child):
        """Count what a child may have under way: one send in each of its threads."""
        with suppress(psutil.NoSuchProcess):
            self.under_way += child.num_threads()

    def end(self):
        self.over.set()
        self.join()
        return time.monotonic()

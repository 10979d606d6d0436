"""A replica that is behind takes over under load, or none follows: nothing is sent twice or lost, or in doubt by it."""

import contextlib
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from batches_of import import_rows
from checker import check
from redis.exceptions import RedisError
from support.far_away import FarAway
from support.harness import LONG, eventually, fresh_number
from support.replicas import Replica
from support.sentinels import SentinelServers
from support.simulation import UNLIMITED
from world import SHORT, TASK, World

from ringproof.ledger.connection import connect
from ringproof.ledger.durations import Durations
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, State
from ringproof.policy import Policy
from worker.observe.facts import read_facts
from worker.observe.finding import Code
from worker.observe.findings import findings

NUMBERS, RATE = (1500, "100/1s") if LONG else (200, "60/1s")
BEHIND_SECONDS = 1


class Installation(World):
    """A world whose Redis has a replica, and an address that leads to the primary, as a virtual IP does."""

    def __enter__(self):
        super().__enter__()
        try:
            self.replica = self._stack.enter_context(Replica(self.redis))
            self.address = self._stack.enter_context(FarAway(self.redis.port, 0))
            url = urlsplit(self.redis.url)
            self.url = url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{self.address.port}").geturl()
            self.variables["RINGPROOF_REDIS_URL"] = self.url
            lead_to(self, self.url)
        except BaseException:
            self._stack.close()
            raise
        return self

    def fail_over(self):
        """Have the replica fall behind by a second, and then take over from a primary that dies."""
        self.replica.hold_up()
        eventually(lambda: self.replica.silent_seconds() > BEHIND_SECONDS)
        self.redis.kill()
        self.replica.promote()
        self.address.lead_to(self.replica.server.port)
        eventually(self.answers)

    def answers(self):
        with contextlib.suppress(RedisError):
            return self.client.ping()
        return False


@pytest.fixture
def installation(tmp_path):
    durations = SHORT | {"lease": 5.0, "first_byte": 2.5}
    with Installation(tmp_path, RINGPROOF_RATE=RATE, durations=durations) as installation:
        installation.plivo.switch(latency_ms=[50, 200])
        yield installation


def doubled(world):
    """How many numbers were sent to twice."""
    sends = Counter(send["phone_number"] for send in world.plivo.sends())
    return sum(1 for count in sends.values() if count > 1)


def sent(world):
    return world.plivo.counts()["next"]


@pytest.mark.parametrize(
    "replicas",
    [pytest.param("", id="by default"), pytest.param("1", id="with one wanted", marks=pytest.mark.long)],
)
def test_a_replica_that_is_a_second_behind_takes_over(installation, replicas):
    world = installation
    numbers = [fresh_number() for _ in range(NUMBERS)]
    import_rows(world, "spring", numbers)
    worker = world.start("-P", "prefork", children=3, RINGPROOF_REPLICAS=replicas)
    eventually(lambda: sent(world) > NUMBERS // 10)
    world.fail_over()
    before, began = sent(world), time.monotonic()
    if replicas:  # the new primary has no replica yet
        eventually(lambda: "0 of 1 replicas follow; nothing is accepted or sent" in worker.log)
        assert sent(world) - before <= 3, "what was under way"
        with Replica(world.replica.server):
            finish(world, worker, before, began)
    else:
        finish(world, worker, before, began)


@pytest.mark.parametrize(
    "how", ["kill_master", *(pytest.param(how, marks=pytest.mark.long) for how in ("failover", "pause_master"))]
)
def test_a_replica_that_sentinel_promotes_has_each_send(tmp_path, how):
    """Also the old master, which goes on to take writes, sends nothing more: nobody confirms it."""
    with SentinelServers() as servers, World(tmp_path, RINGPROOF_RATE=RATE) as world:
        world.plivo.switch(latency_ms=[50, 200])
        world.variables["RINGPROOF_REDIS_URL"] = servers.url
        lead_to(world, servers.url)
        import_rows(world, "spring", [fresh_number() for _ in range(NUMBERS)])
        worker = world.start("-P", "prefork", children=3)
        eventually(lambda: sent(world) > NUMBERS // 10)
        began = time.monotonic()
        old = getattr(servers, how)()
        if how == "pause_master":
            old.thaw()  # it takes writes until Sentinel demotes it
        finish(world, worker, sent(world), began)


def lead_to(world, url):
    """Have a world's own ledger use another Redis."""
    world.client = connect(url)
    world.callback(world.client.close)
    durations = Durations(**{name: timedelta(seconds=seconds) for name, seconds in world.durations.items()})
    world.ledger = Ledger(world.client, clock=world.clock, durations=durations, policy=Policy(**UNLIMITED))


def finish(world, worker, before, began):
    eventually(lambda: sent(world) > before + 5)
    print(f"sent again after {time.monotonic() - began:.1f} s")
    settled = {State.CODE_SENT, State.IN_DOUBT}
    eventually(lambda: not set(world.states()) - settled, within=90, why=f"{world.states()}, {worker.log[-3000:]}")
    print(f"{world.states()}, doubled: {doubled(world)}")
    assert worker.popen.poll() is None
    assert doubled(world) == 0
    check(world)


def test_without_a_replica_that_has_to_confirm_nothing_is_sent_until_it_is_back(installation):
    world = installation
    worker = world.start("-P", "prefork", children=3, RINGPROOF_REPLICAS="1")
    world.enqueue(20)
    eventually(lambda: set(world.states()) == {State.CODE_SENT})
    world.replica.hold_up()
    world.enqueue(20)
    world.enqueue(5, Lane.INTERACTIVE)
    eventually(lambda: "0 of 1 replicas confirmed it within 1 s; nothing is sent" in worker.log)
    world.replica.server.kill()
    world.replica.let_go()  # of the end of its connection, too
    eventually(lambda: Code.REPLICAS_MISSING in [one.code for one in findings(read_facts(world.ledger))])
    health = ringproof(world, "health")

    assert sent(world) == 20
    assert health.returncode
    assert "0 of the 1 replicas that have to confirm what is written" in health.stdout + health.stderr
    assert "0 of the 1 replicas that have to confirm what is written" in ringproof(world, "status").stdout
    assert set(world.states()) <= {State.CODE_SENT, State.QUEUED}, "what was begun is queued again"
    assert not any(record.live_until for record in world.records().values() if record.state is State.QUEUED)
    delayed = delay(world, fresh_number())
    assert "TooFewReplicas: Redis at" in delayed
    assert "0 of 1 replicas follow; nothing is accepted or sent" in delayed

    world.replica.server.restart()
    world.replica.follow()
    world.until_settled(states={State.CODE_SENT})
    eventually(lambda: not findings(read_facts(world.ledger)))
    assert delay(world, fresh_number()) == "accepted\n"
    check(world)


def test_a_worker_that_stops_meanwhile_leaves_nothing_in_doubt(installation):
    world = installation
    worker = world.start("-P", "prefork", children=2, RINGPROOF_REPLICAS="1")
    world.replica.hold_up()
    world.enqueue(10)
    eventually(lambda: "0 of 1 replicas confirmed it within 1 s; nothing is sent" in worker.log)
    worker.popen.terminate()
    worker.popen.wait(timeout=60)

    assert set(world.states()) <= {State.QUEUED, State.WAITING}
    assert sent(world) == 0
    assert "Traceback" not in worker.log
    world.replica.let_go()
    world.start("-P", "prefork", children=2, RINGPROOF_REPLICAS="1")
    world.until_settled(states={State.CODE_SENT})
    check(world)


def test_a_worker_that_stops_meanwhile_sends_a_foreign_message_again(installation):
    """Only this message knows of the request, and while no replica follows nothing is accepted."""
    world, number = installation, fresh_number()
    worker = world.start("-P", "prefork", children=2, RINGPROOF_REPLICAS="1", FAULTS_GRACE_SECONDS="1")
    world.replica.server.kill()
    options = {"queue": queue(Lane.INTERACTIVE), "argsrepr": "(…)", "ignore_result": True}
    world.producer.send_task(TASK, [number], **options)
    eventually(lambda: "the ledger is called again until it answers" in worker.log)
    worker.popen.terminate()
    worker.popen.wait(timeout=60)

    assert world.ledger.read(number) is None
    world.replica.server.restart()
    world.replica.follow()
    world.start("-P", "prefork", children=2, RINGPROOF_REPLICAS="1")
    assert eventually(lambda: world.ledger.read(number))
    assert "Traceback" not in worker.log


STAYS = """
import sys
from ringproof import initiate_verification
print(initiate_verification.delay(sys.argv[1]).id, flush=True)
sys.stdin.read()
"""


def test_a_program_repeats_what_the_new_primary_lacks(installation):
    """No replica has confirmed it, because none has to. The id that the program holds stays good."""
    world, number = installation, fresh_number()
    world.replica.hold_up()
    command, environ = [sys.executable, "-c", STAYS, number], world.environ(RINGPROOF_REPLICAS="0")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environ, cwd=world.folder, stdin=pipe, stdout=pipe, text=True) as program:
        result = program.stdout.readline().strip()
        assert world.ledger.read(number)
        world.fail_over()
        record = eventually(lambda: world.ledger.read(number))
        eventually(lambda: world.client.llen("ringproof.interactive") == 1, why="its message was not sent again")
        program.stdin.close()

    assert result == f"{number}/{record.request}"
    assert record.state is State.QUEUED


def ringproof(world, *arguments):
    command = [sys.executable, "-m", "worker", *arguments]
    environ = world.environ(RINGPROOF_REPLICAS="1")
    return subprocess.run(command, env=environ, cwd=world.folder, capture_output=True, text=True, check=False)


PROGRAM = """
import sys
from ringproof import initiate_verification
from ringproof.errors import RingproofError
try:
    initiate_verification.delay(sys.argv[1])
except RingproofError as error:
    print(f"{type(error).__name__}: {error}")
else:
    print("accepted")
"""


def delay(world, number):
    """Have a program ask for a code, and return what it has got."""
    command = [sys.executable, "-c", PROGRAM, number]
    environ = world.environ(RINGPROOF_REPLICAS="1")
    done = subprocess.run(command, env=environ, cwd=world.folder, capture_output=True, text=True, check=True)
    if done.stdout == "accepted\n":
        world.accepted[number] = world.ledger.read(number).request
    return done.stdout

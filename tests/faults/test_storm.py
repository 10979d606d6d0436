"""A storm: children are killed all the time and the whole worker again and again, and what it was doing is known."""

import os
import time
from datetime import UTC, datetime

import pytest
from batches_of import agrees, import_rows
from checker import check
from support.harness import LONG, eventually, fresh_number
from world import SETTLED, KillingOfChildren, World

from ringproof.ledger.record import State

NUMBERS, WORKERS_KILLED = (2000, 10) if LONG else (150, 1)
CHILDREN = 12
SPARE_SECONDS = 15.0
UNHURRIED = {"lease": 30.0, "first_byte": 15.0}
"""Where nobody is killed: on a busy machine a send may take seconds, and is no doubt for that."""


@pytest.mark.timeout(600 if LONG else 300)
def test_a_storm_of_kills_loses_nothing_and_doubles_nothing(tmp_path):
    with World(tmp_path) as world:
        world.plivo.switch(latency_ms=[50, 200])
        killing = KillingOfChildren(world)
        print(f"seed {killing.seed}")
        killing.worker = world.start(children=CHILDREN)
        killing.start()
        world.enqueue(NUMBERS)
        for nth in range(WORKERS_KILLED):
            left = NUMBERS * (1 - (nth + 1) / (WORKERS_KILLED + 1))
            eventually(lambda left=left: unfinished(world) <= left, within=120, why=f"{world.states()}")
            killing.kill_worker()  # what started it starts it again, as systemd would
            killing.worker = world.start(children=CHILDREN)
        eventually(lambda: unfinished(world) < NUMBERS / 20, within=120, why=f"{world.states()}")
        calm = killing.end()
        looked_at_by = before_first_byte(world)
        states = world.until_settled(within=120)
        took = time.monotonic() - calm

        # A child with a chunk, in which the sweep sends what has waited for long, has several sends under way.
        assert states[State.IN_DOUBT] <= killing.under_way
        assert states[State.IN_DOUBT] + states[State.CODE_SENT] == NUMBERS
        assert took <= looked_at_by + SPARE_SECONDS
        check(world)
        print(f"{killing.killed} children killed, {states[State.IN_DOUBT]} in doubt, all known after {took:.1f} s")

        world.until_doubts_are_over(within=60)
        assert len({send["phone_number"] for send in world.plivo.sends()}) == NUMBERS, "everybody has got a code"
        check(world)


def unfinished(world):
    states = world.states()
    return states[State.QUEUED] + states[State.SENDING] + states[State.WAITING]


def before_first_byte(world):
    """Seconds until the last of those that are under way is looked at: its lease's end, or when it is enqueued next."""
    under_way = {State.QUEUED, State.WAITING, State.SENDING}
    agenda = dict(world.client.zrange("ringproof:agenda", 0, -1, withscores=True))
    due = [agenda[number] for number, record in world.records().items() if record.state in under_way]
    return max((max(due) / 1000 - datetime.now(UTC).timestamp()) if due else 0, world.durations["lease"])


LOADS = {"numbers": 200, "batch": 5000} if LONG else {"numbers": 100}


@pytest.fixture(params=LOADS)
def waiting(request, tmp_path):
    """A world in which numbers wait for a worker, with their messages in the queue; in the end all have a code."""
    count = LOADS[request.param]
    with World(tmp_path, durations=UNHURRIED) as world:
        if request.param == "batch":
            import_rows(world, "spring", [fresh_number() for _ in range(count)])
            feeder = world.start("-Q", "ringproof.ticks", children=1)
            eventually(lambda: world.client.llen("ringproof.bulk") > 10, within=30)  # it feeds as far ahead as it may
            feeder.kill()
        else:
            world.enqueue(count)
        yield world
        assert world.until_settled(within=180) == {State.CODE_SENT: count}
        check(world)
        if request.param == "batch":
            assert agrees(world, "spring").outcomes == {"code_sent": count}


def test_each_message_three_times_in_disorder_is_one_code(waiting):
    disorder(waiting)
    waiting.start()
    waiting.until_settled(within=180)
    eventually(lambda: not waiting.client.llen("ringproof.bulk"))


def disorder(world):
    """Triple each message in the queue, and shuffle."""
    world.client.eval(
        """
        local messages = redis.call('LRANGE', KEYS[1], 0, -1)
        redis.call('DEL', KEYS[1])
        for nth = 1, 3 do
          for i = #messages, 2, -1 do
            local j = math.random(i)
            messages[i], messages[j] = messages[j], messages[i]
          end
          redis.call('RPUSH', KEYS[1], unpack(messages))
        end
        """,
        1,
        "ringproof.bulk",
    )


@pytest.mark.long
def test_without_a_single_message_each_number_gets_a_code(waiting):
    waiting.client.delete("ringproof.bulk")
    waiting.start()


def test_without_agenda_and_messages_each_number_gets_a_code(waiting):
    waiting.client.delete("ringproof.bulk", "ringproof:agenda")  # as a person with redis-cli may
    waiting.start()


@pytest.mark.long
def test_a_worker_whose_clock_is_an_hour_off_does_as_the_others(tmp_path):
    with World(tmp_path, durations=UNHURRIED) as world:
        late = world.start("-Q", "ringproof.bulk", children=2, name="late", FAULTS_OFF="-3600")
        early = world.start(children=2, name="early", FAULTS_OFF="3600")
        world.plivo.switch(latency_ms=1000)  # so long that none of the two takes everything
        unlucky = world.accept(8)
        for number in unlucky:
            world.plivo.befall("503", number=number)
        world.send(*unlucky)
        world.enqueue(8)
        world.until_settled(states=SETTLED | {State.WAITING})
        world.plivo.switch(latency_ms=50)
        world.enqueue(52)
        world.accept(5)  # whose messages were lost

        assert world.until_settled(states=SETTLED | {State.WAITING}) == {State.CODE_SENT: 65, State.WAITING: 8}
        assert all("code_sent" in worker.log and "waiting" in worker.log for worker in (late, early))
        for record in world.records().values():
            moment = record.due_at if record.state is State.WAITING else record.code_sent_at
            assert abs(moment.timestamp() - time.time()) < 60, record
        check(world)


@pytest.mark.long
def test_a_worker_that_is_stopped_and_killed_by_its_supervisor_is_no_worse(tmp_path):
    with World(tmp_path, RINGPROOF_RATE="30/1s") as world:
        world.plivo.switch(latency_ms=[50, 200])  # at this pace, hardly more than six are under way
        worker = world.start()
        world.enqueue(100)
        eventually(lambda: world.states()[State.CODE_SENT] > 20, within=30)
        os.killpg(worker.popen.pid, 15)
        os.killpg(worker.popen.pid, 15)  # a second one makes it cold
        worker.kill()
        world.start()

        states = world.until_settled()
        assert states[State.IN_DOUBT] <= 8
        check(world)

"""What goes wrong with slots: processes die or freeze while they hold some, Redis freezes, or forgets; never too many.

Each request is up to 50 ms under way. Workers may lose slots, and use none twice. It is judged when each was begun to
be written: a sandbox that a busy machine lets wait takes for a burst what was sent at its slots.
"""

import os
import random
import signal
import threading
from datetime import timedelta

import pytest
from checker import check
from support.harness import LONG, eventually
from world import KillingOfChildren, World

from ringproof.clock import boot_clock
from ringproof.ledger import control
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Rate

LIMIT, WINDOW = 60, 1
ON_THE_WAY_SECONDS = 0.02  # of the 60 ms between windows; the others are for clocks that a busy process has learned
CHUNK = 30
NUMBERS = 600 if LONG else 180


@pytest.fixture
def world(tmp_path, request):
    durations = {"enqueue_again": 5.0} | getattr(request, "param", {})
    with World(tmp_path, durations=durations, RINGPROOF_RATE=f"{LIMIT}/{WINDOW}s") as world:
        world.plivo.switch(latency_ms=[0, 50])
        yield world


def feed(world, count):
    """Have so many numbers worked off in chunks, as the feeder does."""
    numbers = world.accept(count)
    for start in range(0, count, CHUNK):
        chunk = [[number, world.accepted[number]] for number in numbers[start : start + CHUNK]]
        options = {"queue": queue(Lane.BULK), "argsrepr": "(…)", "ignore_result": True}
        world.producer.send_task("ringproof.work_chunk", [chunk, "sms"], {}, **options)
    return numbers


def sent(world):
    return world.plivo.counts()["next"]


def too_close(world):
    """How far apart the two requests were whenever the second one was one too many for Plivo's window."""
    at = world.first_bytes()
    apart = [later - earlier for earlier, later in zip(at, at[LIMIT:], strict=False)]
    return [seconds for seconds in apart if seconds <= WINDOW + ON_THE_WAY_SECONDS]


def until_all_are_known(world):
    """Each number that was not cut short has a code, and no request was one too many."""
    world.until_settled()
    assert not too_close(world)
    check(world)


def test_children_that_are_killed_with_slots_in_hand_lose_them(world):
    killing = KillingOfChildren(world)
    killing.worker = world.start(children=4)
    feed(world, NUMBERS)
    killing.start()
    eventually(lambda: killing.killed >= (20 if LONG else 5), within=60)
    killing.end()

    until_all_are_known(world)


def test_a_frozen_redis_breaks_no_window(world):
    world.start(children=4)
    feed(world, NUMBERS)
    eventually(lambda: sent(world) > 40, within=30)
    before = sent(world)
    world.redis.freeze()
    threading.Timer(5, world.redis.thaw).start()
    eventually(lambda: sent(world) > before + 20, within=60, why="it did not go on")

    until_all_are_known(world)


def test_a_child_that_was_stopped_does_not_use_the_slots_that_went_by(world):
    worker = world.start(children=4)
    feed(world, NUMBERS)
    for _ in range(6 if LONG else 2):
        before = sent(world)
        eventually(lambda before=before: sent(world) > before + 20, within=30)
        child = random.choice(world.children(worker))
        child.suspend()
        before = sent(world)
        eventually(lambda before=before: sent(world) > before + 20, within=30)
        child.resume()

    until_all_are_known(world)


@pytest.mark.long
def test_a_worker_whose_clock_is_an_hour_off(world):
    right = world.start(children=2)
    off = world.start("-Q", "ringproof.bulk", children=2, name="off", FAULTS_OFF="3600")
    feed(world, NUMBERS)

    until_all_are_known(world)
    # Believed, the wrong clock would make this worker miss each slot that it reserves.
    assert min(worker.log.count("state=code_sent") for worker in (right, off)) > NUMBERS / 10


# A child that has not reported within a lease of 2 s, on a busy machine, would hold the 120 numbers for 15 minutes.
@pytest.mark.parametrize("world", [pytest.param({"lease": 60.0}, id="lease of a minute")], indirect=True)
def test_a_flushed_redis_breaks_no_window(world):
    """What was accepted is lost with it, of course; but nobody is sent to too early for that."""
    world.start(children=4)
    feed(world, NUMBERS)
    eventually(lambda: sent(world) > 60, within=30)
    world.client.flushall()
    world.accepted.clear()
    feed(world, 120)

    world.until_settled(states={State.CODE_SENT})
    assert not too_close(world)


def test_a_stopping_worker_hands_on_the_rest_of_its_chunks(world):
    worker = world.start(children=2)
    feed(world, 2 * NUMBERS)  # so many that some are left when the signal comes, however late
    eventually(lambda: sent(world) > 20, within=30)
    os.killpg(worker.popen.pid, signal.SIGTERM)
    worker.popen.wait(60)
    states = world.states()
    assert not {State.SENDING, State.IN_DOUBT} & set(states), states
    assert world.client.llen(queue(Lane.BULK)), "what it had not begun is in the queue again"

    world.start(children=2)
    until_all_are_known(world)


class TestPauses:
    def test_by_a_person_stops_all_sends_within_a_second_even_those_with_a_slot(self, world):
        world.start(children=8)
        people = world.enqueue(150, Lane.INTERACTIVE)
        feed(world, 60)
        eventually(lambda: sent(world) > 10, within=30)
        control.pause(world.ledger, reason="the test says so")
        paused = boot_clock()
        eventually(lambda: not {State.SENDING, State.QUEUED} & set(world.states()), within=60)
        last = world.first_bytes()[-1]
        waiting = [record for record in world.records().values() if record.state is State.WAITING]

        assert last < paused + 1
        assert waiting
        assert {record.reason for record in waiting} <= {Reason.PAUSED, Reason.PACE}
        assert not [world.ledger.read(number) for number in people if world.ledger.read(number).attempts > 1]
        check(world)

        control.resume(world.ledger)
        world.move(timedelta(seconds=31))  # so often is a paused number of a roster looked at
        until_all_are_known(world)

    def test_for_unknown_credentials_end_once_plivo_knows_them_again(self, world):
        world.start(children=4)
        world.plivo.befall("401", share=1.0)
        feed(world, 60)
        eventually(lambda: control.sending_status(world.ledger).pauses, within=30)
        world.until_settled(states={State.WAITING})
        requests = world.plivo.counts()["requests"]
        assert requests < 30, "nobody else has tried"
        world.move(timedelta(seconds=31))
        eventually(lambda: world.plivo.counts()["requests"] == requests + 1, within=30, why="one has asked again")
        world.plivo.spare()
        world.move(timedelta(seconds=31))
        eventually(lambda: not control.sending_status(world.ledger).pauses, within=30)
        world.move(timedelta(seconds=31))  # as often is a paused number of a roster looked at

        until_all_are_known(world)


def test_new_limits_apply_within_a_second_even_to_booked_slots(world):
    world.start(children=12)
    people = world.enqueue(150, Lane.INTERACTIVE)
    eventually(lambda: sent(world) > 20, within=30)
    control.override_rates(world.ledger, timedelta(minutes=10), rate=Rate.parse("5/1s"))
    changed = boot_clock()
    eventually(lambda: boot_clock() > changed + 3 or sent(world) == len(people), within=30)
    later = [at for at in world.first_bytes() if changed + 1 < at <= changed + 3]

    assert len(later) <= 2 * 5 + 1
    control.restore_rates(world.ledger)
    world.move(timedelta(seconds=5))
    until_all_are_known(world)


def test_each_request_takes_a_slot_even_a_look_up(world):
    """Thirty doubts are looked up and sent again while others are sent to: the judge counts every request."""
    world.start(children=8)
    for number in world.accept(120)[::4]:
        world.plivo.befall("500_before", number=number)
    world.send(*world.accepted)
    world.hurry_until(lambda: not {State.QUEUED, State.SENDING, State.WAITING} & set(world.states()), within=60)
    eventually(lambda: world.states()[State.IN_DOUBT] == 30, within=30)
    world.move(timedelta(minutes=16))
    feed(world, 120)

    eventually(lambda: sum(request["kind"] == "get" for request in world.plivo.requests()) >= 30, within=60)
    until_all_are_known(world)


def test_five_doubts_in_a_row_pause_all_but_one_request(world):
    world.start(children=8)
    world.plivo.befall("500_before", share=1.0)
    feed(world, 120)
    eventually(lambda: int(world.client.hget("ringproof:pauses", "doubts_wait") or 0) >= 4000, within=60)
    counted = sent(world), world.plivo.counts()["requests"]  # the first pause was of a second, the second of two
    world.plivo.spare()

    assert counted[0] == 0
    assert counted[1] < 60
    control.resume(world.ledger)
    world.hurry_until(lambda: world.states()[State.CODE_SENT] >= 60, within=60)
    check(world)

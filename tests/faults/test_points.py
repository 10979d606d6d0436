"""A process is killed, or stopped past its lease and continued, at each point on a number's way."""

import os
import signal
import sys
from contextlib import suppress

import pytest
from checker import check
from support.harness import Process, eventually, fresh_number, stopped
from world import ARMED, World

from ringproof.ledger.record import State

POINTS = ("begun", "last_look", "written", "answered", "settling", "settled")
"""After accept: begin, the final check before the first byte, the answer, and settle, whose answer is not yet read."""

NOT_SENT = {"begun", "last_look"}
ANSWER_IS_WRITTEN = {"settling", "settled"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with World(tmp_path_factory.mktemp("points"), FAULTS="points") as world:
        world.worker = world.start(children=len(POINTS) + 2)
        yield world


def strike(world, deed):
    """Do something to the process that holds a number, at each point a number of its own."""
    numbers = dict(zip(POINTS, world.accept(len(POINTS)), strict=True))
    for point, number in numbers.items():
        world.client.set(f"test:point:{point}:{number}", deed)
    world.send(*numbers.values())

    def reached(point, number):
        return eventually(
            lambda: world.client.get(f"test:reached:{point}:{number}"), within=30, why=f"{point}, to {deed}"
        )

    return numbers, {point: int(reached(point, number)) for point, number in numbers.items()}


def sends(world, numbers):
    return {point: len(world.plivo.sends(number)) for point, number in numbers.items()}


def test_a_killed_process_leaves_a_record_that_says_what_may_be_out(world):
    numbers, _ = strike(world, "kill")
    for point, number in numbers.items():
        record = world.until(number, State.CODE_SENT if point in ANSWER_IS_WRITTEN else State.IN_DOUBT)
        assert record.attempts == 1, point

    assert sends(world, numbers) == {point: int(point not in NOT_SENT) for point in POINTS}
    check(world)

    world.until_doubts_are_over()

    assert sends(world, numbers) == {point: 2 if point not in NOT_SENT | ANSWER_IS_WRITTEN else 1 for point in POINTS}
    check(world)


def test_a_process_that_was_stopped_past_its_lease_does_only_what_is_still_right(world):
    numbers, pids = strike(world, "stop")
    for point, number in numbers.items():
        world.until(number, State.CODE_SENT if point in ANSWER_IS_WRITTEN else State.IN_DOUBT)
    for pid in pids.values():
        os.kill(pid, signal.SIGCONT)
    for point, number in numbers.items():
        record = world.until(number, State.CODE_SENT)
        assert record.attempts == 1, point

    assert sends(world, numbers) == dict.fromkeys(POINTS, 1)
    check(world)


def test_a_late_answer_does_not_settle_a_newer_request(world):
    number = world.accept(1)[0]
    world.client.set(f"test:point:answered:{number}", "stop")
    world.send(number)
    pid = int(eventually(lambda: world.client.get(f"test:reached:answered:{number}"), within=30))
    world.until(number, State.IN_DOUBT)
    world.until_doubts_are_over()
    newer = world.until(number, State.CODE_SENT)
    os.kill(pid, signal.SIGCONT)
    world.worker.until_logged(f"code_sent +1•••••••{number[-2:]}")

    record = world.ledger.read(number)
    assert (record.request, record.verification_uuid) == (newer.request, newer.verification_uuid)
    check(world)


def test_a_process_that_was_stopped_until_a_newer_request_was_sent_sends_nothing(world):
    numbers = dict(zip(sorted(NOT_SENT), world.accept(len(NOT_SENT)), strict=True))
    for point, number in numbers.items():
        world.client.set(f"test:point:{point}:{number}", "stop")
    world.send(*numbers.values())
    keys = [f"test:reached:{point}:{number}" for point, number in numbers.items()]
    pids = [int(eventually(lambda key=key: world.client.get(key), within=30)) for key in keys]
    for number in numbers.values():
        world.until(number, State.IN_DOUBT)
    world.until_doubts_are_over()
    for number in numbers.values():
        world.until(number, State.CODE_SENT)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    # Who has waited asks the ledger first, and learns that the claim is gone; its message finds nothing to begin.
    says = {"begun": "nothing to send: +1•••••••{} code_sent", "last_look": "waiting +1•••••••{}"}
    for point, number in numbers.items():
        world.worker.until_logged(says[point].format(number[-2:]))

    assert sends(world, numbers) == dict.fromkeys(numbers, 1)
    check(world)


@pytest.mark.parametrize("deed", ["kill", pytest.param("stop", marks=pytest.mark.long)])
def test_a_producer_that_is_gone_before_its_message_was_sent_leaves_an_accepted_number(world, deed):
    number = fresh_number()
    world.client.set(f"test:point:accepted:{number}", deed)
    log = world.folder / f"producer-{deed}.log"
    world.logs.append(log)
    command = [sys.executable, ARMED, "enqueue", number]
    with stopped(Process(command, log, world.environ(), world.folder)) as producer:
        pid = int(eventually(lambda: world.client.get(f"test:reached:accepted:{number}"), within=60))
        world.accepted[number] = world.ledger.read(number).request
        world.until(number, State.CODE_SENT)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        producer.popen.wait(60)

    why = "its message, which came too late, was not taken"
    eventually(lambda: world.client.llen("ringproof.bulk") == 0, within=30, why=why)
    assert len(world.plivo.sends(number)) == 1
    check(world)

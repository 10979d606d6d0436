"""Batches that workers send while they are killed, paused and cancelled: counted once, and completed once."""

import json

import pytest
from batches_of import agrees, import_rows
from checker import check
from support.harness import LONG, eventually, fresh_number
from world import KillingOfChildren, World

from ringproof.batches import operations
from ringproof.batches.model import BatchState
from ringproof.batches.summary import batch_summary
from ringproof.clock import boot_clock

ROWS, LEFT = (5000, (0.8, 0.6, 0.4, 0.2)) if LONG else (160, (0.5,))


def test_a_batch_under_kills_completes_once_and_each_number_gets_one_code(tmp_path):
    with World(tmp_path) as world, world.client.pubsub() as events:
        events.subscribe(world.ledger.keys.events)
        world.plivo.switch(latency_ms=[20, 80])
        numbers = [fresh_number() for _ in range(ROWS)]
        import_rows(world, "spring", numbers)
        import_rows(world, "summer", numbers[::2])
        killing = KillingOfChildren(world, every=0.4)
        print(f"seed {killing.seed}")
        killing.worker = world.start(children=4)
        killing.start()
        for left in LEFT:
            eventually(lambda left=left: queued(world) <= left * ROWS, within=60)
            killing.worker.kill()
            killing.worker = world.start(children=4)
            agrees(world, "spring")
        eventually(lambda: queued(world) < ROWS / 20, within=60)
        killing.end()
        world.until_settled(within=60)
        world.until_doubts_are_over(within=60)

        found = eventually(lambda: completed(world, "spring") and completed(world, "summer"), within=60)
        assert found
        names = [
            json.loads(one["data"])["batch"]
            for one in iter(lambda: events.get_message(timeout=0.1), None)
            if one["type"] == "message"
        ]
        for name in ("spring", "summer"):
            assert names.count(name) == 1
            eventually(lambda name=name: lines(world, name) == 1, within=30)
        spring, summer = agrees(world, "spring"), agrees(world, "summer")
        assert (spring.unfinished, summer.unfinished, spring.fed, summer.fed) == (0, 0, ROWS, ROWS // 2)
        check(world)
        assert {send["phone_number"] for send in world.plivo.sends()} == set(numbers)
        print(f"{killing.killed} children killed; {spring.outcomes}; {summer.outcomes}")


def lines(world, name):
    logs = "\n".join(log.read_text(errors="replace") for log in world.logs)
    return logs.count(f"batch {name} is completed")


def queued(world):
    """How many rows have not been sent to. Those in doubt do not count: on a busy machine most of them may be."""
    found = batch_summary(world.ledger, "spring").outcomes
    return sum(found.get(one, 0) for one in ("pending", "queued", "sending"))


def under_way(world):
    return batch_summary(world.ledger, "spring").outcomes.get("sending")


def completed(world, name):
    return batch_summary(world.ledger, name).state is BatchState.COMPLETED


@pytest.mark.long
def test_workers_obey_a_pause_a_resume_and_a_cancel(tmp_path):
    with World(tmp_path, RINGPROOF_RATE="40/1s") as world:
        numbers = [fresh_number() for _ in range(400)]
        import_rows(world, "spring", numbers)
        world.start(children=4)
        eventually(lambda: world.plivo.counts()["next"] > 20, within=60)
        operations.pause(world.ledger, "spring")
        paused = boot_clock()
        eventually(lambda: not under_way(world), within=60)
        at_pause = world.plivo.counts()["next"]
        assert world.first_bytes()[-1] < paused + 1
        world.until_swept_again()
        assert world.plivo.counts()["next"] == at_pause

        operations.resume(world.ledger, "spring")
        eventually(lambda: world.plivo.counts()["next"] > at_pause + 20, within=60)
        operations.cancel(world.ledger, "spring")
        cancelled = boot_clock()
        found = eventually(lambda: not (now := agrees(world, "spring")).unfinished and now, within=60)
        at_cancel = world.plivo.counts()["next"]
        world.until_swept_again()

        assert world.first_bytes()[-1] < cancelled + 1
        assert world.plivo.counts()["next"] == at_cancel < 400
        assert found.outcomes == {"code_sent": at_cancel, "cancelled": 400 - at_cancel}
        assert found.state is BatchState.CANCELLED

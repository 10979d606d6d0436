"""A token is rotated on one host of two before the other: the host that Plivo refuses leaves all work to the other."""

from datetime import timedelta

import pytest
from support.harness import AUTH_TOKEN, eventually
from world import World

from ringproof.ledger import control
from ringproof.ledger.confirmation import store_code
from ringproof.ledger.heartbeats import workers_alive
from ringproof.ledger.record import Lane, Reason, State
from ringproof.secret_str import SecretStr

ROTATED = "the-rotated-token"
QUEUES = "ringproof.interactive,ringproof.scheduled,ringproof.bulk,ringproof.ticks"
LEAVES, PAUSED, BACK = "leaves all sending to the others", "all sending is paused", "credentials known to Plivo again"
RATE = 60


@pytest.fixture
def world(tmp_path):
    with World(tmp_path, RINGPROOF_RATE=f"{RATE}/1s") as world:
        yield world


def start(world, host, token=AUTH_TOKEN, queues=QUEUES):
    return world.start("-Q", queues, "-n", f"all@{host}", children=2, name=host, PLIVO_AUTH_TOKEN=token)


def is_paused(world):
    return [pause.kind for pause in control.sending_status(world.ledger).pauses] == ["credentials"]


def refused(world):
    return sum(request["status"] == 401 for request in world.plivo.requests())


def let_time_pass(world):
    """Until the next probe, and until a paused number of a roster is looked at again."""
    world.move(timedelta(seconds=31))


def until_all_have_a_code(world):
    assert world.until_settled() == {State.CODE_SENT: len(world.accepted)}
    assert {record.attempts for record in world.records().values()} == {1}
    assert len(world.plivo.sends()) == len(world.accepted), "never two codes for one number"


@pytest.mark.long
def test_the_other_host_sends_everything_until_it_is_refused_as_well(world):
    good, rotated = start(world, "good"), start(world, "rotated", ROTATED)
    eventually(lambda: len(workers_alive(world.ledger)) == 2)

    # Plivo refuses one of them, with numbers of both under way.
    world.enqueue(4 * RATE)
    eventually(lambda: "code_sent" in rotated.log and "code_sent" in good.log, within=30)
    world.plivo.switch(unknown_tokens=[ROTATED])
    world.enqueue(20, Lane.INTERACTIVE)
    rotated.until_logged(LEAVES)
    until_all_have_a_code(world)
    assert refused(world), "it was seen in a send"
    assert not is_paused(world)
    assert LEAVES not in good.log

    # The good one sends everything; the other one takes no message.
    asked, taken = refused(world), rotated.log.count("received")
    world.enqueue(4 * RATE)
    until_all_have_a_code(world)
    assert refused(world) <= asked + 1, "nothing but a probe"
    assert rotated.log.count("received") <= taken + 10, "nothing but ticks"

    # It is restarted with the right token, and sends again.
    rotated.kill()
    restarted = start(world, "restarted")
    world.enqueue(2 * RATE)
    until_all_have_a_code(world)
    assert "code_sent" in restarted.log

    # Plivo refuses both: all sending is paused, until it knows them again.
    world.plivo.switch(unknown_tokens=[ROTATED, AUTH_TOKEN])
    numbers = world.enqueue(RATE)
    for one in (good, restarted):
        one.until_logged(PAUSED)
    world.until_settled(states={State.WAITING, State.CODE_SENT})
    assert is_paused(world)
    assert {world.ledger.read(number).reason for number in numbers} == {Reason.PAUSED}
    world.plivo.switch(unknown_tokens=[])
    let_time_pass(world)
    for one in (good, restarted):
        one.until_logged(BACK)
    let_time_pass(world)
    until_all_have_a_code(world)
    assert not is_paused(world)


@pytest.mark.long
def test_a_host_that_plivo_knows_again_takes_up_its_queues(world):
    good, rotated = start(world, "good"), start(world, "rotated", ROTATED)
    eventually(lambda: len(workers_alive(world.ledger)) == 2)
    world.plivo.switch(unknown_tokens=[ROTATED])
    world.enqueue(RATE)
    rotated.until_logged(LEAVES)
    until_all_have_a_code(world)
    good.kill()
    let_time_pass(world)  # its heartbeat is too old by then

    # Nobody is left who could send: the numbers wait, as in any pause.
    (number,) = world.enqueue(1)
    rotated.until_logged(PAUSED)
    assert world.until(number, State.WAITING).reason is Reason.PAUSED

    world.plivo.switch(unknown_tokens=[])
    let_time_pass(world)
    rotated.until_logged(BACK)
    let_time_pass(world)
    until_all_have_a_code(world)


def test_a_code_that_the_refused_host_has_taken_is_entered_by_the_other(world):
    start(world, "good", queues="ringproof.bulk,ringproof.ticks")
    rotated = start(world, "rotated", ROTATED)
    eventually(lambda: len(workers_alive(world.ledger)) == 2)
    (number,) = world.enqueue(1, Lane.INTERACTIVE)
    world.until(number, State.CODE_SENT)
    world.plivo.switch(unknown_tokens=[ROTATED])
    handle = store_code(world.ledger, SecretStr(world.plivo.sends(number)[-1]["code"]))
    options = {"queue": "ringproof.interactive", "argsrepr": "(…)", "task_id": "confirmation-1"}
    world.producer.send_task("confirm_verification", [number], {"handle": handle}, **options)
    rotated.until_logged(LEAVES)
    eventually(lambda: world.client.llen("ringproof.interactive") == 1, why="it was not given back")
    assert world.ledger.read(number).tries == 0
    assert not world.client.exists("celery-task-meta-confirmation-1"), "it has not failed"
    start(world, "another")

    world.until(number, State.VERIFIED)
    eventually(lambda: "SUCCESS" in (world.client.get("celery-task-meta-confirmation-1") or ""), why="no result")

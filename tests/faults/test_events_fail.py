"""Deliveries with real workers: the receiver or a worker dies, Redis restarts, a handler raises. Nothing is lost."""

import threading
import time
from collections import Counter

import pytest
from checker import check
from redis.exceptions import RedisError
from support.harness import eventually
from support.receivers import WebhookServer, new_secret
from support.wire import http, is_gone
from world import World

from ringproof.events.delivery_status import deliveries
from ringproof.events.dispatcher import SCHEDULE
from ringproof.events.outbox import LEASE
from ringproof.ledger.heartbeats import read_heartbeats
from ringproof.ledger.record import Lane, State

NUMBERS = 30
SECRET = new_secret()
CODE_SENT = "verification.code_sent"


@pytest.fixture
def world(tmp_path):
    with World(tmp_path, appendfsync="always", RINGPROOF_WEBHOOK_SECRETS=SECRET) as world:
        yield world


@pytest.fixture
def receive(world):
    """Start a receiver, and have the workers of this world deliver to it."""

    def start(answer=None):
        server = WebhookServer(SECRET, answer)
        world.callback(server.close)
        world.variables["RINGPROOF_WEBHOOK_URL"] = server.url()
        return server

    return start


def start(world, name="worker", **variables):
    return world.start("-P", "threads", name=name, children=8, **variables)


def until_all_are_delivered(world, server):
    """Wait until the receiver has got the code of each number, and compare what came with what has happened."""
    world.until_settled()
    expected = {number for number, record in world.records().items() if record.state is State.CODE_SENT}
    got = lambda: {message["data"]["phone_number"] for _, message in list(server.messages)}  # noqa: E731
    eventually(lambda: got() >= expected, why=f"{len(expected)} expected, {deliveries(world.ledger)}")
    assert server.forged == 0
    assert expected == set(world.accepted)
    check(world)


def test_a_worker_that_is_killed_in_mid_delivery_loses_nothing(world, receive):
    hold, held = threading.Event(), threading.Event()

    def answer(_):
        if hold.is_set():
            return http(204)
        held.set()
        return lambda connection, _: "close" if is_gone(connection, seconds=20) else None

    server = receive(answer)
    first = start(world)
    world.enqueue(NUMBERS)
    assert held.wait(60)
    world.until_settled()
    first.kill()
    hold.set()
    start(world, "second")
    world.move(LEASE)

    until_all_are_delivered(world, server)


@pytest.mark.long
def test_redis_restarts_in_mid_delivery(world, receive):
    began = threading.Event()

    def answer(_):
        began.set()
        time.sleep(0.05)  # the receiver's own work
        return http(204)

    server = receive(answer)
    worker = start(world)
    world.enqueue(4 * NUMBERS)
    assert began.wait(60)
    world.redis.kill()
    world.redis.restart()
    eventually(lambda: answers(world))
    world.move(LEASE)

    until_all_are_delivered(world, server)
    assert worker.popen.poll() is None


def answers(world):
    try:
        return world.client.ping()
    except RedisError:
        return False


def test_two_workers_at_once_deliver_each_event_once(world, receive):
    server = receive()
    start(world, "first")
    start(world, "second")
    world.enqueue(2 * NUMBERS)

    until_all_are_delivered(world, server)
    assert max(Counter(server.ids()).values()) == 1


def test_a_receiver_that_never_answers_slows_no_send(world, receive):
    receive(lambda _: lambda connection, _: "close" if is_gone(connection, seconds=60) else None)
    start(world)
    world.enqueue(20, Lane.INTERACTIVE)
    world.until_settled()
    eventually(lambda: deliveries(world.ledger)[0].behind + deliveries(world.ledger)[0].waiting >= 20)
    began = time.monotonic()
    world.enqueue(20, Lane.INTERACTIVE)
    world.until_settled()

    assert time.monotonic() - began < 8, "eight threads send, and the dead receiver holds one of them for 15 s"
    assert set(world.states()) == {State.CODE_SENT}


HANDLERS = """
import os
from pathlib import Path

from ringproof.signals import code_sent, failed

@code_sent.connect
def note(event, **_):
    seen = Path(os.environ["SEEN"])
    tried = seen.read_text().splitlines() if seen.exists() else []
    with seen.open("a") as file:
        print(event.phone_number, file=file)
    if os.environ["BAD"] == event.phone_number[-1] and tried.count(event.phone_number) < 2:
        raise ValueError(f"no customer has {event.phone_number}")
"""


def test_a_handler_that_raises_is_called_again_and_the_other_numbers_go_on(world):
    seen = world.folder / "seen"
    (world.folder / "shop_handlers.py").write_text(HANDLERS)
    variables = {"SEEN": str(seen), "BAD": "7"}
    start(world)
    world.start("-P", "threads", "-Q", "ringproof.signals", "-I", "shop_handlers", name="handlers", **variables)
    beats = read_heartbeats(world.client.hgetall(world.ledger.keys.heartbeats))
    takers = {beat.worker for beat in beats if {"ringproof.events", "ringproof.signals"} & set(beat.queues)}
    assert {name.partition("@")[0] for name in takers} == {"handlers"}
    numbers = world.enqueue(20)
    world.until_settled()
    bad = [number for number in numbers if number.endswith("7")]

    def calls():
        return Counter(seen.read_text().splitlines() if seen.exists() else [])

    eventually(lambda: set(calls()) == set(numbers), why=f"{calls()} {deliveries(world.ledger)}")
    for times, wait in enumerate(SCHEDULE[:2], 2):
        eventually(lambda: outbox_is_at_rest(world))
        world.move(wait * 1.2)
        eventually(lambda times=times: all(calls()[number] == times for number in bad), why=f"{calls()}")

    assert all(calls()[number] == 1 for number in set(numbers) - set(bad))
    check(world)


def outbox_is_at_rest(world):
    """Whether no dispatcher is at work, so that what failed has its next try."""
    return not any(name.endswith(":fence") for name in world.client.hkeys(world.ledger.keys.consumers))


@pytest.mark.parametrize(
    ("queue", "remedy"), [("ringproof.signals", "-I yourapp.handlers"), ("ringproof.events", "RINGPROOF_WEBHOOK_URL")]
)
def test_a_worker_that_could_only_deliver_to_nobody_says_so_and_ends(world, queue, remedy):
    with pytest.raises(AssertionError, match=f"nobody to deliver events to; .*{remedy}"):
        world.start("-P", "threads", "-Q", queue)

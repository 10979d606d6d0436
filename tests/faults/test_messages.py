"""What others put into our queues ends where it is, and harms nobody; a Redis can be shared."""

import base64
import json
import sys
import uuid

import pytest
from celery import Celery
from checker import check
from support.harness import Process, eventually, fresh_number, stopped
from world import World

from ringproof.errors import InvalidNumber
from ringproof.ledger.record import State

QUEUE = "ringproof.bulk"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with World(tmp_path_factory.mktemp("messages")) as world:
        world.worker = world.start(children=2)
        yield world


def goes_on(world):
    """Whether the worker still does what it is for."""
    (number,) = world.enqueue(1)
    world.until(number, State.CODE_SENT)
    assert world.worker.popen.poll() is None
    check(world)


def outcome(world, message_id):
    """What the result backend says of a message that is not ours."""
    reply = eventually(lambda: world.client.get(f"celery-task-meta-{message_id}"), within=60)
    return json.loads(reply)


def envelope(body, /, **changes):
    """A message as kombu writes it."""
    message = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "initiate_verification", "id": str(uuid.uuid4()), "argsrepr": "(…)"},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "delivery_tag": str(uuid.uuid4()),
            "body_encoding": "base64",
        },
    }
    return json.dumps({**message, **changes})


NO_MESSAGES = {
    "no JSON": "{'task': ",
    "no UTF-8": b"\xff\xfe\x00",
    "a number": "17",
    "null": "null",
    "a list": "[1, 2, 3]",
    "an empty object": "{}",
    "no properties": envelope([[], {}, {}], properties=None),
    "no delivery tag": envelope([[], {}, {}], properties={"body_encoding": "base64"}),
    "no delivery info": envelope([[], {}, {}], properties={"delivery_tag": "1", "body_encoding": "base64"}),
    "no base64": envelope([], body="%%%"),
    "a body that is no list": envelope({"a": "dict"}),
}
"""Of these Celery's main process would die."""

NOT_OURS = {
    "no headers": envelope([[], {}, {}], headers=None),
    "no task": envelope([[], {}, {}], headers={"id": "1"}),
    "a task of somebody else": envelope([[], {}, {}], headers={"id": "1", "task": "their.task", "lang": "py"}),
    "a body that is no JSON": envelope([], body=base64.b64encode(b"{").decode()),
    "pickle": envelope([], **{"content-type": "application/x-python-serialize"}),
    "a number that is a dict": envelope([[{"number": "+14155550123"}], {}, {}]),
    "an unknown argument": envelope([["+14155550123"], {"colour": "red"}, {}]),
    "a request that is none": envelope([["+14155550123"], {"request": [1]}, {}]),
    "an unknown request": envelope([["+14155550123"], {"request": 1}, {}]),
    "an alias of ten megabytes": envelope([["+14155550123"], {"alias": "x" * 10_000_000}, {}]),
}


def test_junk_of_every_kind_is_dropped_and_the_worker_goes_on(world):
    world.client.lpush(QUEUE, *NO_MESSAGES.values(), *NOT_OURS.values())
    eventually(lambda: not world.client.llen(QUEUE), within=60)

    assert world.worker.log.count("dropped junk from a") == len(NO_MESSAGES)
    assert world.plivo.sends() == []
    assert not world.client.exists("ringproof:number:+14155550123")
    goes_on(world)
    assert "5550123" not in world.worker.log, "no number is in the log"


def test_junk_on_the_workers_own_channel_is_dropped(world):
    for junk in ("{", "[]", "{}", "17"):
        world.client.publish("/0.ringproof.control.pidbox", junk)
    goes_on(world)


def test_the_result_of_a_wrong_message_says_what_is_wrong(world):
    sent = world.producer.send_task("initiate_verification", [{"a": "dict"}], queue=QUEUE, argsrepr="(…)")
    reply = outcome(world, sent.id)

    assert (reply["status"], reply["result"]["exc_type"]) == ("FAILURE", InvalidNumber.__name__)
    goes_on(world)


HOST = """
from celery import Celery

app = Celery("host", broker="{url}", backend="{url}")
app.conf.update(worker_hijack_root_logger=False, broker_transport_options={{"visibility_timeout": 1}})


@app.task(name="host.greet")
def greet(whom):
    return f"hello {{whom}}"
"""


def test_two_celery_applications_on_one_redis_keep_their_own_jobs(world):
    (world.folder / "host.py").write_text(HOST.format(url=world.redis.url))
    command = [sys.executable, "-m", "celery", "-A", "host", "worker", "-l", "INFO", "-c", "1", "-n", "host@%h"]
    host = Celery("host", broker=world.redis.url, set_as_current=False)
    with stopped(Process(command, world.folder / "host.log", world.environ(), world.folder)) as theirs:
        theirs.until_logged(" ready.")
        greetings = [host.send_task("host.greet", [str(n)]).id for n in range(20)]
        ours = world.enqueue(20)
        greeted = [outcome(world, greeting)["result"] for greeting in greetings]
        for number in ours:
            world.until(number, State.CODE_SENT)

        assert greeted == [f"hello {n}" for n in range(20)]
        assert "initiate_verification" not in theirs.log
    assert "host.greet" not in world.worker.log
    check(world)


def test_a_number_that_a_stranger_sends_in_clear_is_in_no_log(world):
    number = fresh_number()
    world.producer.send_task("initiate_verification", [number], queue=QUEUE)
    world.until(number, State.CODE_SENT)
    world.accepted[number] = world.ledger.read(number).request

    check(world)

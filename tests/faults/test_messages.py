"""What others put into our queues ends where it is, and harms nobody; a Redis can be shared."""

import base64
import json
import re
import sys
import zlib
from functools import cache
from pathlib import Path

import pytest
from celery import Celery
from checker import check
from kombu.utils.json import loads
from support import junk
from support.harness import Process, eventually, fresh_number, stopped
from support.junk import QUEUE
from support.leaks import leaks
from world import World

from ringproof.celery.envelope import check_task, open_envelope
from ringproof.errors import InvalidNumber
from ringproof.ledger.newer_messages import put_back
from ringproof.ledger.record import State


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with World(tmp_path_factory.mktemp("messages")) as world:
        world.worker = world.start(children=2)
        yield world


FICTITIOUS = "+1415555012"
"""One digit is missing: no code goes to it."""


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


@cache
def bomb():
    """A gigabyte of zeros, as a megabyte of base64: a block of ten megabytes a hundred times, which is soon packed."""
    zeros, packer = b"0" * 10**7, zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(100):
        checksum = zlib.adler32(zeros, checksum)
    return base64.b64encode(b"\x78\xda" + block * 100 + packer.flush() + checksum.to_bytes(4, "big")).decode()


def with_header(**headers):
    message = junk.good()
    return message | {"headers": message["headers"] | headers}


def with_property(**properties):
    message = junk.good()
    return message | {"properties": message["properties"] | properties}


JUNK = {
    "no JSON": "{'task': ",
    "no UTF-8": b"\xff\xfe\x00",
    "a number": "17",
    "null": "null",
    "a list": "[1, 2, 3]",
    "lists without an end": junk.DEEP,
    "an empty object": "{}",
    "a body in plain text": json.dumps(junk.good() | {"body": "[[], {}, {}]"}),
    "a body that is no list": junk.packed(junk.good() | {"body": {"a": "dict"}}),
    "the first protocol": junk.packed(junk.good() | {"headers": {}, "body": {"task": "x", "id": "x", "args": []}}),
    "a body with headers in it": junk.packed(junk.good() | {"body": {"task": "x", "args": [], "kwargs": {}}}),
    "a task to follow that is none": junk.packed(junk.good() | {"body": [[], {}, {"callbacks": [1]}]}),
    "pickle": junk.packed(junk.good() | {"content-type": "application/x-python-serialize"}),
    "plain text": junk.packed(junk.good() | {"content-type": "text/plain"}),
    "a gigabyte by a header": junk.packed(with_header(compression="application/x-gzip") | {"body": bomb()}),
    "a gigabyte by its encoding": junk.packed(
        junk.good() | {"content-encoding": "zlib", "content-type": "application/data", "body": bomb()}
    ),
    "an id of two lines": junk.packed(with_header(id="one\n2026-11-29 INFO forged")),
    "no queue": junk.packed(with_property(delivery_info={"exchange": "", "routing_key": ""})),
    "a task that is a list": junk.packed(with_header(task=["initiate_verification"])),
}
"""Celery's main process would end with most of these."""

NOT_OURS = {
    "a task of somebody else": junk.packed(junk.good(task="their.task", args=("4829", "+14155550123"))),
    "a number that is a dict": junk.packed(junk.good(args=({"number": "+14155550123"},))),
    "an unknown argument": junk.packed(junk.good(kwargs={"colour": "red"})),
    "a request that is none": junk.packed(junk.good(kwargs={"request": [1]})),
    "an unknown request": junk.packed(junk.good(kwargs={"request": 1})),
    "an alias of ten megabytes": junk.packed(junk.good(kwargs={"alias": "x" * 10_000_000})),
    "stamps that are none": junk.packed(
        junk.good(args=("x",)) | {"headers": with_header(stamped_headers=True)["headers"]}
    ),
    "a wrong date": junk.packed(with_header(eta="tomorrow")),
}
"""These have the shape of a message. What they ask for is refused."""


def of_a_newer_version():
    """A message as a newer version may write it: what it asks for, nobody knows yet."""
    message = with_header(ringproof_schema=2, moon_phase="full")
    return message | {"body": [["+14155550123"], {"rhythm": "slow"}, {"callbacks": None}]}


COMMANDS = "/0.ringproof.control.pidbox"
EVENTS = "/0.celeryev/worker.heartbeat"
WORTHLESS = [
    "{",
    "[]",
    "{}",
    "17",
    "null",
    junk.DEEP,
    b"\xff",
    junk.packed(junk.good()),
    JUNK["a gigabyte by a header"],
]


def dropped(log):
    """How many messages the log says were dropped. One line may tell of many within ten seconds."""
    counts = re.findall(r"dropped junk from a queue.*?(?:\(one of (\d+) in 10 s\))?$", log, re.MULTILINE)
    return sum(int(count or 1) for count in counts)


def take_all(world, *messages):
    """Have the worker take these messages from its queue."""
    world.client.lpush(QUEUE, *messages)
    eventually(lambda: not world.client.llen(QUEUE) or world.worker.popen.poll() is not None, within=60)


def test_junk_of_every_kind_is_dropped_and_the_worker_goes_on(world):
    before = memory(world)
    take_all(world, *JUNK.values(), *NOT_OURS.values())

    goes_on(world)
    eventually(lambda: dropped(world.worker.log) == len(JUNK), within=30)
    assert not world.client.exists("ringproof:number:+14155550123")
    assert not leaks("4155550123", world.worker.log), "no number is in the log"
    assert not leaks("4829", world.worker.log), "no code is in the log"
    assert "\n2026-11-29 INFO forged" not in world.worker.log
    assert memory(world) - before < 200 * 2**20


def memory(world):
    """The most bytes that the worker's main process had in its memory."""
    status = Path(f"/proc/{world.worker.popen.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


TASKS = {
    "initiate_verification": ([FICTITIOUS], {}),
    "confirm_verification": ([FICTITIOUS], {"handle": "x"}),
    "ringproof.work_chunk": ([[[FICTITIOUS, 1]], "sms"], {}),
    "ringproof.reverify": ([[FICTITIOUS]], {}),
    "ringproof.look_up": ([FICTITIOUS, 1], {}),
}


def reaches_celery(text):
    """Whether a message has the shape of one, so that its contents are for Celery and Ringproof's tasks to judge."""
    try:
        envelope, body = open_envelope(loads(text))
        check_task(envelope["headers"], envelope["properties"]["delivery_info"]["routing_key"], body)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def strange_messages():
    """For each task a good message with each of its arguments strange in turn; of one task, each other field, too."""
    for task, (args, kwargs) in TASKS.items():
        for path, text in junk.every_junk(junk.good(task=task, args=args, kwargs=kwargs)):
            if (task == "initiate_verification" or path[:2] == ("body", 0)) and reaches_celery(text):
                yield text


def test_a_message_that_is_strange_in_one_place_harms_nobody(world):
    take_all(world, *strange_messages())

    goes_on(world)
    assert "Pool callback raised" not in world.worker.log


def test_junk_in_a_broadcast_is_dropped_and_the_worker_hears_the_next_one(world):
    for message in [*WORTHLESS, *(text for _, text in junk.every_junk(junk.COMMAND))]:
        world.client.publish(COMMANDS, message)
    for message in [*WORTHLESS, *(text for _, text in junk.every_junk(junk.EVENT))]:
        world.client.publish(EVENTS, message)

    goes_on(world)
    world.producer.conf.control_exchange = "ringproof.control"
    assert eventually(lambda: world.producer.control.ping(timeout=0.5), within=20)


def test_junk_among_the_messages_that_were_taken_does_not_keep_a_worker_from_starting(world):
    good = json.loads(junk.packed(junk.good()))
    records = [junk.DEEP, "{", "[1]", json.dumps([{}, 1, 2]), json.dumps([good, "", ""]), json.dumps([good, [], {}])]
    world.client.hset("ringproof:unacked", mapping=dict(enumerate(records)))
    world.client.zadd("ringproof:unacked_index", dict.fromkeys(range(len(records)), 1))
    with stopped(world.start(children=1, name="another")):
        eventually(lambda: not world.client.exists("ringproof:unacked"), within=30)

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


def test_a_message_of_a_newer_version_waits_for_its_workers_and_keeps_nobody_waiting(world):
    text, keys = junk.packed(of_a_newer_version()), world.ledger.keys
    said = "a message in ringproof.bulk needs a newer version of Ringproof"
    world.client.lpush(QUEUE, text)

    def put_back_until_it_came_again():
        put_back(world.ledger)
        return world.worker.log.count(said) > 1

    eventually(put_back_until_it_came_again, within=60)
    goes_on(world)

    def everywhere():
        return [*world.client.lrange(keys.newer_messages, 0, -1), *world.client.lrange(QUEUE, 0, -1)]

    (kept,) = eventually(everywhere, within=60)
    assert json.loads(kept.rpartition("\n")[2]) == json.loads(text)
    assert world.worker.log.count(said) < 40, "it comes every 5 s at most"
    world.client.delete(keys.newer_messages)

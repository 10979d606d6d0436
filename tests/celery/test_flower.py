"""What Flower and `celery inspect` show: masked numbers, requests in clear, and no ticks."""

import json
import subprocess
import sys
import threading

import pytest
from celery import Celery
from support.harness import Worker, eventually, fresh_number, stopped

from ringproof.ledger.confirmation import check_code, store_code
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from ringproof.phone.masking import mask
from worker.local.processes.redis_server import RedisServer

TICKS = ("ringproof.sweep", "ringproof.feed")


class World:
    """A worker that sends events, a program that listens to them as Flower does, and one that sends messages."""

    def __init__(self, server, environ, folder):
        self.environ, self.folder, self.client = environ, folder, connect(server.url)
        self.ledger = Ledger(self.client)
        self.other = Celery("other", broker=server.url, backend=server.url, set_as_current=False)
        self.events, self._receiver = [], None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self):
        with self.other.connection_for_read() as connection:
            self._receiver = self.other.events.Receiver(connection, handlers={"*": self.events.append})
            for _ in self._receiver.consume(limit=None):
                pass

    def send(self, task, *args, **kwargs):
        options = {"queue": kwargs.pop("queue", "ringproof.interactive"), "ignore_result": True}
        shown = {name: kwargs.pop(name) for name in ("argsrepr", "kwargsrepr") if name in kwargs}
        return self.other.send_task(task, args, kwargs, **options, **shown).id

    def received(self, message):
        """Return what Flower's list shows of a message."""
        of_message = [one for one in self.events if one.get("uuid") == message and one["type"] == "task-received"]
        return of_message and (of_message[0]["name"], of_message[0]["args"], of_message[0]["kwargs"])

    def close(self):
        self._receiver.should_stop = True
        self._listener.join(10)
        self.other.close()
        self.client.close()


@pytest.fixture
def world(environ, tmp_path):
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_RATE": "1000/0.1s"}
        with stopped(Worker(tmp_path / "worker.log", own, tmp_path, "-E", concurrency=2)):
            world = World(server, own, tmp_path)
            try:
                eventually(lambda: any(one["type"] == "worker-heartbeat" for one in world.events))
                yield world
            finally:
                world.close()


def test_flowers_list_shows_requests_and_no_ticks(world, plivo):
    number = fresh_number()
    for tick in TICKS * 2:
        message = world.send(tick, queue="ringproof.ticks")
        eventually(lambda tick=tick: world.client.delete(f"ringproof:tick:{tick.partition('.')[2]}"))
        assert message
    request = world.ledger.accept(number, token=number).request
    shown = {"argsrepr": f"('{mask(number)}',)", "kwargsrepr": str({"request": request})}
    ours = world.send("initiate_verification", number, request=request, **shown)
    chunk = world.send(
        "ringproof.work_chunk", [[number, request]], "sms", queue="ringproof.bulk", argsrepr="(1 numbers, 'sms')"
    )
    foreign = world.send("initiate_verification", number, alias=f"Ann, {number}")
    for message in (ours, chunk, foreign):
        eventually(lambda message=message: world.received(message))

    assert world.received(ours) == ("initiate_verification", f"('{mask(number)}',)", f"{{'request': {request}}}")
    assert world.received(chunk) == ("ringproof.work_chunk", "(1 numbers, 'sms')", "{}")
    assert world.received(foreign) == ("initiate_verification", "(…)", "{…}"), "with an alias"
    of_tasks = [one for one in world.events if one["type"].startswith("task-")]
    assert {one["uuid"] for one in of_tasks} == {ours, chunk, foreign}
    assert number[-7:] not in json.dumps(world.events)


def test_inspect_shows_the_request_and_masks_the_number(world, plivo):
    number = fresh_number()
    request = world.ledger.accept(number, token=number).request
    world.send("initiate_verification", number, request=request)
    eventually(lambda: world.ledger.read(number).state is State.CODE_SENT)
    plivo.switch(latency_ms=8000)
    code = check_code(plivo.sends(number)[-1]["code"])
    shown = {"argsrepr": f"('{mask(number)}',)", "kwargsrepr": str({"request": request})}
    world.send("confirm_verification", number, handle=store_code(world.ledger, code), request=request, **shown)
    command = [sys.executable, "-m", "celery", "-A", "worker", "inspect", "active", "--json"]

    def active():
        done = subprocess.run(command, env=world.environ, cwd=world.folder, capture_output=True, text=True, check=True)
        (tasks,) = json.loads(done.stdout).values()
        return tasks and (tasks[0], done.stdout + done.stderr)

    task, printed = eventually(active)

    assert (task["name"], task["args"]) == ("confirm_verification", f"('{mask(number)}',)")
    assert task["kwargs"] == f"{{'request': {request}}}"
    assert number[-7:] not in printed

"""After a run no code is in a log, an event, a process list, a message, a result or a key, but for the one of 60 s."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import psutil
import pytest
from celery import Celery
from support.harness import Process, Worker, eventually, fresh_number, stopped
from support.leaks import leaks

from ringproof.ledger.connection import connect
from worker.local.processes.redis_server import RedisServer

BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")

# A producer as a web app is one: what it is to do comes on standard input, and it prints what came of it.
PRODUCER = """
import json, sys
from tasks import confirm_verification, initiate_verification
from ringproof.errors import RingproofError
for line in sys.stdin:
    asked = json.loads(line)
    task = confirm_verification if "code" in asked else initiate_verification
    try:
        result = task.delay(*asked.values())
        print(json.dumps(["ok", repr(result), result.get(timeout=60)]), flush=True)
    except RingproofError as error:
        print(json.dumps([type(error).__name__, str(error), repr(error)]), flush=True)
"""


class Listening(threading.Thread):
    """All commands that a Redis gets, as MONITOR shows them."""

    def __init__(self, url):
        super().__init__(daemon=True)
        where = urlsplit(url)
        self._socket = socket.create_connection((where.hostname, where.port))
        self._socket.sendall(f"AUTH {where.password}\r\nMONITOR\r\n".encode())
        self.received = b""

    def run(self):
        while piece := self._socket.recv(1 << 16):
            self.received += piece
        self._socket.close()

    def lines(self):
        """Its lines, each with whatever is in it as base64."""
        for line in self.received.decode(errors="replace").splitlines():
            yield line + " " + " ".join(map(decoded, BASE64.findall(line)))


class Processes(threading.Thread):
    """All command lines on this machine, looked at again and again until it is over."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.over = set(), threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            for process in psutil.process_iter(["cmdline"]):
                self.seen.update(process.info["cmdline"] or ())


def decoded(text):
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


@pytest.fixture
def world(environ, tmp_path):
    """A Redis that is listened to, a worker at DEBUG, `celery events` beside it, and a producer."""
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_RATE": "1000/0.1s"}
        listening, processes = Listening(server.url), Processes()
        listening.start()
        watch = [sys.executable, "-u", "-m", "celery", "-A", "worker", "events", "--dump"]
        with (
            stopped(Worker(tmp_path / "worker.log", own, tmp_path, "-l", "DEBUG", "-E", concurrency=2)) as worker,
            stopped(Process(watch, tmp_path / "events.log", own, tmp_path)) as events,
            subprocess.Popen(
                [sys.executable, "-c", PRODUCER], env=own, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as producer,
        ):
            events.until_logged("heartbeat")
            processes.start()
            yield server, own, worker, events, producer, listening, processes
            producer.stdin.close()
        processes.over.set()


def test_codes_of_eight_digits_are_nowhere_but_in_the_key_of_a_minute(world, plivo, tmp_path):
    server, own, worker, events, producer, listening, processes = world
    plivo.switch(code_length=8)
    client, printed, entered = connect(server.url), [], []
    foreign = Celery("foreign", broker=server.url, set_as_current=False)

    def ask(*asked):
        producer.stdin.write(json.dumps(dict(zip(("number", "code"), asked, strict=False))) + "\n")
        producer.stdin.flush()

    def answer():
        printed.append(producer.stdout.readline())
        return json.loads(printed[-1])[0]

    def code(number, beside=0):
        sent = int(plivo.sends(number)[-1]["code"])
        entered.append(f"{(sent + beside) % 10**8:08d}")
        return entered[-1]

    numbers = {name: fresh_number() for name in ("right", "lost", "killed", "expired", "cli", "foreign")}
    for number in numbers.values():
        ask(number)
        assert answer() == "ok"
    ask(numbers["right"], code(numbers["right"], 1))
    assert answer() == "WrongCode"
    ask(numbers["right"], code(numbers["right"]))
    assert answer() == "ok"
    plivo.befall("500_after", operation="complete", times=1)
    ask(numbers["lost"], code(numbers["lost"]))
    assert answer() == "ok"
    client.hset(f"ringproof:number:{numbers['expired']}", "expires_at", 1)
    ask(numbers["expired"], code(numbers["expired"]))
    assert answer() == "CodeExpired"
    entered.append(code(numbers["expired"]) + "9")
    ask(numbers["expired"], entered[-1])
    assert answer() == "InvalidRequest"
    shown = subprocess.run(
        [sys.executable, "-m", "worker", "confirm", numbers["cli"]],
        input=code(numbers["cli"]),
        env=own,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    plivo.befall("timeout_after", operation="complete", times=1)
    ask(numbers["killed"], code(numbers["killed"]))
    eventually(lambda: not plivo.inbox(numbers["killed"])["live_codes"], within=30)
    for child in worker.children():
        os.kill(child, signal.SIGKILL)
    assert answer() == "ok"
    foreign.send_task("confirm_verification", [numbers["foreign"], "13579246"], queue="ringproof.interactive")
    entered.append("13579246")
    worker.until_logged("raised expected: InvalidRequest")
    events.until_logged("task failed: confirm_verification")

    outside = {
        "the worker's log": worker.log,
        "the events": events.log,
        "what callers got": "".join(printed) + shown.stdout + shown.stderr,
        "ps": "\n".join(processes.seen),
    }
    codes, commands = set(entered), list(listening.lines())
    assert not [(place, line) for place, text in outside.items() for code in codes for line in leaks(code, text)]
    kept = [line for line in commands if kept_for_a_minute(line)]
    leaked = [line for line in commands if line not in kept and any(leaks(code, line) for code in codes)]
    carried = [line for line in leaked if "13579246" in line]
    assert leaked == carried != [], "what a stranger has put into a message is there, and seen"
    assert len(kept) == 6
    assert not list(client.scan_iter("ringproof:code:*"))
    assert "verified" in shown.stdout
    client.close()


def kept_for_a_minute(line):
    return re.search(r'"SET" "ringproof:code:[\w-]{22}" "\d{8}" "PX" "60000"', line)

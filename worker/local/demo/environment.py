"""What the demo is played on: a Redis, a sandbox and a worker of its own, and where each is reached."""

import base64
import json
import os
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rich.console import Console

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.celery.messages import WORK_CHUNK
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from tasks import initiate_verification
from worker.local.processes.child_process import ChildProcess
from worker.local.processes.redis_server import RedisServer
from worker.local.sandbox.server import ANY_AUTH_ID, ANY_AUTH_TOKEN
from worker.sending.queries import ask_at_slot

ANSWERS: Final = "right=80,wrong=10,never=10"
ANSWER_SECONDS: Final = (1, 5)
"""After how long people enter their codes."""

CHILDREN: Final = 6
"""The roster's messages hold up to four at a time, for seconds: a person's finds one that is free."""


@dataclass(frozen=True)
class Environment:
    """What the demo has started, and where it is reached."""

    sandbox: ChildProcess
    worker: ChildProcess
    sandbox_url: str
    exports: Mapping[str, str]

    def sends(self, number: str | None = None) -> Counter[str]:
        """Count the codes that Plivo has sent to each number, or to one."""
        told = self.ask(f"sends?number={quote(number)}" if number else "sends")
        return Counter(send["phone_number"] for send in told["sends"])

    def verified(self) -> set[str]:
        """Return the numbers in Plivo's list of verified ones."""
        ledger, found, offset = runtime.ledger(), set[str](), 0
        while True:
            page = ask_at_slot(ledger, partial(runtime.plivo().list, offset=offset))
            found.update(known.phone_number for known in page.objects)
            if page.next is None:
                return found
            offset = page.next

    def ask(self, path: str, wish: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the sandbox's other side; with a wish, POST it. It is this machine: no proxy has a part in it."""
        request = urllib.request.Request(  # noqa: S310  # http to loopback
            f"{self.sandbox_url}/sandbox/{path}",
            data=json.dumps(wish).encode() if wish else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                told: dict[str, Any] = json.load(answer)
        except OSError as error:
            raise self.sandbox.failed(f"the sandbox does not answer ({error})") from None
        return told

    def child_with(self, number: str) -> int | None:
        """Return the process id of the worker's child that works a message by which the number is sent to.

        What a worker tells of its messages is masked; the broker has those that are not acknowledged, whole.
        """
        kept = _sends(runtime.ledger().run("hvals", runtime.ledger().keys.unacked))
        named = {message["headers"]["id"] for message in kept if number.encode() in base64.b64decode(message["body"])}
        answers = app.control.inspect(timeout=1.0, limit=1).active() or {}
        held = (task for tasks in answers.values() for task in tasks)
        return next((int(task["worker_pid"]) for task in held if task["id"] in named), None)

    def is_idle(self) -> bool:
        """Whether no message of bulk waits for a child, and none by which anything is sent is in the hands of one."""
        ledger = runtime.ledger()
        waiting, held = ledger.run_all(("llen", queue(Lane.BULK)), ("hvals", ledger.keys.unacked))
        return not waiting and not _sends(held)


def _sends(kept: Iterable[str]) -> list[dict[str, Any]]:
    """Read the messages that the broker keeps, and leave out ticks, and those of people who enter codes."""
    messages = (json.loads(one)[0] for one in kept)
    return [one for one in messages if one["headers"]["task"] in {WORK_CHUNK, initiate_verification.name}]


def set_up(console: Console, stack: ExitStack) -> Environment:
    """Start Redis, Plivo and a worker, which end with `stack`, and make this process a producer of theirs."""
    console.print("[bold]Ringproof's demo[/]: a real Redis, real workers, real HTTP to a Plivo on this machine\n")
    temporary = tempfile.TemporaryDirectory(prefix="ringproof-demo-", ignore_cleanup_errors=True)
    folder = Path(stack.enter_context(temporary))
    redis_server = stack.enter_context(RedisServer())
    console.print(f"  Redis    {redis_server.url}")
    people = ["--answers", ANSWERS, "--answer-after", "-".join(map(str, ANSWER_SECONDS))]
    sandbox = ChildProcess("sandbox", ["worker", "sandbox", "--port", "0", *people], folder)
    stack.callback(sandbox.stop)
    sandbox_url = "http://" + sandbox.until_logged("/sandbox/").log.partition("http://")[2].partition("/")[0]
    console.print(f"  Plivo    {sandbox_url}  (the sandbox: no text leaves this machine)")
    exports = {
        "RINGPROOF_REDIS_URL": redis_server.url,
        "RINGPROOF_PREFIX": "ringproof",  # a .env where they are pasted may name another
        "RINGPROOF_RANGE_CODES_PER_HOUR": "0",  # some countries' rows are of one range
        "PLIVO_BASE_URL": f"{sandbox_url}/v1",
        "PLIVO_AUTH_ID": ANY_AUTH_ID,
        "PLIVO_AUTH_TOKEN": ANY_AUTH_TOKEN,
    }
    os.environ.update(exports)
    command = ["celery", "-A", "worker", "worker", "-B", "-c", str(CHILDREN)]
    worker = ChildProcess("worker", [*command, "-l", "INFO"], folder)
    stack.callback(worker.stop)
    worker.until_logged(" ready.")
    console.print(f"  worker   {' '.join(command)}\n")
    return Environment(sandbox, worker, sandbox_url, exports)

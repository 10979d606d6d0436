"""What the demo runs on: a Redis, a sandbox and a worker of its own, and their addresses."""

import json
import os
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rich.console import Console

from ringproof import runtime
from worker.local.demo.front_door import FrontDoor
from worker.local.demo.webhook_receiver import WebhookReceiver
from worker.local.processes.child_process import ChildProcess
from worker.local.processes.redis_server import RedisServer
from worker.local.sandbox.server import ANY_AUTH_ID, ANY_AUTH_TOKEN
from worker.sending.queries import ask_at_slot

ANSWERS: Final = "right=80,wrong=10,never=10"
ANSWER_SECONDS: Final = (1, 5)
"""The time after which people enter their codes, from and to."""


@dataclass(frozen=True)
class Environment:
    """The processes that the demo has started, and their addresses."""

    sandbox: ChildProcess
    worker: ChildProcess
    door: FrontDoor
    sandbox_url: str
    receiver: WebhookReceiver
    exports: Mapping[str, str]

    def codes_sent(self, number: str | None = None) -> Counter[str]:
        """Count the codes that Plivo has sent to each number, or to one."""
        ledger = self.call_sandbox(f"sends?number={quote(number)}" if number else "sends")
        return Counter(send["phone_number"] for send in ledger["sends"])

    def verified_numbers(self) -> set[str]:
        """Return the numbers in Plivo's list of verified ones."""
        ledger, numbers, offset = runtime.ledger(), set[str](), 0
        while True:
            page = ask_at_slot(ledger, partial(runtime.plivo().list, offset=offset))
            numbers.update(caller_id.phone_number for caller_id in page.objects)
            if page.next is None:
                return numbers
            offset = page.next

    def call_sandbox(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call one of the sandbox's own routes, and return its JSON; POST the body if there is one.

        No proxy takes part, because the sandbox is on this machine. Raises `ChildProcessFailed` if it does not answer.

            >>> environment.call_sandbox("switches", {"code_length": 8})
        """
        request = urllib.request.Request(  # noqa: S310  # http to loopback
            f"{self.sandbox_url}/sandbox/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
                answer: dict[str, Any] = json.load(response)
        except OSError as error:
            raise self.sandbox.failed(f"the sandbox does not answer ({error})") from None
        return answer


def set_up(console: Console, stack: ExitStack) -> Environment:
    """Start Redis, the sandbox and a worker, which end with `stack`, and make this process their producer.

    Raises `RedisMissing`, `RedisFailed` or `ChildProcessFailed` if one of them does not start.
    """
    console.print("[bold]Ringproof's demo[/]: a real Redis, real workers, real HTTP to a Plivo on this machine\n")
    temporary = tempfile.TemporaryDirectory(prefix="ringproof-demo-", ignore_cleanup_errors=True)
    folder = Path(stack.enter_context(temporary))
    redis_server = stack.enter_context(RedisServer())
    console.print(f"  Redis    redis://127.0.0.1:{redis_server.port}/0, with a password")
    people = ["--answers", ANSWERS, "--answer-after", "-".join(map(str, ANSWER_SECONDS))]
    sandbox = ChildProcess("sandbox", ["worker", "sandbox", "--port", "0", *people], folder)
    stack.callback(sandbox.stop)
    sandbox_url = "http://" + sandbox.until_logged("to use it: export").log.partition("http://")[2].partition("/")[0]
    console.print(f"  Plivo    {sandbox_url}  (the sandbox: no text leaves this machine)")
    exports = {
        "RINGPROOF_REDIS_URL": redis_server.url,
        "RINGPROOF_PREFIX": "ringproof",  # the folder in which a user pastes these may have a .env with another one
        "RINGPROOF_RANGE_CODES_PER_HOUR": "0",  # the numbers of some countries are in one range
        "PLIVO_BASE_URL": f"{sandbox_url}/v1",
        "PLIVO_AUTH_ID": ANY_AUTH_ID,
        "PLIVO_AUTH_TOKEN": ANY_AUTH_TOKEN,
    }
    receiver = WebhookReceiver()
    stack.callback(receiver.server_close)
    os.environ.update(exports)
    os.environ.update(RINGPROOF_WEBHOOK_URL=receiver.url, RINGPROOF_WEBHOOK_SECRETS=receiver.secret)
    command = ["celery", "-A", "worker", "worker", "-P", "threads", "-c", "16", "-B"]
    worker = ChildProcess("worker", [*command, "-l", "INFO"], folder)
    stack.callback(worker.stop)
    worker.until_logged(" ready.")
    console.print(f"  worker   {' '.join(command)}")
    door = FrontDoor.open(stack, folder)
    console.print(f"  door     {door.url}  (ringproof serve: for Plivo's clients)\n")
    return Environment(sandbox, worker, door, sandbox_url, receiver, exports)

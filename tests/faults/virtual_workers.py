"""The program's own workers, sweep and feeder, in virtual time: their children, their queues, and what befalls them."""

import random
import secrets
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, ClassVar

from support.harness import AUTH_ID, AUTH_TOKEN
from virtual_time import Process, VirtualTime

from ringproof import errors, runtime
from ringproof.celery.app import app
from ringproof.ledger import queues
from ringproof.ledger.generation import GenerationWatch
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.plivo.client import PlivoClient
from ringproof.settings import Settings
from tasks import bulk, confirmation, verification
from worker.celery import shutdown
from worker.sending.credentials import check_once
from worker.sending.process import Sending


class LedgerInTime(Ledger):
    """A ledger whose Redis has a clock of its own: `clock_us` returns its time."""

    clock_us: Callable[[], int]
    _set_us = 0

    def _run(self, command: Any, *args: Any, **options: Any) -> Any:
        if (now_us := self.clock_us()) != self._set_us:
            self._set_us = now_us
            self.client.set("test:now_us", now_us)
        return super()._run(command, *args, **options)


class Workers:
    """The workers: children that take messages, one at a time, from the queues they read."""

    QUEUES: ClassVar = {
        "people": (queue(Lane.INTERACTIVE),),
        "people too": (queue(Lane.INTERACTIVE), queue(Lane.SCHEDULED)),
        "bulk": (queue(Lane.BULK),),
        "all": (queue(Lane.INTERACTIVE), queue(Lane.SCHEDULED), queue(Lane.BULK)),
        "ticks": (queues.TICKS,),
    }

    def __init__(self, time: VirtualTime, ledger: Ledger, chance: random.Random) -> None:
        self.time, self.ledger, self.chance = time, ledger, chance
        self.messages: dict[str, deque[tuple[str, tuple[Any, ...], dict[str, Any]]]] = defaultdict(deque)
        self.children: dict[str, Process] = {}
        self.sendings: dict[Process, Sending] = {}
        self.busy: dict[str, Process] = {}

    def send(self, name: str, args: Any = (), kwargs: Any = None, *, queue: str, **_: Any) -> None:
        """What takes the place of Celery's `send_task`."""
        self.messages[queue].append((name, tuple(args), dict(kwargs or {})))
        self.look()

    def look(self) -> None:
        """Have each free child take a message."""
        for child, names in self.QUEUES.items():
            if child not in self.busy and (name := next((one for one in names if self.messages[one]), None)):
                message = self.messages[name].popleft()
                process = self.busy[child] = self.children.setdefault(child, Process(child))
                self.time.start(process, self._work, child, process, name, message)

    def sending(self) -> Sending:
        """What sends in the process of the current thread."""
        assert self.time.current
        process = self.time.current.process
        if process not in self.sendings:
            self.sendings[process] = Sending()
        return self.sendings[process]

    def kill(self) -> None:
        """Kill a child. Its message may be delivered again, or be lost."""
        if self.children:
            child = self.chance.choice(list(self.children))
            self.children.pop(child).killed = True
            self.busy.pop(child, None)

    def freeze(self, seconds: float) -> None:
        """Freeze a child."""
        if self.children:
            self.chance.choice(list(self.children.values())).frozen_until = self.time.now + seconds

    def stop(self) -> None:
        """Stop a child, warmly; another takes its place."""
        if self.children:
            process = self.children.pop(self.chance.choice(list(self.children)))
            process.stopping = True
            if process in self.sendings:
                self.time.start(process, self.sendings[process].close)

    def is_stopping(self) -> bool:
        return bool(self.time.current and self.time.current.process.stopping)

    def check_credentials(self) -> None:
        """What a main process does: it asks Plivo again whether it knows the credentials."""
        check_once(self.ledger, runtime.plivo(), sends=True)

    def _work(self, child: str, process: Process, name: str, message: Any) -> None:
        try:
            self._perform(name, *message)
        finally:
            if process.killed and self.chance.random() < 0.5:
                self.messages[name].append(message)
            if self.busy.get(child) is process:
                del self.busy[child]
            self.time.start(Process("broker"), self.look)

    def _perform(self, queue_name: str, name: str, args: Any, kwargs: Any) -> None:
        delivery = {"routing_key": queue_name}
        if name == "initiate_verification":
            task = SimpleNamespace(request=SimpleNamespace(delivery_info=delivery, id=secrets.token_hex(4)))
            verification.send_code(task, *args, **kwargs)
        elif name == bulk.work_chunk.name:
            bulk.work_chunk.push_request(delivery_info=delivery)
            try:
                bulk.work_chunk.run([list(one) for one in args[0]], args[1])
            finally:
                bulk.work_chunk.pop_request()
        elif name == "confirm":
            with suppress(errors.NotConfirmed, errors.InvalidRequest):
                confirmation.confirm(self.ledger, runtime.plivo(), *args)
        else:
            app.tasks[name].run(*args, **kwargs)

    def stand_in(self, client: PlivoClient, monkeypatch: Any) -> None:
        """Take the place of Celery, and of what a worker's process builds once."""
        settings = Settings.read({"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_AUTH_TOKEN": AUTH_TOKEN}, worker=True)
        monkeypatch.setattr(runtime, "ledger", lambda *_: self.ledger)
        monkeypatch.setattr(runtime, "plivo", lambda *_: client)
        monkeypatch.setattr(runtime, "settings", lambda **_: settings)
        monkeypatch.setattr(app, "send_task", self.send)
        for module in (bulk, verification):
            monkeypatch.setattr(module, "sending", self.sending)
        monkeypatch.setattr(shutdown, "is_stopping", self.is_stopping)
        monkeypatch.setattr(shutdown, "stop_here", lambda: None)
        monkeypatch.setattr(shutdown, "POLL_SECONDS", 3.0)
        # Its thread would go on in real time. No Redis goes back in these histories.
        monkeypatch.setattr(GenerationWatch, "watch", lambda _: None)
        self.time.replace_clocks(monkeypatch)

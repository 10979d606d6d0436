"""Plivo of the tests: the sandbox, in a thread of the process of the fixture `ringproof`."""

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from ringproof.errors import InvalidRequest
from ringproof.testing.plivo_in_process import SWITCHES
from worker.local.sandbox.server import Sandbox

T = TypeVar("T")

SECONDS: Final = 10.0
"""The longest that one of its own routes takes."""


class ThreadedSandbox(Sandbox):
    """The sandbox without the signals, which are the main thread's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


class Plivo:
    """The sandbox as the rest of its process uses it. Thread-safe."""

    def __init__(self) -> None:
        listens = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._sandbox = ThreadedSandbox("127.0.0.1", 0, SWITCHES, None, lambda _: listens.set(), None, None)
        self.url = self._sandbox.url
        serving = self._sandbox.serve([self._sandbox.listening])
        threading.Thread(target=self._loop.run_until_complete, args=(serving,), name="sandbox", daemon=True).start()
        listens.wait()

    def inbox(self, number: str) -> list[dict[str, Any]]:
        """Return what this phone has got, the oldest first."""
        messages: list[dict[str, Any]] = self._in_its_thread(lambda: self._sandbox.state.inbox(number))["inbox"]
        return messages

    def move_clock(self, seconds: float) -> None:
        """Move its clock ahead: its codes get older."""
        clock = self._sandbox.state.clock
        self._in_its_thread(lambda: setattr(clock, "offset_seconds", clock.offset_seconds + seconds))

    def start_again(self) -> None:
        """Forget everything; what waits for an answer gets none."""
        asyncio.run_coroutine_threadsafe(self._sandbox.start_again(), self._loop).result(SECONDS)

    def post(self, route: str, body: Mapping[str, Any]) -> None:
        """Post to one of the sandbox's own routes. Raises `InvalidRequest` with what the sandbox says of the body."""
        connection = http.client.HTTPConnection(*self._sandbox.address, timeout=SECONDS)
        try:
            connection.request("POST", f"/sandbox/{route}", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise InvalidRequest(route, "not taken", json.loads(text).get("error", text))

    def _in_its_thread(self, do: Callable[[], T]) -> T:
        async def call() -> T:
            return do()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(SECONDS)

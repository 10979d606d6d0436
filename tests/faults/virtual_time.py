"""Virtual time: threads that run one at a time, on a clock that jumps to the next moment at which one of them wakes.

The program's own code runs in it unchanged. Only its clock and its sleep are replaced, in each of its modules.
"""

import heapq
import itertools
import math
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace
from typing import Any

OURS = ("ringproof", "worker", "tasks")


def _locked() -> threading.Lock:
    """A lock that one thread releases and another one waits for."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Killed(BaseException):
    """The process of this thread was killed: its code goes no further."""


class Process:
    """A process of the test: its threads wake late while it is frozen, and never once it was killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen_until = 0.0
        self.killed = self.stopping = False


class VirtualTime:
    """The clock, and the threads that wait for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.errors: list[BaseException] = []
        self.current: _Thread | None = None
        self.paused = _locked()
        self._waking: list[tuple[float, int, _Thread]] = []
        self._order = itertools.count()

    def start(self, process: Process, work: Callable[..., Any], *args: Any, after: float = 0.0) -> None:
        """Have a thread of a process do some work, some seconds from now."""
        self._wake(_Thread(self, process, work, args), self.now + after)

    def sleep(self, seconds: float) -> None:
        """What the program's threads sleep by. Raises `Killed` in a process that was killed meanwhile."""
        thread = self.current
        assert thread, "only a thread of virtual time sleeps"
        if thread.process.killed:
            raise Killed
        self._wake(thread, max(self.now + max(seconds, 0.0), thread.process.frozen_until))
        thread.pause()
        if thread.process.killed:
            raise Killed

    def wait_for(self, come_true: Callable[[], Any], timeout: float = math.inf) -> None:
        """Sleep until something is true, or `timeout` seconds are over."""
        seconds, until = 0.005, self.now + timeout
        while not come_true() and self.now < until:
            self.sleep(min(seconds, until - self.now))
            seconds = min(2 * seconds, 0.5)

    def run(self, seconds: float) -> None:
        """Let time pass, and each thread that wakes in it go on."""
        until = self.now + seconds
        while self._waking and self._waking[0][0] <= until:
            when, _, thread = heapq.heappop(self._waking)
            if when < thread.process.frozen_until and not thread.process.killed:
                self._wake(thread, thread.process.frozen_until)
                continue
            self.now = max(when, self.now)
            self.current = thread
            thread.go_on()
            self.paused.acquire()
            self.current = None
            if self.errors:
                raise self.errors[0]
        self.now = until

    def close(self) -> None:
        """End the threads that still wait."""
        while self._waking:
            _, _, thread = heapq.heappop(self._waking)
            thread.process.killed = True
            self.current = thread
            thread.go_on()
            self.paused.acquire()

    def replace_clocks(self, monkeypatch: Any) -> None:
        """Give each module of the program this clock, this sleep and these threads."""
        clock = SimpleNamespace(
            monotonic=lambda: self.now,
            sleep=self.sleep,
            time=lambda: self.now,
            time_ns=lambda: round(self.now * 1e9),
        )
        threads = SimpleNamespace(
            **{**vars(threading), "Condition": lambda: _Condition(self)},
        )
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] not in OURS or not isinstance(module, ModuleType):
                continue
            if getattr(module, "boot_clock", None):
                monkeypatch.setattr(module, "boot_clock", clock.monotonic)
            if getattr(module, "time", None) is time:
                monkeypatch.setattr(module, "time", clock)
            if getattr(module, "ThreadPoolExecutor", None) and getattr(module, "threading", None):
                monkeypatch.setattr(module, "ThreadPoolExecutor", lambda _: _Pool(self))
                monkeypatch.setattr(module, "threading", threads)

    def _wake(self, thread: "_Thread", when: float) -> None:
        heapq.heappush(self._waking, (when, next(self._order), thread))


class _Thread:
    """A thread that runs only while the virtual clock stands still for it."""

    def __init__(self, time_: VirtualTime, process: Process, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.process = process
        self._time, self._work, self._args = time_, work, args
        self._turn = _locked()
        self._started = False

    def go_on(self) -> None:
        if self._started:
            self._turn.release()
        else:
            self._started = True
            threading.Thread(target=self._run, daemon=True).start()

    def pause(self) -> None:
        self._time.paused.release()
        self._turn.acquire()

    def _run(self) -> None:
        try:
            if not self.process.killed:
                self._work(*self._args)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # `run` raises it in the test's own thread
            self._time.errors.append(error)
        finally:
            self._time.paused.release()


class _Pool:
    """What a process has in place of a `ThreadPoolExecutor`."""

    def __init__(self, time_: VirtualTime) -> None:
        self._time = time_
        self._futures: list[Future[Any]] = []

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._futures.append(future)
        assert self._time.current
        self._time.start(self._time.current.process, self._run, future, work, args)
        return future

    def shutdown(self) -> None:
        self._time.wait_for(lambda: all(future.done() for future in self._futures))

    @staticmethod
    def _run(future: "Future[Any]", work: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            future.set_result(work(*args))
        except BaseException as error:
            future.set_exception(error)
            raise


class _Condition:
    """A condition, where only one thread runs at a time."""

    def __init__(self, time_: VirtualTime) -> None:
        self.wait_for = time_.wait_for

    def __enter__(self) -> None:
        """Enter at once: no other thread runs."""

    def __exit__(self, *_: object) -> None:
        """Leave."""

    def notify_all(self) -> None:
        """Do nothing: a waiting thread looks again by itself."""

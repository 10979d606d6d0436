"""The installation that tests use: one process with Redis, the sandbox and a worker, and the talk with it.

It is a process of its own, so the Celery application, the signals, the logging and the event loop of the program under
test stay as they are. It ends with this process, however that ends.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

import ringproof
from ringproof.errors import InvalidRequest
from ringproof.testing.deliveries import call_handlers, keep_events
from ringproof.testing.environment import Environment
from ringproof.testing.errors import InstallationFailed, NotInstalled, StillAtWork

NEEDED: Final = ("uvicorn", "starlette")
"""What the extra `local` brings, and the process cannot do without."""

START_SECONDS: Final = 60.0
"""A busy machine may need ten seconds for what an idle one does in one."""

ANSWER_SECONDS: Final = 60.0
"""Far beyond what any of its answers takes: then it hangs, and the test ends with what its log says."""

FOREIGN: Final = (
    *("RINGPROOF_", "PLIVO_", "REDIS_", "CELERY_", "DJANGO_"),
    *("PYTHONWARNINGS", "PYTHONDEVMODE", "COV_CORE_", "COVERAGE_"),
)
"""The variables of the developer and of the program under test, and what has a Python be strict or watched."""

END_SECONDS: Final = 5.0
"""How long it may take to end by itself. It takes 50 ms."""

LOG: Final = "worker.log"
LOG_TAIL: Final = 3000

_BEGIN: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); import ringproof, worker, tasks; del sys.path[0]; "
    "from ringproof.testing.process import main; main()"
)
"""The program under test may have modules `worker` and `tasks` of its own, on PYTHONPATH, too."""


class Installation:
    """Redis, the sandbox and a worker, for all tests of this process. Thread-safe.

    installation = Installation().start()
    with installation.used():  # for one test
        installation.ask("inbox", number="+14155550123")
    installation.stop()
    """

    _process: "subprocess.Popen[bytes]"
    _folder: Path
    _environment: Environment
    sandbox_url: str

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def start(self) -> Self:
        """Start it. Raises `NotInstalled` or `InstallationFailed`, also if this machine has no Redis."""
        for package in NEEDED:
            if find_spec(package) is None:
                raise NotInstalled(package)
        self._folder = Path(tempfile.mkdtemp(prefix="ringproof-testing-"))
        with (self._folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-P", "-c", _BEGIN, str(Path(ringproof.__file__).parents[1])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=_without_settings(os.environ),
                start_new_session=True,  # Ctrl-C is for pytest, which ends this process in order
            )
        self._read = b""
        try:
            ready = self._answer(START_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.sandbox_url = ready["sandbox_url"]
        self._environment = Environment(ready["variables"], ready["lua_clock"])
        return self

    def stop(self) -> None:
        """End the process and all that it has started, and remove its files. A second call does nothing."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()  # the end of its input ends it
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have this process use the installation, for one test; forget all that the test has done at its end.

        Starts it again if it was killed. Raises what `start` raises then.
        """
        if self._process.poll() is not None:
            self.stop()
            self.start()
        with self._environment.used():
            keep_events()
            try:
                yield
            finally:
                self._environment.forget()
                self.ask("clean")

    def perform(self, what: str, **arguments: Any) -> Any:
        """Have the worker do something and end all its work; then call the program's handlers. Returns its answer.

        Raises `StillAtWork` after 20 seconds, what `ask` raises, and what a handler raises.
        """
        answer = self.ask(what, **arguments)
        if answer["doing"]:
            raise StillAtWork(answer["seconds"], answer["doing"])
        call_handlers()
        return answer

    def change_settings(self, variables: Mapping[str, str]) -> None:
        """Change limits for the rest of the test. Raises as `Environment.change` does."""
        self._environment.change(variables)

    def ask(self, what: str, **arguments: Any) -> Any:
        """Have the process do something, and return its answer.

        Raises `InvalidRequest` for a wrong argument, and `InstallationFailed` if it has ended or does not answer.
        """
        with self._lock:
            try:
                os.write(self._pipe(), json.dumps([what, arguments]).encode() + b"\n")
            except OSError:
                raise self._failed("the process of the fixture ringproof has ended") from None
            return self._answer(ANSWER_SECONDS)

    def _pipe(self) -> int:
        assert self._process.stdin is not None  # noqa: S101  # start has made it
        return self._process.stdin.fileno()

    def _answer(self, within: float) -> Any:
        assert self._process.stdout is not None  # noqa: S101  # start has made it
        output = self._process.stdout.fileno()
        while b"\n" not in self._read:
            if not select.select([output], [], [], within)[0]:
                raise self._failed(f"the process of the fixture ringproof did not answer within {within:.0f} s")
            piece = os.read(output, 65_536)
            if not piece:
                raise self._failed("the process of the fixture ringproof has ended")
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        answer = json.loads(line)
        if "invalid" in answer:
            raise InvalidRequest(*answer["invalid"])
        if "failed" in answer:
            raise self._failed(answer["failed"])
        return answer["done"]

    def _failed(self, cause: str) -> InstallationFailed:
        with suppress(OSError):
            return InstallationFailed(cause, (self._folder / LOG).read_text(errors="replace")[-LOG_TAIL:])
        return InstallationFailed(cause, "")


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without all that leads to a real Redis or to the real Plivo. The process sets its own."""
    return {name: value for name, value in environ.items() if not name.startswith(FOREIGN)}

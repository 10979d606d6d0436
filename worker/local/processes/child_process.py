"""A process beside this one, with its output in a file. It ends with this one, however that ends (see `watchdog`)."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Self

from worker.local.processes.errors import LocalProcessError

START_SECONDS = 30.0
POLL_SECONDS = 0.05
LOG_TAIL = 2000


class ChildProcessFailed(LocalProcessError):
    """The process did not start or has ended. `log` has the last lines that it wrote."""

    def __init__(self, cause: str, log: str) -> None:
        super().__init__(cause, log)
        self.cause, self.log = cause, log

    def _text(self) -> str:
        return f"{self.cause}; its last lines:\n{self.log}"


class ChildProcess:
    """Run `python -m ARGUMENTS…` in `folder`, and write its output to `NAME.log` there.

    `stop` ends it and removes the folder. If this process is killed, the watchdog does the same. `pid` is its process
    id.

        worker = ChildProcess("worker", ["celery", "-A", "worker", "worker"], folder).until_logged(" ready.")
        worker.kill()  # as a crash would
        worker.start()  # with the same log
    """

    def __init__(self, name: str, arguments: list[str], folder: Path) -> None:
        self.name, self._arguments, self._folder = name, arguments, folder
        self._log_file = folder / f"{name}.log"
        self.start()

    def start(self) -> None:
        """Start the process, which must have ended. Raises `ChildProcessFailed` if it cannot be launched."""
        watchdog = [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py"))]
        with self._log_file.open("ab") as log:
            self._watchdog = subprocess.Popen(
                [*watchdog, str(os.getpid()), str(self._folder), sys.executable, "-m", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        with self._watchdog.stdout or nullcontext() as output:
            line = output.readline() if output else b""
        if not line:
            raise self.failed(f"the {self.name} could not be launched")
        self.pid = int(line)

    def kill(self) -> None:
        """SIGKILL the process, as a crash would, and wait for its end."""
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(self.pid, signal.SIGKILL)
        self._watchdog.wait()

    @property
    def log(self) -> str:
        """The text that the process has written so far."""
        return self._log_file.read_text(errors="replace")

    def until_logged(self, text: str) -> Self:
        """Wait until its log has `text`. Raises `ChildProcessFailed` if it ends first, or takes over 30 seconds."""
        deadline = time.monotonic() + START_SECONDS
        while text not in self.log:
            self.check()
            if time.monotonic() > deadline:
                raise self.failed(f"the {self.name} did not start in {START_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)
        return self

    def check(self) -> None:
        """Raise `ChildProcessFailed` if the process has ended."""
        if self._watchdog.poll() is not None:
            raise self.failed(f"the {self.name} has ended")

    def failed(self, cause: str) -> ChildProcessFailed:
        """Return an error with this cause and the end of the log, for the caller to raise."""
        return ChildProcessFailed(cause, self.log[-LOG_TAIL:])

    def stop(self) -> None:
        """Kill the process. Nothing that it does is needed after this process, so it gets no time to finish."""
        self._watchdog.terminate()
        self._watchdog.wait()

"""Start a process whose output goes to a file, and which ends when this one does, for any reason (`watchdog`)."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from ringproof.errors import RingproofError

START_SECONDS = 30.0
LOOK_SECONDS = 0.05
LOG_TAIL = 2000


class ChildProcessFailed(RingproofError):
    """The child process did not start, or has ended. `log` is the end of its output."""

    def __init__(self, what: str, log: str) -> None:
        super().__init__(what, log)
        self.what, self.log = what, log

    def __str__(self) -> str:
        return f"{self.what}; its last lines:\n{self.log}"


class ChildProcess:
    """`python -m ARGUMENTS…`, run in `folder`, which `stop` removes and, if this process is killed, its watchdog."""

    def __init__(self, name: str, arguments: list[str], folder: Path) -> None:
        self.name, self._log_file = name, folder / f"{name}.log"
        watchdog = [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py"))]
        with self._log_file.open("ab") as log:
            self._watchdog = subprocess.Popen(
                [*watchdog, str(os.getpid()), str(folder), sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """The child's output so far."""
        return self._log_file.read_text(errors="replace")

    def until_logged(self, text: str) -> Self:
        """Return when the child's log has `text`. Raises `ChildProcessFailed` if it ends first or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while text not in self.log:
            self.check()
            if time.monotonic() > deadline:
                raise self.failed(f"the {self.name} did not start in {START_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)
        return self

    def check(self) -> None:
        """Raise `ChildProcessFailed` if the child has ended."""
        if self._watchdog.poll() is not None:
            raise self.failed(f"the {self.name} has ended")

    def failed(self, what: str) -> ChildProcessFailed:
        """Return the error for this failure of the child, with the end of its log."""
        return ChildProcessFailed(what, self.log[-LOG_TAIL:])

    def stop(self) -> None:
        """Kill the child at once: nothing that it does is needed after this process."""
        self._watchdog.terminate()
        self._watchdog.wait()

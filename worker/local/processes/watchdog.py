"""Keep a command alive no longer than the process that asked for it, whatever kills that one.

    python -I -S watchdog.py PARENT_PID RUBBISH COMMAND [ARGUMENT …]

It starts COMMAND, writes its process id as one line and ends when the command does. Once PARENT_PID is no
longer its parent, or on a SIGTERM, it kills the command and removes the directory RUBBISH (empty: none).

It asks for its parent's id again and again, because nothing else tells in every case. A pipe's end stays open
in any process that the parent has forked. `PR_SET_PDEATHSIG` fires when the *thread* that forked ends, and is
Linux' alone. An exit handler does not run on SIGKILL. A process's parent changes when that one is gone, on
every POSIX system, and no other can be mistaken for it. It must be started in a session of its own: then
neither Ctrl-C nor a kill of the parent's process group reaches it. It uses the standard library alone and is
run by its path.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from types import FrameType

# What a command may outlive its parent by. Looking costs two system calls.
LOOK_SECONDS = 0.05


def watch(parent: int, rubbish: str, command: list[str]) -> None:
    """Run `command` until it ends, this process is told to, or `parent` is gone."""
    told = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        told = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        os.write(1, f"{child.pid}\n".encode())
        os.close(1)
        while not told and os.getppid() == parent:
            if child.poll() is not None:
                return
            time.sleep(LOOK_SECONDS)
    finally:
        child.kill()
        child.wait()
        # What the command had started is in this session, too: a Celery worker's own beat, for one.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    if rubbish:
        shutil.rmtree(rubbish, ignore_errors=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])

"""The limiters that one can have today, in workers of limited.py; what they need is installed aside, in a cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from celery import Celery
from support.harness import Process, fresh_number

HERE = Path(__file__).parent
CONSTRAINTS, REQUIREMENTS = HERE.parents[1] / "constraints.txt", HERE / "peers.txt"
PINNED = ", ".join(line.replace("==", " ") for line in REQUIREMENTS.read_text().splitlines()[1:3])
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringproof" / "bench-pace"

WORKERS, CHILDREN = 4, 10


class Peer:
    """One of them: four workers with Celery's own pool, without a ledger; `installed`: it is what peers.txt is for."""

    def __init__(self, name, limiter, *, children=CHILDREN, installed=False):
        self.name, self.limiter, self.children, self.installed = name, limiter, children, installed

    def start(self, world, rate):
        """Start its workers, and return when all are ready."""
        environ = world.environ(
            PYTHONPATH=f"{HERE}{os.pathsep}{CACHE}",
            LIMITER=self.limiter,
            LIMIT=str(rate.number),
            WINDOW_SECONDS=str(int(rate.window_seconds)),
            WORKERS=str(WORKERS),
        )
        command = [sys.executable, "-m", "celery", "-A", "limited", "worker", "-l", "INFO", "-c", str(self.children)]
        command += ["--without-gossip", "--without-mingle"]
        workers = []
        for nth in range(WORKERS):
            log = world.folder / f"{self.limiter}-{nth}.log"
            worker = Process([*command, "-n", f"{nth}@%h"], log, environ, world.folder)
            world.callback(worker.kill)
            workers.append(worker)
        for worker in workers:
            worker.until_logged(" ready.")

    def enqueue(self, world, count):
        """Send so many messages."""
        with Celery("producer", broker=world.redis.url, set_as_current=False) as producer:
            for _ in range(count):
                producer.send_task("limited.verify", [fresh_number()], ignore_result=True)


PEERS = (
    # Celery's event loop sleeps for a second when ten timers were due at once; with one child that never happens.
    Peer("Celery's `rate_limit`, a quarter of the limit in each worker, of one child", "rate_limit", children=1),
    Peer("the same, of ten children", "rate_limit"),
    Peer("`limits`: moving window, sleeping until its reset", "limits", installed=True),
    Peer("throttled-py: GCRA, waiting, burst 1", "throttled-1", installed=True),
    Peer("throttled-py: GCRA, waiting, its own burst (the limit)", "throttled", installed=True),
    Peer("no limiter: each 429 is tried again after `Retry-After`", "none"),
)


def install():
    """Install what the peers need, the first time; if that fails, say why, and return False."""
    wanted = f"{sys.version}\n{CONSTRAINTS.read_text()}{REQUIREMENTS.read_text()}"
    installed = CACHE / "installed.txt"
    if installed.exists() and installed.read_text() == wanted:
        return True
    print(f"installing {PINNED} and what they need into {CACHE}", flush=True)
    shutil.rmtree(CACHE, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", CACHE]
    command += ["--timeout", "10", "--retries", "1", "-c", CONSTRAINTS, "-r", REQUIREMENTS]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        print(
            f"left out, as they could not be installed: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}",
            flush=True,
        )
        return False
    installed.write_text(wanted)
    return True

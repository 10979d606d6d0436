"""Ringproof as a system that side_by_side.py compares: the processes of the Procfile, with the pace out of reach.

The comparison's own interpreter loads this file. So it imports nothing of the project, and RINGPROOF_VENV names the
environment that has the project installed.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import ClassVar

from adapter import Adapter

sys.path.append(str(Path(__file__).parent))

import procfile

PYTHON = str(Path(os.environ["RINGPROOF_VENV"]) / "bin" / "python")
CELERY = str(Path(__file__).with_name("without_first_question.py"))
PREFIX, BATCH = "ringproof", "bench"

ENVIRON = {
    "PLIVO_AUTH_ID": "MAXXXXXXXXXXXXXXXXXX",
    "PLIVO_AUTH_TOKEN": "a-token",
    "RINGPROOF_RATE": "10000/0.1s",
    "RINGPROOF_CALL_RATE": "10000/0.1s",
    "RINGPROOF_RANGE_CODES_PER_HOUR": "0",
    "RINGPROOF_COUNTRY_CODES_PER_HOUR": "0",
}

PRODUCER = f"""
import os
os.environ["RINGPROOF_REDIS_URL"] = "{{redis}}"
import redis
from tasks import import_roster, initiate_verification
records = redis.Redis.from_url("{{redis}}")
def enqueue_all(phones): import_roster(phones, batch="{BATCH}")
def enqueue(phone): initiate_verification.delay(phone)
def ready(phone): return records.hget("{PREFIX}:number:" + phone, "verification_uuid") is not None
"""


def shell(command):
    """A line of the Procfile, with the stub as Plivo: only the worker's environment has its address."""
    program = shlex.join([PYTHON, CELERY, *command[1:]])
    urls = "RINGPROOF_REDIS_URL={redis} PLIVO_BASE_URL=${{BENCH_STUB%%/Account*}}"
    return f"sh -c {shlex.quote(f'export {urls}; exec {program}')}"


class Ringproof(Adapter):
    """A roster for the throughput, and `.delay` for the latency, by the same processes."""

    name = "ringproof"
    workers: ClassVar = [shell(command) for command in procfile.commands().values()]
    python = PYTHON
    enqueue = PRODUCER
    env = ENVIRON

    def done(self, queue, results):  # noqa: ARG002  # the harness gives both databases
        """The rows of the roster that have got a code."""
        counts = queue.hgetall(f"{PREFIX}:batch:{BATCH}:counts")
        return sum(int(count) for name, count in counts.items() if name.split(b":", 1)[1].startswith(b"code_sent"))

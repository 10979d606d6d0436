"""A program whose Redis is away: no result that it holds blocks it longer than a call may, nor does its end."""

import json
import os
import subprocess
import sys

import pytest

from worker.local.processes.redis_server import RedisServer

BOUND = 15.0
"""Seconds, on a busy machine. A call waits 3 s for a Redis that hangs; Celery's own methods blocked for 19 and 82 s."""

PROGRAM = """
import gc, json, os, signal, sys, threading, time
from celery.result import GroupResult, ResultSet
from ringproof import confirm_verification, initiate_verification
from ringproof.celery.app import app

def confirmation():
    return confirm_verification.delay("+14155550123", "0123")

def results():
    return ResultSet([confirmation(), initiate_verification.delay("+14155550123")], app=app)

def delete(held):
    held.clear()
    gc.collect()

calls = {
    "get": lambda held=confirmation(): held.get(timeout=1),
    "state": lambda held=confirmation(): held.state,
    "then": lambda held=confirmation(): held.then(print) and None,
    "forget": lambda held=confirmation(): held.forget(),
    "revoke": lambda held=confirmation(): held.revoke(),
    "delete": lambda held=[confirmation()]: delete(held),
    "set.get": lambda held=results(): held.get(timeout=1),
    "set.join_native": lambda held=results(): held.join_native(timeout=1),
    "set.iterate": lambda held=results(): list(held.iter_native(timeout=1)),
    "set.ready": lambda held=results(): held.ready(),
    "set.forget": lambda held=results(): held.forget(),
    "group.save": lambda held=GroupResult("g", [confirmation()], app=app): held.save(),
    "group.restore": lambda: GroupResult.restore("g", app=app),
}
kept = [confirmation(), results()]  # until the interpreter ends
os.kill(int(sys.argv[1]), getattr(signal, sys.argv[2]))
took = {}

def run(name, call):
    began = time.monotonic()
    try:
        outcome = call() and "a value"
    except BaseException as error:
        outcome = type(error).__name__
    took[name] = (time.monotonic() - began, outcome)

threads = [threading.Thread(target=run, args=one, daemon=True) for one in calls.items()]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(float(sys.argv[3]))
print(json.dumps({name: took.get(name) for name in calls}))
"""


@pytest.mark.parametrize("away", ["SIGKILL", "SIGSTOP"])
def test_results_and_the_end_of_a_program_do_not_block(away, tmp_path):
    with RedisServer() as server:
        command = [sys.executable, "-c", PROGRAM, str(server.pid), away, str(BOUND)]
        program = subprocess.run(
            command,
            env=os.environ | {"RINGPROOF_REDIS_URL": server.url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=4 * BOUND,
            check=False,
        )
        if away == "SIGSTOP":
            server.thaw()

    assert (program.returncode, program.stderr) == (0, "")
    took = json.loads(program.stdout)
    assert [name for name, one in took.items() if one is None or one[0] > BOUND] == []
    outcomes = {name: outcome for name, (_, outcome) in took.items()}
    assert (outcomes.pop("then"), outcomes.pop("delete")) == (None, None)
    assert set(outcomes.values()) <= {"LedgerUnavailable", "TimeoutError"}

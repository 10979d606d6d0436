"""Thirty accounts at work at once get the same share, each keeps its own pace, and an idle one costs nothing."""

import time
from contextlib import suppress
from itertools import count

import psutil
import pytest
import redis
from support.accounts import Installation
from support.harness import LONG, eventually

MANY = 30
NAMES = tuple(f"tenant-{nth}" for nth in range(MANY))
IDLE = "idle"
RATE = "5/5s"
CODES = 15 if LONG else 8
"""So many codes of one account are waited for: at RATE, as many seconds."""

NUMBERS = count(4_000_000)


def numbers(many):
    return [f"+1415{next(NUMBERS)}" for _ in range(many)]


def jain(shares):
    """Jain's index of fairness: 1.0 if all shares are alike, 1/n if one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    names = (*NAMES, IDLE)
    fields = {name: {"rate": RATE} for name in names}
    with Installation(tmp_path_factory.mktemp("fair"), accounts=names, fields=fields) as installation:
        for name in NAMES:
            installation.plivos.open_account(installation.auth_ids[name], installation.tokens[name], limit=6)
        yield installation


def commands_about(world, text, seconds):
    """Return the commands with this text that Redis gets in so many seconds."""
    found = []
    with world.client.monitor() as monitor:
        monitor.connection._sock.settimeout(1.0)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(TimeoutError, redis.TimeoutError):  # nothing came for a second
                found += [command for command in [monitor.next_command()["command"]] if text in command]
    return found


def test_an_idle_account_costs_no_command_and_no_thread(world):
    eventually(lambda: not world.client.zcard("ringproof:accounts"), within=60, why="somebody is visited still")
    processes = [psutil.Process(pid) for worker in world.workers for pid in worker.children()]
    threads = {process.pid: process.num_threads() for process in processes}

    assert commands_about(world, "{ringproof:", 5) == []
    assert max(threads.values()) < 20, "no thread for any of the accounts"


@pytest.mark.long  # it judges a pace, on a machine that other tests keep busy
def test_thirty_accounts_at_work_get_the_same_share_and_keep_their_pace(world):
    for name in NAMES:
        world.call("import", numbers(60), "all", account=name)
    for name in NAMES:
        eventually(lambda name=name: world.plivos.counts(world.auth_ids[name])["sends"] > 1, why=f"{name} waits")
    before, began = world.plivos.tell(), time.monotonic()

    def shares_by_now():
        now, own = world.plivos.tell(), [world.auth_ids[name] for name in NAMES]
        found = [now[auth_id]["sends"] - before[auth_id]["sends"] for auth_id in own]
        return max(found) >= CODES and found

    shares = eventually(shares_by_now)
    took = time.monotonic() - began
    print(f"Jain {jain(shares):.4f}, of the pace {sum(shares) / MANY / took:.3f}")

    assert jain(shares) >= 0.95
    assert sum(shares) / MANY / took >= 0.6  # of one code a second, on a machine that may be busy
    assert all(world.plivos.counts(world.auth_ids[name])["refused_429"] == 0 for name in NAMES)

"""How far one installation reaches: a thousand simulated accounts, a hundred of them at work at once.

`python tests/benchmarks/accounts.py [SERVERS …]` prints a line of the table of docs/operating/measured.md for each
number of Redis servers. The rates are low, so that one machine lasts for everything: Plivo, Redis, workers, program.
"""

import contextlib
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.accounts import Installation
from support.harness import eventually

from worker.local.processes.redis_server import RedisServer

NAMED, AT_WORK = 1000, 100
RATE, PER_SECOND = "1/5s", 0.2
SECONDS = 30.0
NUMBERS = count(5_000_000)


def jain(shares):
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def pss(processes):
    return sum(one.memory_full_info().pss for one in processes) / 1e6


def measure(servers):
    names = tuple(f"tenant-{nth}" for nth in range(NAMED))
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(RedisServer()).url for _ in range(servers - 1)]
        fields = {name: {"rate": RATE} for name in names}
        for nth, name in enumerate(names):
            if nth % servers:
                fields[name]["ledger"] = urls[nth % servers - 1]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        world = stack.enter_context(Installation(folder, accounts=names, fields=fields))
        at_work = names[:AT_WORK]
        for name in at_work:
            numbers = [f"+1415{next(NUMBERS)}" for _ in range(40)]
            world.call("import", numbers, "all", account=name)
        eventually(
            lambda: all(world.plivos.tell()[world.auth_ids[name]]["sends"] for name in at_work), within=120, why="waits"
        )
        own = [psutil.Process(worker.popen.pid) for worker in world.workers]
        processes = own + [child for one in own for child in one.children(recursive=True)]
        redis_cpu = world.client.info("cpu")
        cpu = sum(sum(one.cpu_times()[:2]) for one in processes)
        before, began = world.plivos.tell(), time.monotonic()
        time.sleep(SECONDS)
        after, took = world.plivos.tell(), time.monotonic() - began
        cpu = (sum(sum(one.cpu_times()[:2]) for one in processes) - cpu) / took
        now = world.client.info("cpu")
        used = sum(now[one] - redis_cpu[one] for one in ("used_cpu_user", "used_cpu_sys")) / took
        shares = [after[world.auth_ids[one]]["sends"] - before[world.auth_ids[one]]["sends"] for one in at_work]
        refused = sum(after[world.auth_ids[one]]["refused_429"] for one in at_work)
        memory = world.client.info("memory")["used_memory"] / 1e6
        print(
            f"| {servers} | {NAMED} | {AT_WORK} | {sum(shares) / took:.1f} | "
            f"{sum(shares) / AT_WORK / took / PER_SECOND:.0%} | {jain(shares):.3f} | {pss(processes):.0f} MB | "
            f"{cpu:.0%} | {used:.0%} | {memory:.1f} MB | refused {refused}, load {psutil.getloadavg()[0]:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    for servers in map(int, sys.argv[1:] or ["1", "4"]):
        measure(servers)

"""What the processes of the Procfile take: memory, connections, Redis, and the machine when nothing happens.

Exactly the Procfile's processes send a roster and persons' requests, half and half, so that each of them has done its
work. They run from an installation without extras, as a deployment has it: redis-py loads OpenTelemetry wherever the
tests' own has it. `make bench-footprint` takes two minutes and writes its table into RESULTS.md. The exit is 1 if a
goal was missed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "faults"), str(HERE)]

from bulk import import_roster, written  # noqa: E402
from host import Host  # noqa: E402
from storm import PRODUCTION  # noqa: E402
from support.harness import eventually  # noqa: E402
from table import RESULTS, Tables, measured_with  # noqa: E402
from workload import leaving_nothing  # noqa: E402
from world import World  # noqa: E402

from ringproof.ledger.record import Lane  # noqa: E402

ROWS, PERSONS = 160, 150
"""Of the rows some are bad or doubled: 300 numbers are sent, a few more or less."""

BULK_ROWS = 2000
"""For what a number takes of Redis."""

CALM_SECONDS, IDLE_SECONDS = 5.0, 20.0

MOST = {
    "processes": 8,
    "pss": 220,
    "connections": 20,
    "idle_cpu": 0.7,
    "idle_commands": 60,
    "redis_us": 120,
    "aof": 2000,
}
"""The goals: MB, percent of a core, commands a second, microseconds and bytes a number."""


def pss_mb(pid):
    """A process's memory, with its share of what it shares, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def cpu_seconds(processes):
    """The CPU time of all of them, also of children that have ended."""
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def redis_state(client):
    """What Redis has done: its CPU in seconds, its commands, and the size of its AOF in bytes."""
    cpu, stats, kept = client.info("cpu"), client.info("stats"), client.info("persistence")
    used = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
    return used, stats["total_commands_processed"], kept["aof_current_size"]


def connections(client):
    """How many clients Redis has."""
    return len(client.client_list())


def send(world, rows, persons, seed):
    """Send a roster and persons' numbers; return how many numbers got a code."""
    first = world.plivo.counts()["next"]
    import_roster(world.environ(), world.folder, written(world.folder, rows, seed=seed), "--batch", f"roster-{seed}")
    world.enqueue(persons, Lane.INTERACTIVE)
    sent = 0

    def no_more():
        nonlocal sent
        before, sent = sent, world.plivo.counts()["next"] - first
        if sent != before:
            time.sleep(1)
        return sent == before and sent >= persons + rows * 0.8

    eventually(no_more)
    return sent


def footprint(tables, python):
    """Measure all of it, and add the table. `python` is that of the installation."""
    tables.begin("The processes of the Procfile, on one host, with the pace out of reach:", "", "measured", "goal")
    with tempfile.TemporaryDirectory() as made, World(Path(made), durations=PRODUCTION) as world:
        world.enqueue(1)  # the benchmark's own connections
        own = connections(world.client)
        host = Host(world, python=python)
        sent = 1 + send(world, ROWS, PERSONS, seed=5)
        host.assert_alive()
        memory(tables, host, sent)
        row(tables, "connections to Redis", connections(world.client) - own, "", "connections")
        time.sleep(CALM_SECONDS)
        idle(tables, world.client, host.all_processes())
        in_redis(tables, world)
        host.assert_alive()


def memory(tables, host, sent):
    """Count the processes, and what they have allocated."""
    processes = host.all_processes()
    pss, rss = sum(pss_mb(one.pid) for one in processes), sum(one.memory_info().rss for one in processes) / 2**20
    row(tables, "processes", len(processes), "", "processes")
    row(tables, f"memory after {sent} codes, PSS", pss, " MB", "pss")
    tables.row("the same, RSS (what is shared counts in each process)", f"{rss:,.0f} MB", "")


def in_redis(tables, world):
    """Measure what a number of a roster takes of Redis, from its import until its code is sent."""
    before = redis_state(world.client)
    sent = send(world, BULK_ROWS, 0, seed=6)
    cpu, commands, aof = (b - a for a, b in zip(before, redis_state(world.client), strict=True))
    row(tables, f"{sent:,} rows of a roster: CPU of Redis a number", cpu / sent * 1e6, " µs", "redis_us")
    tables.row("the same: commands a number, with those in scripts", f"{commands / sent:,.0f}", "")
    row(tables, "the same: AOF a number", aof / sent, " B", "aof")


def idle(tables, client, processes):
    """Measure what is used when nothing happens."""
    began, cpu, (redis_cpu, commands, _) = time.monotonic(), cpu_seconds(processes), redis_state(client)
    time.sleep(IDLE_SECONDS)
    seconds = time.monotonic() - began
    cpu, (redis_cpu_after, commands_after, _) = cpu_seconds(processes) - cpu, redis_state(client)
    row(tables, f"idle for {IDLE_SECONDS:.0f} s: CPU of a core", cpu / seconds * 100, " %", "idle_cpu", digits=1)
    tables.row("idle: CPU of Redis", f"{(redis_cpu_after - redis_cpu) / seconds * 100:.1f} %", "")
    row(tables, "idle: Redis commands a second", (commands_after - commands) / seconds, "", "idle_commands")


def row(tables, what, value, unit, goal, *, digits=0):
    """Add a row whose value is to be no more than its goal."""
    most = MOST[goal]
    tables.row(what, f"{value:,.{digits}f}{unit}", f"{most:,}{unit}", **{goal: value <= most})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    parser.add_argument("--python", default=sys.executable, help="the Python of the installation to measure")
    options = parser.parse_args()
    tables = Tables()
    with leaving_nothing():
        footprint(tables, options.python)
    tables.end(measured_with(), "output: make bench-footprint", writes=not options.dry_run, page=RESULTS)


if __name__ == "__main__":
    main()

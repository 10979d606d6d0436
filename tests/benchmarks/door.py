"""The front door under load, beside a roster: `make bench-door`.

People ask for codes, their clients repeat each request, and they enter the codes: 200 requests a second for a minute.
All processes of the Procfile send to them and to a roster that takes the rest of the pace. All of it takes two minutes
and goes into docs/operating/measured.md; a short form does not. The exit is 1 if a goal was missed.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "faults"), str(HERE)]

import psutil  # noqa: E402
from arrivals import within  # noqa: E402
from bulk import import_roster, written  # noqa: E402
from host import Host  # noqa: E402
from support.front_door import FrontDoor  # noqa: E402
from support.harness import Process, eventually  # noqa: E402
from table import Tables, measured_with  # noqa: E402
from workload import judged, leaving_nothing, work  # noqa: E402

from ringproof.ledger.credentials import issue  # noqa: E402
from ringproof.ledger.record import State  # noqa: E402
from ringproof.policy import Rate  # noqa: E402

RATE = Rate.parse("240/1s")
"""Room for the people, whose codes and confirmations take 134 slots of a second, and for a roster beside them."""

REQUESTS_A_SECOND = 200
API_MS = 50
GOAL_MS = 300 + API_MS
"""Of 99 % of the answers: 300 ms beyond what Plivo itself takes."""

KINDS = ("initiate", "initiate again", "complete")
PATIENCE_SECONDS = 120.0


def load(tables, seconds):
    """Run the people beside the roster, and judge the answers, the ledger and Plivo's own list."""
    with judged(RATE, latency_ms=API_MS) as world:
        host = Host(world)
        door = FrontDoor(world.folder / "door.log", world.environ(), world.folder, issue(world.ledger, "bench"))
        world.callback(door.kill)
        import_roster(world.environ(), world.folder, written(world.folder, int(RATE.number * (seconds + 30)), seed=6))
        work(world, "the roster begins", seconds=10, until=lambda counts: counts["next"] > 0)
        before, begun = world.plivo.counts()["next"], time.monotonic()
        process = psutil.Process(door.popen.pid)
        busy = sum(process.cpu_times()[:2])
        people = people_of(world, door, seconds)
        took = time.monotonic() - begun
        busy = (sum(process.cpu_times()[:2]) - busy) / took
        memory = process.memory_info().rss / 1e6
        host.assert_alive()
        answers = [json.loads(line) for line in people.log.splitlines()]
        numbers = {answer[-1] for answer in answers}
        records = {number: world.ledger.read(number) for number in numbers}
        sends = Counter(send["phone_number"] for send in world.plivo.sends())
        roster = sends.total() - before - len(numbers)
    judge(tables, answers, took)
    lost = [number for number, record in records.items() if record is None or record.state is not State.VERIFIED]
    tables.row("numbers of people, and of them not verified", f"{len(numbers):,}, {len(lost)}", "0", none_lost=not lost)
    twice = max(sends.values())
    tables.row("most codes to one number", str(twice), "1", one_code=twice == 1)
    tables.row("codes to the roster meanwhile", f"{roster / took:.0f} a second", "")
    tables.row("the door's process", f"{busy:.0%} of a core, {memory:.0f} MB", "")


def people_of(world, door, seconds):
    """Run the people's process to its end."""
    arguments = [door.url, door.auth_id, door.token, world.plivo.root, str(REQUESTS_A_SECOND), str(seconds)]
    command = [sys.executable, str(HERE / "door_load.py"), *arguments]
    people = Process(command, world.folder / "people.log", world.environ(), HERE)
    world.callback(people.kill)
    eventually(lambda: people.popen.poll() is not None, within=PATIENCE_SECONDS + seconds)
    assert people.popen.returncode == 0, people.log[-2000:]
    return people


def judge(tables, answers, took):
    """The answers of each kind: how fast, and with which status."""
    tables.begin(
        f"{len(answers):,} requests in {took:.0f} s beside a roster, at {RATE}, with a Plivo that takes {API_MS} ms:",
        "",
        "measured",
        "goal",
    )
    seconds, statuses = defaultdict(list), Counter()
    for what, reason, duration, status, _number in answers:
        seconds[what].append(duration)
        statuses[f"{status} {reason}".rstrip()] += 1
    for what in KINDS:
        median, most = (within(seconds[what], share) * 1000 for share in (50, 99))
        tables.row(
            f"{what}: 50 % and 99 % of the answers within",
            f"{median:.0f} ms, {most:.0f} ms",
            f"99 %: {GOAL_MS} ms",
            in_time=most <= GOAL_MS,
        )
    shown = ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items()))
    tables.row("statuses", shown, "200, 201", no_refusal=set(statuses) <= {"200", "201"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten seconds; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    tables, before = Tables(), os.getloadavg()[0]
    with leaving_nothing():
        load(tables, 10 if options.quick else 60)
    began = f"The machine's load was {before:.1f} before."
    writes = not (options.quick or options.dry_run)
    tables.end(f"{measured_with()} {began}", "output: make bench-door", writes=writes)


if __name__ == "__main__":
    main()

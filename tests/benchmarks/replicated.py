"""What it costs that a replica of Redis confirms each send first: `make bench-replicas`.

A host runs all processes of the Procfile, with no replica, with one beside Redis, and with one behind a proxy, where
each round trip takes its time. A roster takes the whole pace, and persons ask from the same host. All of it takes about
three minutes and goes into docs/operating/measured.md; a short form does not. The exit is 1 if a goal was missed.
"""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "faults"), str(HERE)]

from arrivals import within  # noqa: E402
from distance import RATE, ask, begin, judge, until_sent, used  # noqa: E402
from host import Host  # noqa: E402
from support.replicas import Replica  # noqa: E402
from table import Tables, measured_with, percent, tell  # noqa: E402
from workload import judged, leaving_nothing, work  # noqa: E402

REPLICAS = {"none": None, "one beside Redis": 0, "one 20 ms away and back": 20}
"""How far a replica is from Redis (ms), and None for none."""

LEAST_SHARE = 0.97
"""The goal of the share of the pace, with any of them."""


def measure(tables, name, round_trip, seconds, persons):
    with judged(RATE) as world, contextlib.ExitStack() as stack:
        if round_trip is not None:
            stack.enter_context(Replica(world.redis, round_trip))
        host = Host(world, RINGPROOF_REPLICAS="" if round_trip is None else "1")
        begin(world, seconds + persons + 60)
        start = time.monotonic()
        work(world, f"with a replica: {name}", seconds=seconds)
        asked, returned = ask(world, world.redis.url, persons)
        end = time.monotonic()
        sent = until_sent(world, asked)
        host.assert_alive()
        arrivals = judge(world)
        waits = world.client.info("commandstats").get("cmdstat_wait", {"calls": 0})["calls"]
    share = used(arrivals, start, end)
    tell(f"{name}: {share:.3f} of the pace, {waits} WAITs")
    tables.row(
        name,
        percent(share),
        percent(LEAST_SHARE),
        str(arrivals.refused),
        f"{within([sent[number] - at for number, at in asked.items() if number in sent], 50):.2f} s",
        f"{within(returned, 50) * 1000:.0f} ms",
        its_pace=share >= LEAST_SHARE,
        no_429=not arrivals.refused,
        waited=bool(waits) is (round_trip is not None),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short form, a minute and a half; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    seconds, persons = (6, 5) if options.quick else (20, 15)
    tables, load = Tables(), os.getloadavg()[0]
    tables.begin(
        f"One host with all processes of the Procfile, at {RATE}. {persons} persons ask from it beside a roster that "
        "takes the whole pace; from before `.delay` until Plivo has the request:",
        "replica",
        "share of the pace",
        "goal",
        "429s",
        "a person, median",
        "`.delay` itself, median",
    )
    with leaving_nothing():
        for name, round_trip in REPLICAS.items():
            measure(tables, name, round_trip, seconds, persons)
    began = f"The machine's load was {load:.1f} before, and {os.getloadavg()[0]:.1f} at the end."
    writes = not (options.quick or options.dry_run)
    tables.end(f"{measured_with()} {began}", "output: make bench-replicas", writes=writes)


if __name__ == "__main__":
    main()

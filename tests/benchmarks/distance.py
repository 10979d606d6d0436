"""How far Redis may be away: `make bench-distance`.

A host runs all processes of the Procfile, and a proxy stands between it and Redis, where each round trip takes its
time; the sandbox is near, and its own record of arrivals is the judge. A roster takes the whole pace, and persons ask
from the same host. Then a host is cut off, and another one goes on. All of it takes about five minutes and goes into
docs/operating/measured.md; a short form, or a part, does not. The exit is 1 if a goal was missed.
"""

import argparse
import math
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "faults"), str(HERE)]

from arrivals import Arrivals, within  # noqa: E402
from bulk import import_roster, written  # noqa: E402
from host import Host  # noqa: E402
from support.far_away import FarAway  # noqa: E402
from support.harness import Process, eventually  # noqa: E402
from table import Tables, measured_with, percent, tell  # noqa: E402
from workload import judged, leaving_nothing, pace, work  # noqa: E402

from ringproof.batches.feeding import batches_to_feed, rows_ahead  # noqa: E402
from ringproof.policy import Rate  # noqa: E402

RATE = Rate.parse("300/5s")
PACE = pace(RATE)

LEAST_SHARE = {0: 0.98, 5: 0.98, 40: 0.97, 100: 0.95}
"""The goals of the share of the pace, by the round trip in ms."""

PERSON_MEDIAN_SECONDS, PERSON_MOST_SECONDS = 0.6, 1.5
"""The goals of a person's wait, at any of these distances."""

WARM_SECONDS = 5.0
"""From the roster's first arrival on, for children that start, and for what is booked ahead."""

NEAR_MS = 5
"""The round trip of both hosts, before the cut."""

RECOVERY_SECONDS, LEAST_OF_THE_OTHER, LASTING_SECONDS = 2.0, 0.9, 5
"""So long after the cut the other host is to use so much of the pace."""

PEAK_SECONDS = 3.0
"""Of so many ticks the highest peak of what is fed ahead."""

START_SECONDS = 30.0
"""A roster that has not begun by then is measured all the same: far from Redis it may never begin."""

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Size:
    """The round trips in ms, how many persons ask at each, how long bulk runs alone, and how long a cut is watched."""

    round_trips: tuple[int, ...]
    persons: int
    alone_seconds: float
    watched_seconds: float


FULL = Size(round_trips=(0, 5, 40, 100), persons=30, alone_seconds=15, watched_seconds=30)
QUICK = Size(round_trips=(0, 40), persons=8, alone_seconds=6, watched_seconds=10)


@contextmanager
def far(world, round_trip_ms):
    """A network between a host and Redis; yields it, and Redis' URL at the host."""
    url = urlsplit(world.redis.url)
    with FarAway(url.port, round_trip_ms) as network:
        yield network, url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{network.port}").geturl()


def begin(world, seconds):
    """Import a roster that has work for so many seconds, and wait until it is well under way."""
    import_roster(world.environ(), world.folder, written(world.folder, int(seconds * PACE), seed=4))
    work(world, "first", seconds=START_SECONDS, until=lambda counts: counts["next"] > 0)
    work(world, "warm", seconds=WARM_SECONDS)


def judge(world):
    """Return the arrivals; fails if a number was sent to twice."""
    sends = Counter(send["phone_number"] for send in world.plivo.sends())
    assert max(sends.values(), default=1) == 1, "somebody was texted twice"
    return Arrivals(world.plivo.requests())


def used(arrivals, start, end):
    """The share of the pace in this stretch."""
    return arrivals.between(start, end)[0] / (end - start) / PACE


def distances(tables, size):
    """One host at each distance."""
    tables.begin(
        f"One host with all processes of the Procfile, at {RATE}. {size.persons} persons ask from it beside a roster "
        "that takes the whole pace; from before `.delay` until Plivo has the request:",
        "round trip to Redis",
        "share of the pace",
        "goal",
        "429s",
        "a person, median",
        "most",
        "`.delay` itself, median",
    )
    for round_trip in size.round_trips:
        distance(tables, size, round_trip)


def distance(tables, size, round_trip):
    with judged(RATE) as world, far(world, round_trip) as (_, far_url):
        url = far_url if round_trip else world.redis.url
        host = Host(world, RINGPROOF_REDIS_URL=url)
        begin(world, size.alone_seconds + size.persons + 60)
        start = time.monotonic()
        work(world, f"bulk at {round_trip} ms", seconds=size.alone_seconds)
        asked, returned = ask(world, url, size.persons)
        end = time.monotonic()
        sent = until_sent(world, asked)
        host.assert_alive()
        arrivals = judge(world)
    share, goal = used(arrivals, start, end), LEAST_SHARE[round_trip]
    waited = [sent.get(number, math.inf) - at for number, at in asked.items()]
    median, most = within(waited, 50), max(waited)
    tables.row(
        f"{round_trip} ms",
        percent(share),
        percent(goal),
        str(arrivals.refused),
        f"{median:.2f} s",
        f"{most:.2f} s",
        f"{within(returned, 50) * 1000:.0f} ms",
        its_pace=share >= goal,
        no_429=not arrivals.refused,
        person_median=median <= PERSON_MEDIAN_SECONDS,
        person_most=most <= PERSON_MOST_SECONDS,
    )


def ask(world, url, count):
    """Have so many persons ask; return when each did, and how many seconds each `.delay` took.

    One before them opens the web app's connections, and does not count.
    """
    log = world.folder / "persons.log"
    command = [sys.executable, str(HERE / "persons.py"), str(count + 1)]
    persons = Process(command, log, world.environ(RINGPROOF_REDIS_URL=url), HERE)
    world.callback(persons.kill)
    eventually(lambda: persons.popen.poll() is not None, within=PATIENCE_SECONDS + 2 * count)
    assert persons.popen.returncode == 0, persons.log
    lines = [line.split() for line in persons.log.splitlines()[1:]]
    return {number: float(at) for number, at, _ in lines}, [float(seconds) for *_, seconds in lines]


def until_sent(world, asked):
    """When Plivo had the request of each of these numbers; of those that it got before patience ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        sent = {send["phone_number"]: send["at"] for send in world.plivo.sends() if send["phone_number"] in asked}
        if len(sent) == len(asked) or time.monotonic() > deadline:
            return sent
        time.sleep(0.5)


def cut_off(tables, size):
    """A host is cut off with chunks in its hands, when another one has just begun to work."""
    tables.begin(
        f"A host at {NEAR_MS} ms sends a roster at {RATE}. It is cut off from Redis when it has most chunks in its "
        "hands, and a second host goes on; each has all processes of the Procfile:",
        "",
        "measured",
        "goal",
    )
    with judged(RATE) as world, far(world, NEAR_MS) as (cut, first), far(world, NEAR_MS) as (_, second):
        hosts = [Host(world, "cut", RINGPROOF_REDIS_URL=first)]
        begin(world, size.alone_seconds + size.watched_seconds + 60)
        start = time.monotonic()
        work(world, "the first", seconds=size.alone_seconds)
        alone = time.monotonic()
        hosts.append(Host(world, "other", RINGPROOF_REDIS_URL=second))
        held = when_most_is_ahead(world)
        at = time.monotonic()
        cut.cut()
        work(world, "the other", seconds=size.watched_seconds)
        for host in hosts:
            host.assert_alive()
        arrivals = judge(world)
    before = used(arrivals, start, alone)
    after = used(arrivals, at + RECOVERY_SECONDS, at + size.watched_seconds)
    tell("in each second after the cut: " + by_the_second(arrivals, at, size.watched_seconds))
    back = seconds_until_back(arrivals, at, size.watched_seconds)
    tables.row("rows that were fed and not begun, at the cut", str(held), "")
    tables.row(
        "share of the pace by the first", percent(before), percent(LEAST_SHARE[5]), its_pace=before >= LEAST_SHARE[5]
    )
    tables.row(
        f"by the other, from {RECOVERY_SECONDS:.0f} s to {size.watched_seconds:.0f} s after the cut",
        percent(after),
        percent(LEAST_OF_THE_OTHER),
        its_pace=after >= LEAST_OF_THE_OTHER,
    )
    tables.row(
        f"until the other uses {percent(LEAST_OF_THE_OTHER)}, and goes on to",
        f"not in {size.watched_seconds:.0f} s" if back is None else f"{back:.1f} s",
        f"{RECOVERY_SECONDS:.0f} s",
        in_time=back is not None and back <= RECOVERY_SECONDS,
    )
    tables.row("429s", str(arrivals.refused), "0", no_429=not arrivals.refused)


def when_most_is_ahead(world):
    """Wait for the moment in which the feeder has just fed; return how many rows are fed and not begun."""
    most, began = 0, time.monotonic()
    while (waited := time.monotonic() - began) < START_SECONDS:
        ahead = rows_ahead(batches_to_feed(world.ledger), "sms", with_paused=False)
        if waited > PEAK_SECONDS and ahead >= 0.95 * most:
            return ahead
        most = max(most, ahead)
        time.sleep(0.01)
    return ahead


def by_the_second(arrivals, start, seconds):
    """How many codes were sent in each second."""
    return " ".join(str(arrivals.between(start + nth, start + nth + 1)[0]) for nth in range(int(seconds)))


def seconds_until_back(arrivals, cut, seconds):
    """When the other has begun to use its share and never ceases to for five seconds; None if it never does."""
    for tenths in range(int(seconds * 10) - LASTING_SECONDS * 10 + 1):
        start = cut + tenths / 10
        if all(used(arrivals, start + nth, start + nth + 1) >= LEAST_OF_THE_OTHER for nth in range(LASTING_SECONDS)):
            return tenths / 10
    return None


PARTS = {part.__name__: part for part in (distances, cut_off)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short form of all, two minutes; writes nothing")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part, or several; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    tables, load = Tables(), os.getloadavg()[0]
    with leaving_nothing():
        for name in options.only or PARTS:
            PARTS[name](tables, QUICK if options.quick else FULL)
    began = f"The machine's load was {load:.1f} before, and {os.getloadavg()[0]:.1f} at the end."
    writes = not (options.quick or options.only or options.dry_run)
    tables.end(f"{measured_with()} {began}", "output: make bench-distance", writes=writes)


if __name__ == "__main__":
    main()

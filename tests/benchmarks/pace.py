"""How much of the pace is used, and never more than that, with the sandbox as the judge: `make bench-pace`.

Two hosts run the processes of the Procfile. Each request is 0 to 50 ms under way, and
then a strict sliding window judges it. All of it takes about a quarter of an hour and goes into
docs/operating/measured.md; a short form, or a part, does not. The exit is 1 if a goal was missed.
"""

import argparse
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "faults"), str(HERE)]

from arrivals import Arrivals, within  # noqa: E402
from checker import check  # noqa: E402
from peers import CHILDREN, PEERS, PINNED, WORKERS, install  # noqa: E402
from table import Tables, measured_with, percent, tell  # noqa: E402
from workload import UNDER_WAY_MS, Feed, Ours, Persons, judged, leaving_nothing, pace, work  # noqa: E402

from ringproof.ledger.record import Lane  # noqa: E402
from ringproof.policy import JITTER, Rate  # noqa: E402

DOCUMENTED, HUNDRED = Rate.parse("300/5s"), Rate.parse("100/1s")
SLOW, SLOWEST = Rate.parse("2/1s"), Rate.parse("1/2s")
SLOT_MS = 1000 / pace(DOCUMENTED)

LEAST_SHARE = 0.97
"""What the documentation promises of the pace."""

PATIENCE_SECONDS = 90.0
"""For a peer's 1,500 numbers, which at the limit take 15."""


@dataclass(frozen=True)
class Size:
    """How much is done of each; `storm` is the seconds before it, in it, after it, and then seen."""

    steady: tuple[tuple[Rate, int], ...]
    decay_seconds: int
    persons: int
    crowd_seconds: float
    storm: tuple[float, float, float, float]
    peers: int


FULL = Size(
    steady=((HUNDRED, 3000), (DOCUMENTED, 3000), (SLOW, 120), (SLOWEST, 60)),
    decay_seconds=300,
    persons=200,
    crowd_seconds=60,
    storm=(10, 10, 10, 30),
    peers=1500,
)
QUICK = Size(
    steady=((HUNDRED, 400), (DOCUMENTED, 450), (SLOW, 16), (SLOWEST, 6)),
    decay_seconds=25,
    persons=20,
    crowd_seconds=10,
    storm=(3, 4, 10, 5),
    peers=300,
)


def steady(tables, options):
    """How much of the pace bulk uses at each rate, and with --long for five minutes."""
    tables.begin(
        "Bulk alone:",
        "limit",
        "numbers",
        "seconds",
        "share of the pace",
        "429s",
        "most in one window",
        "calls of *begin* a number",
    )
    for rate, numbers in options.size.steady:
        run_steadily(tables, options, rate, numbers)
    if options.long:
        seconds = options.size.decay_seconds
        arrivals = run_steadily(tables, options, DOCUMENTED, int(seconds * pace(DOCUMENTED)))
        stretch = seconds / 5
        starts = (arrivals.taken[0], arrivals.taken[-1] - stretch)
        shares = [arrivals.between(start, start + stretch)[0] / stretch / pace(DOCUMENTED) for start in starts]
        shown = " and ".join(map(percent, shares))
        what = f"its first {stretch:.0f} s and its last"
        tables.row(what, "", "", shown, "", "", "", no_decay=min(shares) >= LEAST_SHARE)


def run_steadily(tables, options, rate, numbers):
    """Have so many numbers worked; see that each got one code, and add a row."""
    with judged(rate) as world:
        ours = Ours(world, rate, single=options.single)
        ours.start(hosts=2)
        patience = 60 + 2 * numbers / pace(rate)
        feed = Feed(ours, numbers=numbers)
        done = work(world, f"{rate}", feed, seconds=patience, until=lambda counts: counts["next"] >= numbers)
        assert done, f"{world.plivo.counts()} within {patience:.0f} s; the records are {world.states()}"
        world.until_settled()
        check(world)
        arrivals, begun = Arrivals(world.plivo.requests()), ours.begun()
    share = arrivals.per_second / pace(rate)
    tables.row(
        str(rate),
        f"{numbers:,}",
        f"{arrivals.seconds:.1f}",
        percent(share),
        str(arrivals.refused),
        f"{arrivals.most_in(float(rate.window_seconds))} of {rate.number}",
        f"{begun / len(arrivals.judged):.2f}",
        its_pace=share >= LEAST_SHARE,
        no_429=not arrivals.refused,
    )
    return arrivals


def lanes(tables, options):
    """A person beside bulk, bulk beside a crowd of persons, and bulk after a storm of 429s."""
    tables.begin(f"At {DOCUMENTED}, where a slot is {SLOT_MS:.1f} ms:", "", "measured", "goal")
    person_beside_bulk(tables, options)
    bulk_beside_a_crowd(tables, options)
    bulk_after_a_storm(tables, options)


@contextmanager
def busy(options):
    """A world in which bulk takes the whole pace, and began to a second ago; nobody is texted twice in it."""
    with judged(DOCUMENTED) as world:
        ours = Ours(world, DOCUMENTED, single=options.single)
        ours.start(hosts=2)
        bulk = Feed(ours)
        begun = work(world, "bulk", bulk, seconds=30, until=lambda counts: counts["next"] > pace(DOCUMENTED))
        assert begun, f"next to nothing was sent: {world.plivo.counts()}; the records are {world.states()}"
        yield world, ours, bulk
        numbers = [send["phone_number"] for send in world.plivo.sends()]
        assert len(numbers) == len(set(numbers)), "somebody was texted twice"


def person_beside_bulk(tables, options):
    count = options.size.persons
    with busy(options) as (world, ours, bulk):
        persons = Persons(ours, count)
        asked = work(world, "persons", bulk, persons, seconds=count, until=lambda _: not persons.left)
        assert asked, f"{persons.left} persons were not heard"
        work(world, "persons", bulk, seconds=5)
        waited = persons.waited_ms()
    for share, most in ((50, 2 * SLOT_MS + 50), (99, 4 * SLOT_MS + 100)):
        ms = within(waited, share)
        tables.row(
            f"a person beside bulk, from asking to Plivo: {share} % of {count} within",
            f"{ms:.0f} ms, {ms / SLOT_MS:.1f} slots",
            f"{most:.0f} ms",
            in_time=ms <= most,
        )


def bulk_beside_a_crowd(tables, options):
    with busy(options) as (world, ours, bulk):
        crowd = Feed(ours, Lane.INTERACTIVE)
        work(world, "crowd", bulk, crowd, seconds=5)  # what bulk had booked by then is sent
        began = time.time()
        work(world, "crowd", bulk, crowd, seconds=options.size.crowd_seconds)
        ended = time.time()
        sends = [send["phone_number"] for send in world.plivo.sends() if began <= send["at"] < ended]
        refused = world.plivo.counts()["refused_429"]
    share = sum(number in bulk.numbers for number in sends) / len(sends)
    used = len(sends) / (ended - began) / pace(DOCUMENTED)
    tables.row(
        "bulk beside more persons than there are slots",
        f"{percent(share)} of the codes ({percent(used)} of the pace in all, {refused} answers 429)",
        "10 to 15 %",
        a_tenth=round(share, 2) >= 0.1,
        persons_first=round(share, 2) <= 0.15,
        no_429=not refused,
    )


def bulk_after_a_storm(tables, options):
    before, storm, after, seen = options.size.storm
    with busy(options) as (world, _ours, bulk):
        work(world, "before the storm", bulk, seconds=before)
        began = time.monotonic()
        world.plivo.befall("429", share=0.3)
        work(world, "the storm", bulk, seconds=storm)
        world.plivo.spare()
        ended = time.monotonic()
        work(world, "after the storm", bulk, seconds=after + seen)
        arrivals = Arrivals(world.plivo.requests())
    tell("in the storm itself {} were taken and {} answered 429".format(*arrivals.between(began, ended)))
    taken, refused = arrivals.between(ended + after, ended + after + seen)
    share, again = taken / seen / pace(DOCUMENTED), refused / max(1, taken + refused)
    what = f"bulk for {seen:.0f} s, from {after:.0f} s after {storm:.0f} s in which 30 % were answered 429"
    tables.row(f"{what}: its share of the pace", percent(share), "95 %", its_pace=share >= 0.95)
    tables.row(f"{what}: answers 429", percent(again), "less than 1 %", hardly_a_429=again < 0.01)


def peers(tables, options):
    """The same numbers by the limiters that one can have today."""
    count, installed = options.size.peers, install()
    pinned = f" ({PINNED})" if installed else ""
    tables.begin(
        f"{count:,} numbers at {HUNDRED}, by a bare Celery task in {WORKERS} workers of {CHILDREN} children with "
        f"limiters of today{pinned}, and by Ringproof on two hosts. A 429 has a `Retry-After`:",
        "",
        "share of the limit",
        "429s",
        "seconds",
    )
    for peer in PEERS:
        if peer.installed and not installed:
            continue
        with judged(HUNDRED, retry_after=True) as world:
            peer.start(world, HUNDRED)
            peer.enqueue(world, count)
            peer_row(tables, world, peer.name, count)
    with judged(HUNDRED, retry_after=True) as world:
        ours = Ours(world, HUNDRED, single=options.single)
        ours.start(hosts=2)
        peer_row(tables, world, ours.name, count, Feed(ours, numbers=count))


def peer_row(tables, world, name, count, *feeds):
    work(world, name, *feeds, seconds=PATIENCE_SECONDS, until=lambda counts: counts["next"] >= count)
    arrivals = Arrivals(world.plivo.requests())
    got = len(arrivals.taken)
    seconds = f"{arrivals.seconds:.1f}" if got == count else f"{got:,} of them in {PATIENCE_SECONDS:.0f}"
    share = percent(arrivals.per_second / HUNDRED.number)
    tables.row(name, share, f"{arrivals.refused:,}", seconds)


PARTS = {part.__name__: part for part in (steady, lanes, peers)}


def about():
    """Say what was measured, and with what."""
    low, high = UNDER_WAY_MS
    return (
        f"Each request takes {low} to {high} ms to arrive, and then a strict window judges it. The pace leaves room "
        f"for that: N in W + {JITTER.total_seconds() * 1000:.0f} ms. Two hosts send. {measured_with()}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short form of all, some three minutes; writes nothing")
    parser.add_argument("--long", action="store_true", help="five minutes at 300/5s as well")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part, or several; writes nothing")
    parser.add_argument("--single", action="store_true", help="one message a number in place of chunks; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    options.size = QUICK if options.quick else FULL
    tables = Tables()
    with leaving_nothing():
        for name in options.only or PARTS:
            PARTS[name](tables, options)
    writes = not (options.quick or options.only or options.single or options.dry_run)
    tables.end(about(), "output: make bench-pace", writes=writes)


if __name__ == "__main__":
    main()

"""A roster of a million rows, and 20,000 sent as fast as the machine can: `make bench-bulk`.

Rosters are of real number plans, with 3 % bad rows and 5 % duplicates, and come in by the real command; workers are
those of the Procfile. All of it takes six minutes and goes into docs/operating/measured.md; a short form,
or a part, does not. The exit is 1 if a goal was missed.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "faults"), str(HERE)]

import psutil  # noqa: E402
import rosters  # noqa: E402
from arrivals import Arrivals, within  # noqa: E402
from checker import check  # noqa: E402
from reading import bare  # noqa: E402
from storm import PRODUCTION  # noqa: E402
from support.harness import Process, eventually, ledger_of  # noqa: E402
from table import Tables, measured_with, percent  # noqa: E402
from workload import Ours, judged, leaving_nothing, pace, work  # noqa: E402
from world import World  # noqa: E402

from ringproof.batches.model import BatchState  # noqa: E402
from ringproof.batches.summary import batch_summary, recount  # noqa: E402
from ringproof.policy import Rate  # noqa: E402
from ringproof.rosters.roster import open_roster  # noqa: E402
from ringproof.rosters.row import Row  # noqa: E402
from worker.local.processes.redis_server import RedisServer  # noqa: E402

BATCH = "roster"
NAMES = ("first", "second")
"""The batches of the million rows, one after the other: other work on the machine only ever slows."""

OUT_OF_REACH, DOCUMENTED = Rate.parse("10000/0.1s"), Rate.parse("300/5s")

READS = 200
"""How often `show` is read: its time in Redis is of them all."""

QUARTERS = (0.25, 0.5, 0.75, 1.0)
API_MS = 50
FLAT = 1.1
"""A process is flat if it has at the end no more than so many times what it had at the first quarter."""

KINDS = {"number": "the record", "agenda": "the agenda", "batch": "the batch"}
"""Ringproof's keys by their first word, as the table calls them."""


@dataclass(frozen=True)
class Size:
    """How many rows are imported, how many are sent, and how many persons ask beside bulk."""

    rows: int
    sent: int
    persons: int


FULL = Size(rows=1_000_000, sent=20_000, persons=240)
QUICK = Size(rows=50_000, sent=2000, persons=20)


def command(environ, folder, *arguments, exits=(0,)):
    """Run the real command; return how many seconds it took, and its peak memory in MB."""
    peak_file, ours = folder / "peak", [sys.executable, "-m", "worker", *arguments]
    with (folder / "command.log").open("ab") as log:
        peak = [sys.executable, str(HERE / "peak.py"), str(peak_file), *ours]
        done = subprocess.run(peak, stdout=log, stderr=log, env=environ, cwd=folder, check=False)
    assert done.returncode in exits, (folder / "command.log").read_text()
    seconds, megabytes = map(float, peak_file.read_text().split())
    return seconds, megabytes


def import_roster(environ, folder, file, *options):
    """Import a roster by the command; return how many seconds it took, and its peak memory in MB."""
    return command(environ, folder, "import", str(file), "--region", rosters.HOME, "--yes", *options)


def memory(client):
    """All that Redis has allocated, in bytes."""
    return client.info("memory")["used_memory"]


def million(tables, size):
    """Import a million rows, beside a bare loop over the same numbers; look at the batch."""
    tables.begin(
        f"{size.rows:,} rows by `ringproof import --paused`, which sends nothing. The command and a bare loop take "
        "turns, and the better of two runs counts:",
        "",
        "measured",
        "goal",
    )
    with tempfile.TemporaryDirectory() as made, RedisServer(has_config=True) as server:
        folder, environ = Path(made), os.environ | {"RINGPROOF_REDIS_URL": server.url}
        file = written(folder, size.rows, seed=1)
        with file.open(encoding="utf-8", newline="") as roster:
            numbers = [row["phone"] for row in csv.DictReader(roster)]
        with ledger_of(environ) as ledger:
            before = memory(ledger.client)
            loops, imports = [], []
            for name in NAMES:
                loops.append(timed(bare, numbers))
                imports.append(import_roster(environ, folder, file, "--paused", "--batch", name))
            pending = [batch_summary(ledger, name).rows for name in NAMES]
            each = (memory(ledger.client) - before) / sum(pending)
            seconds, peaks = zip(*imports, strict=True)
            rate, bare_rate = size.rows / min(seconds), size.rows / min(loops)
            tables.row("rows a second, the whole command", f"{rate:,.0f}", "20,000", fast=rate >= 20_000)
            tables.row(
                "of a bare loop of `parse` and `is_valid_number`",
                f"{rate / bare_rate:.2f} of {bare_rate:,.0f}",
                "0.4",
                ratio=rate / bare_rate >= 0.4,
            )
            rejected = size.rows - pending[0]
            tables.row("rows rejected", f"{rejected:,}, {percent(rejected / size.rows)}", "")
            tables.row("the importer's peak memory", f"{max(peaks):.0f} MB", "150 MB", in_memory=max(peaks) <= 150)
            tables.row("Redis, a pending row, all keys counted", f"{each:.1f} B", "80 B", in_redis=each <= 80)
            shown(tables, ledger, environ, folder)


def written(folder, count, seed):
    """Write a roster of so many rows; return where it is."""
    file = folder / f"{BATCH}.csv"
    rosters.write(file, count, seed)
    return file


def timed(deed, *arguments):
    """Do it; return how many seconds it took."""
    began = time.perf_counter()
    deed(*arguments)
    return time.perf_counter() - began


def shown(tables, ledger, environ, folder):
    """Read what `show` reads, again and again, and run it."""
    ledger.client.config_resetstat()
    waited = [timed(batch_summary, ledger, NAMES[0]) * 1000 for _ in range(READS)]
    command_stats = ledger.client.info("commandstats")
    own = sum(one["usec"] for name, one in command_stats.items() if "config" not in name and "info" not in name)
    in_redis = own / READS / 1000
    tables.row("`batch show`: time in Redis", f"{in_redis:.2f} ms", "10 ms", in_redis=in_redis <= 10)
    trips, most = statistics.median(waited), max(waited)
    tables.row(f"`batch show`: reading all of it, median and most of {READS}", f"{trips:.1f} and {most:.1f} ms", "")
    whole, _ = command(environ, folder, "batch", "show", NAMES[0], exits=(3,))
    tables.row("`batch show`: the whole command", f"{whole * 1000:.0f} ms", "")


def sent(tables, size):
    """Send a roster with the pace out of reach; count what was lost, doubled, and kept in Redis."""
    tables.begin(
        f"{size.sent:,} rows, sent by the Procfile's processes at {OUT_OF_REACH}, which they cannot reach:",
        "",
        "measured",
        "goal",
    )
    with tempfile.TemporaryDirectory() as made, World(Path(made), durations=PRODUCTION) as world:
        client = world.client
        client.script_flush()
        empty, connected = memory(client), connections(client)
        file = written(world.folder, size.sent, seed=2)
        numbers = accepted(file)
        [host] = Ours(world, OUT_OF_REACH).start(hosts=1)
        began = time.monotonic()
        import_roster(world.environ(), world.folder, file)
        distinct = len(set(numbers))
        grown = watch(world, host.processes, distinct)
        eventually(lambda: batch_summary(world.ledger, BATCH).state is BatchState.COMPLETED, within=30)
        seconds = time.monotonic() - began
        tables.row("codes a second", f"{Arrivals(world.plivo.requests()).per_second:,.0f}", "")
        tables.row("from the import's start until the batch was completed", f"{seconds:.0f} s", "")
        exact(tables, world, numbers)
        for name, megabytes in grown.items():
            tables.row(
                f"`{name}`: memory of its processes at 25, 50, 75 and 100 %",
                f"{', '.join(f'{one:.0f}' for one in megabytes)} MB",
                "flat",
                flat=megabytes[-1] <= megabytes[0] * FLAT,
            )
        running = memory(client)
        for process in host.processes.values():
            process.kill()
        eventually(lambda: connections(client) <= connected)
        client.script_flush()
        kept = memory(client)
        each = (kept - empty) / distinct
        tables.row("Redis, a finished number, all keys counted", f"{each:.0f} B", "800 B", in_redis=each <= 800)
        tables.row("of them", where_the_bytes_are(world, distinct), "")
        tables.row(
            "Redis, for the processes' connections and scripts, however many numbers",
            f"{(running - kept) / 1e6:.1f} MB",
            "",
        )


def connections(client):
    """How many clients Redis has."""
    return client.info("clients")["connected_clients"]


def accepted(file):
    """The numbers of the rows that are good, in their order."""
    with open_roster(file, region=rosters.HOME) as roster:
        return [outcome.number.e164 for outcome in roster if isinstance(outcome, Row)]


def watch(world, processes, count):
    """Follow the sends; return each worker's memory in MB, all of its processes together, at each quarter."""
    grown = {name: [] for name in processes}
    for quarter in QUARTERS:
        wanted = quarter * count
        done = work(
            world, "sent", seconds=count / 50 + 30, until=lambda counts, wanted=wanted: counts["next"] >= wanted
        )
        assert done, f"{quarter:.0%} of {count:,} were not sent: {world.plivo.counts()}"
        for name, process in processes.items():
            own = psutil.Process(process.popen.pid)
            grown[name].append(sum(one.memory_info().rss for one in (own, *own.children())) / 1e6)
    return grown


def exact(tables, world, numbers):
    """Compare the batch with what Plivo has, and with its own row bytes."""
    world.accepted |= dict.fromkeys(numbers, 0)
    check(world)
    sends = Counter(send["phone_number"] for send in world.plivo.sends())
    lost, doubled = len(set(numbers) - sends.keys()), sum(count > 1 for count in sends.values())
    tables.row("numbers lost", f"{lost}", "0", none_lost=not lost)
    tables.row("numbers sent to twice", f"{doubled}", "0", none_doubled=not doubled)
    kept, counted = recount(world.ledger, BATCH)
    outcomes = ", ".join(f"{what} {count:,}" for what, count in kept.outcomes.items())
    right = kept == counted and kept.rows == len(numbers) and kept.outcomes["code_sent"] == len(sends)
    tables.row(f"its counts ({outcomes}): the same, row by row", "yes" if right else "no", "yes", exact=right)


def where_the_bytes_are(world, count):
    """Delete one kind of key after the other; return how many bytes a number each has freed."""
    kinds = defaultdict(list)
    for key in world.client.scan_iter(count=1000):
        word = key.removeprefix(f"{world.ledger.keys.prefix}:").partition(":")[0]
        kinds[KINDS.get(word, "all others")].append(key)
    freed = Counter()
    for kind, keys in kinds.items():
        before = memory(world.client)
        for start in range(0, len(keys), 500):
            world.client.delete(*keys[start : start + 500])
        freed[kind] = before - memory(world.client)
    return ", ".join(f"{kind} {size / count:.0f} B" for kind, size in freed.most_common())


def person(tables, size):
    """Ask as a web app does while a batch takes the whole pace."""
    tables.begin(
        f"A person's request at {DOCUMENTED} beside a batch that takes the whole pace, with an API of {API_MS} ms, "
        "from `.delay` until Plivo has it:",
        "",
        "measured",
        "goal",
    )
    with beside_a_batch(size) as world:
        log = world.folder / "persons.log"
        persons = Process([sys.executable, str(HERE / "persons.py"), str(size.persons)], log, world.environ(), HERE)
        world.callback(persons.kill)
        began = time.time()
        eventually(lambda: persons.popen.poll() is not None, within=2 * size.persons)
        assert persons.popen.returncode == 0, persons.log
        asked = dict(line.split()[:2] for line in persons.log.splitlines())
        eventually(lambda: len(at_plivo(world, asked)) == size.persons, why="persons were not heard")
        lasted = time.time() - began
        sends = world.plivo.sends()
        numbers = [send["phone_number"] for send in sends]
        assert len(numbers) == len(set(numbers)), "somebody was texted twice"
        assert batch_summary(world.ledger, BATCH).outcomes.get("pending"), "the batch was too short"
        waited = [(at - float(asked[number])) * 1000 for number, at in at_plivo(world, asked).items()]
        together = sum(send["at"] >= began for send in sends) / lasted / pace(DOCUMENTED)
    tables.row(f"median of {size.persons}", f"{within(waited, 50):.0f} ms", "")
    p99 = within(waited, 99)
    tables.row("99 % within", f"{p99:.0f} ms", "500 ms", in_time=p99 <= 500)
    tables.row("the pace used meanwhile, by both together", percent(together), "")


@contextmanager
def beside_a_batch(size):
    """A world in which a batch has begun, and is longer than all persons take."""
    with judged(DOCUMENTED) as world:
        world.plivo.switch(latency_ms=API_MS)
        Ours(world, DOCUMENTED).start(hosts=1)
        file = written(world.folder, int(size.persons * pace(DOCUMENTED)) + 3000, seed=3)
        import_roster(world.environ(), world.folder, file)
        eventually(lambda: world.plivo.counts()["next"] > pace(DOCUMENTED), within=30)
        yield world


def at_plivo(world, asked):
    """When Plivo had the request of each of these numbers; of those that it has."""
    return {send["phone_number"]: send["at"] for send in world.plivo.sends() if send["phone_number"] in asked}


PARTS = {part.__name__: part for part in (million, sent, person)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short form of all, one minute; writes nothing")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part, or several; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    tables = Tables()
    with leaving_nothing():
        for name in options.only or PARTS:
            PARTS[name](tables, QUICK if options.quick else FULL)
    about = f"Rosters are of real number plans, 3 % bad rows and 5 % duplicates. {measured_with()}"
    tables.end(about, "output: make bench-bulk", writes=not (options.quick or options.only or options.dry_run))


if __name__ == "__main__":
    main()

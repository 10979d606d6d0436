"""Ringproof beside other systems that do the same job: `make bench-peers PEERS=FOLDER`.

FOLDER has the comparison: `setup.sh` builds the other systems' environments, once and into ~/.cache/peers, and
`run.py` runs each system in turn against a stub of the API. All of it is run three times. A ratio is of one run, as
a machine is not equally fast at all times; the median of the ratios counts. It takes about four minutes and writes its
table into RESULTS.md. The exit is 1 if a goal was missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from table import RESULTS, Tables, measured_with, tell  # noqa: E402

from worker.local.processes.redis_server import find_server  # noqa: E402

OURS, PEERS = "ringproof", ("taskiq", "huey")
LATENCIES_MS = (0, 50)
RUNS, NUMBERS = 3, 2000
HOME = Path(os.environ.get("PEERS_HOME") or Path.home() / ".cache" / "peers")
WITHOUT_PEERS = """\
make bench-peers needs the comparison with other systems: a folder with run.py, setup.sh and stub.py.
  make bench-peers PEERS=../shared/peers"""


def first(path):
    """Return a function that finds a figure in what run.py wrote of a system; the path is by dots."""

    def find(system):
        part, name = path.split(".")
        return system[part][name]

    return find


GOALS = (
    ("bulk, API of 0 ms: codes a second ÷ the fastest peer's", first("lat0.jobs_per_s"), max, ">=", 1.0),
    ("bulk, API of 50 ms: codes a second ÷ the fastest peer's", first("lat50.jobs_per_s"), max, ">=", 1.0),
    ("CPU of the workers ÷ the leanest peer's", first("lat0.worker_cpu_s_per_1000"), min, "<=", 1.0),
    ("a person, `.delay` until sent, median ÷ the fastest peer's", first("lat0.lat_p50_ms"), min, "<=", 1.5),
    ("a person, `.delay` until sent, 99 % ÷ the fastest peer's", first("lat0.lat_p99_ms"), min, "<=", 2.0),
)
"""What is compared, with which peer, and the goal."""

COLUMNS = (
    ("enqueued a second", first("lat0.enqueue_per_s"), 0),
    ("codes a second, 0 ms", first("lat0.jobs_per_s"), 0),
    ("50 ms", first("lat50.jobs_per_s"), 0),
    ("CPU s per 1,000, 0 ms", first("lat0.worker_cpu_s_per_1000"), 2),
    ("50 ms", first("lat50.worker_cpu_s_per_1000"), 2),
    ("Redis' CPU, µs a number", lambda system: system["lat0"]["redis_cpu_s_per_1000"] * 1000, 0),
    ("Redis commands a number", first("lat0.redis_cmds_per_job"), 1),
    ("a person, median ms", first("lat0.lat_p50_ms"), 1),
    ("99 % ms", first("lat0.lat_p99_ms"), 1),
    ("memory, RSS MB", first("lat0.peak_rss_mb"), 0),
    ("idle, CPU %", first("lat0.idle_cpu_pct"), 1),
)
"""The table of all systems."""


def set_up(peers, environ):
    """Build the other systems' environments if there are none yet."""
    if not (HOME / "venv").is_dir():
        tell(f"building the environments of the other systems in {HOME}")
        subprocess.run(["bash", str(peers / "setup.sh")], env=environ, check=True, stdout=subprocess.DEVNULL)


def environment(folder):
    """What run.py gets: this project's environment, and its Redis as `redis-server` first on PATH."""
    (folder / "redis-server").symlink_to(find_server())
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "RINGPROOF_VENV": sys.prefix, "PEERS_HOME": str(HOME)}


def run(peers, environ, folder, options):
    """Run each system once; return what was measured, by system."""
    result = folder / "result.json"
    command = [sys.executable, str(peers / "run.py"), "--also", str(HERE / "ringproof_adapter.py"), "--no-crash"]
    command += ["--systems", ",".join((OURS, *PEERS)), "--latency", ",".join(map(str, LATENCIES_MS))]
    command += ["--n", str(options.numbers), "--json", str(result)]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    measured = json.loads(result.read_text())["results"]
    for name, system in measured.items():
        for latency in LATENCIES_MS:
            one = system.get(f"lat{latency}", {})
            assert one.get("lost") == 0, f"{name} has not done all: {system}; its log is {HOME}/logs/{name}.log"
            assert not one["dup"] or name != OURS, f"somebody was texted twice: {system}"
    return measured


def side_by_side(tables, runs, numbers):
    """Add the tables: the ratios beside their goals, and all figures."""
    what = f"{numbers:,} numbers, {f'medians of {len(runs)} runs' if len(runs) > 1 else 'one run'}"
    tables.begin(f"Ringproof's figure ÷ a peer's in the same run; {what}:", "", "measured", "goal")
    for name, find, best, holds, goal in GOALS:
        ratios = [find(one[OURS]) / best(find(one[peer]) for peer in PEERS) for one in runs]
        ratio = statistics.median(ratios)
        reached = ratio >= goal if holds == ">=" else ratio <= goal
        each = ", ".join(f"{one:.2f}" for one in ratios)
        shown = f"{ratio:.2f} ({each})" if len(ratios) > 1 else f"{ratio:.2f}"
        tables.row(name, shown, f"{'≥' if holds == '>=' else '≤'} {goal}", goal=reached)
    tables.begin(f"All figures, {what}:", "system", *(name for name, _, _ in COLUMNS))
    for system in (OURS, *PEERS):
        figures = [statistics.median(find(one[system]) for one in runs) for _, find, _ in COLUMNS]
        tables.row(system, *(f"{one:,.{digits}f}" for one, (_, _, digits) in zip(figures, COLUMNS, strict=True)))


def versions():
    """The other systems' versions."""
    listed = subprocess.run(
        [HOME / "venv/bin/python", "-m", "pip", "freeze", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    pinned = dict(line.split("==") for line in listed.splitlines() if "==" in line)
    return ", ".join(f"{peer} {pinned[peer]}" for peer in PEERS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", metavar="FOLDER", help="the comparison: a folder with run.py and setup.sh")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--numbers", type=int, default=NUMBERS)
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    if not options.peers or not (Path(options.peers) / "run.py").is_file():
        sys.exit(WITHOUT_PEERS)
    peers, tables, runs, load = Path(options.peers).absolute(), Tables(), [], os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        environ = environment(folder)
        set_up(peers, environ)
        for nth in range(options.runs):
            tell(f"run {nth + 1} of {options.runs}")
            runs.append(run(peers, environ, folder, options))
    side_by_side(tables, runs, options.numbers)
    about = f"{measured_with()} Beside {versions()}; phonenumbers {version('phonenumbers')}; load {load:.1f} before."
    tables.end(about, "output: make bench-peers", writes=not options.dry_run, page=RESULTS)


if __name__ == "__main__":
    main()

"""How fast a roster is read, beside a bare loop of phonenumbers over the same numbers in the same process.

python tests/benchmarks/reading.py [ROWS]
"""

import csv
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

import phonenumbers
import rosters
from phonenumbers import NumberParseException

from ringproof.rosters.roster import open_roster
from ringproof.rosters.row import Row

TIMES = 3  # the best of so many, as other work on the machine only ever slows


def bare(numbers: list[str]) -> int:
    good = 0
    for text in numbers:
        try:  # noqa: SIM105 - a context manager would be measured, too
            good += phonenumbers.is_valid_number(phonenumbers.parse(text, rosters.HOME))
        except NumberParseException:
            pass
    return good


def read(path: Path) -> int:
    with open_roster(path, region=rosters.HOME, mapping={"alias": "alias"}) as roster:
        return sum(isinstance(outcome, Row) for outcome in roster)


def best(deed, *arguments) -> tuple[float, int]:
    seconds, result = [], 0
    for _ in range(TIMES):
        began = time.perf_counter()
        result = deed(*arguments)
        seconds.append(time.perf_counter() - began)
    return min(seconds), result


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "roster.csv"
        rosters.write(path, count)
        megabytes = path.stat().st_size / 1e6
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        read_seconds, accepted = best(read, path)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with path.open(encoding="utf-8", newline="") as file:
            numbers = [row["phone"] for row in csv.DictReader(file)]
        bare_seconds, valid = best(bare, numbers)
    print(f"Python {platform.python_version()}, phonenumbers {phonenumbers.__version__}, {os.cpu_count()} cores")
    print(f"{count:,} rows, {megabytes:.1f} MB: {accepted:,} accepted; bare: {valid:,} valid. Best of {TIMES}:")
    print(f"bare loop   {count / bare_seconds:>9,.0f} rows/s")
    print(f"roster      {count / read_seconds:>9,.0f} rows/s, {bare_seconds / read_seconds:.2f} of the bare loop")
    print(f"memory      {after:>9,.0f} MB at most, {before:,.0f} MB before")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

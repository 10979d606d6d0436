"""The tables of a benchmark: printed as they come, and put between the marks of a page."""

import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from worker.local.processes import redis_server

PAGE = Path(__file__).parents[2] / "docs/operating/measured.md"
"""What a user may want to know."""

RESULTS = Path(__file__).with_name("RESULTS.md")
"""What a developer compares: other systems, and what the processes take."""


def write(name, text, page=PAGE):
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->`."""
    pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
    changed, count = re.subn(pattern, lambda marks: f"{marks[1]}{text}\n{marks[2]}", page.read_text(), flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{page.name} has {count} blocks named {name!r}")
    page.write_text(changed)


def tell(line):
    """Say how far it is."""
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


def percent(share):
    """Write a share as the tables do."""
    return f"{share * 100:.1f} %"


def measured_with():
    """Say what was measured with, where and when."""
    redis = ".".join(map(str, redis_server._version(redis_server.find_server())))
    return (
        f"Celery {version('celery')}, Python {platform.python_version()}, Redis {redis}, {os.cpu_count()} cores, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


class Tables:
    """What was measured, as the page shows it, and which goals were missed."""

    def __init__(self):
        self.lines, self.missed = [], []

    def begin(self, caption, *columns):
        """Begin another table."""
        self.lines += ["", caption, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]

    def row(self, *cells, **goals):
        """Add a row; each goal says whether it was reached."""
        self.lines.append(f"| {' | '.join(cells)} |")
        missed = [f"{cells[0]}: {goal.replace('_', ' ')}" for goal, reached in goals.items() if not reached]
        self.missed += missed
        tell("  ".join([self.lines[-1], *(f"MISSED {one}" for one in missed)]))

    def end(self, about, output, *, writes, page=PAGE):
        """Print all tables under a text about the run, and write them into a page. Exit with 1 if a goal was missed."""
        report = "\n".join([about, *self.lines])
        print(f"\n{report}\n")
        if writes:
            write(output, report, page)
        if self.missed:
            sys.exit("missed:\n" + "\n".join(self.missed))

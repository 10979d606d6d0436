"""The same storm for Ringproof and for a bare Celery task, side by side: `make bench-storm`.

Children are killed every 0.3 s and the whole worker several times, while the sandbox answers in 50 to 200 ms. It writes
its table into docs/operating/measured.md.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "faults"), str(HERE)]

from celery import Celery  # noqa: E402
from checker import check  # noqa: E402
from support.harness import Process, eventually, fresh_number  # noqa: E402
from table import write  # noqa: E402
from world import KillingOfChildren, World  # noqa: E402

from ringproof.ledger.record import State  # noqa: E402

CHILDREN = 12
PATIENCE_SECONDS = 240.0
"""After the last kill; what is not known by then is not known."""

PRODUCTION = {"lease": 45.0, "first_byte": 20.0, "enqueue_again": 30.0, "look_up": 60.0}


class Ours:
    """Ringproof, with the durations of production."""

    name = "Ringproof"

    def __init__(self, world):
        self.world = world

    def start(self):
        return self.world.start(children=CHILDREN)

    def enqueue(self, count):
        self.world.enqueue(count)

    def known(self):
        states = self.world.states()
        return states[State.CODE_SENT] + states[State.IN_DOUBT]

    def end(self):
        check(self.world)
        doubtful = {number for number, record in self.world.records().items() if record.state is State.IN_DOUBT}
        sent = {send["phone_number"] for send in self.world.plivo.sends()}
        return f"{len(doubtful)} | {len(doubtful & sent)}"


class Bare:
    """A bare Celery task; a number is known when Plivo has sent it a code."""

    name = "a bare Celery task"

    def __init__(self, world):
        self.world, self.started = world, 0
        self.producer = Celery("producer", broker=world.redis.url, set_as_current=False)

    def start(self):
        self.started += 1
        command = [sys.executable, "-m", "celery", "-A", "bare", "worker", "-l", "INFO", "-c", str(CHILDREN)]
        log = self.world.folder / f"bare-{self.started}.log"
        worker = Process(command, log, self.world.environ(PYTHONPATH=str(HERE)), self.world.folder)
        self.world.callback(worker.kill)
        return worker.until_logged(" ready.")

    def enqueue(self, count):
        for _ in range(count):
            self.producer.send_task("bare.verify", [fresh_number()], ignore_result=True)

    def known(self):
        return len({send["phone_number"] for send in self.world.plivo.sends()})

    def end(self):
        return "- | -"


def storm(system, numbers, workers_killed):
    """Do it to one system; return a row of the table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        world = stack.enter_context(World(folder, durations=PRODUCTION))
        world.plivo.switch(latency_ms=[50, 200])
        one = system(world)
        killing = KillingOfChildren(world, seed=1)
        killing.worker = one.start()
        one.enqueue(numbers)
        began = time.monotonic()
        killing.start()
        for nth in range(workers_killed):
            known = numbers * (nth + 1) / (workers_killed + 1)
            eventually(lambda known=known: one.known() >= known, within=180)
            killing.worker.kill()
            killing.worker = one.start()
        eventually(lambda: one.known() >= numbers * 0.9, within=180)
        calm = killing.end()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while one.known() < numbers and time.monotonic() < deadline:
            time.sleep(0.2)
        after = time.monotonic() - calm
        lost = numbers - one.known()
        sends = Counter(send["phone_number"] for send in world.plivo.sends())
        doubled = sum(count > 1 for count in sends.values())
        whole = f"{time.monotonic() - began:.0f}" if not lost else f"not in {PATIENCE_SECONDS:.0f} after the last kill"
        print(
            f"{one.name}: lost {lost}, doubled {doubled}, {killing.killed} children killed, {after:.0f} s after",
            flush=True,
        )
        return f"| {one.name} | {lost} | {doubled} | {whole} | {one.end()} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=2000)
    parser.add_argument("--workers-killed", type=int, default=10)
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    rows = [storm(system, options.numbers, options.workers_killed) for system in (Bare, Ours)]
    storms = f"A child is killed every 0.3 s, and the whole worker {options.workers_killed} times."
    where = f"Celery {version('celery')}, two cores, {datetime.now(UTC):%Y-%m-%d}"
    lines = [
        f"{options.numbers:,} numbers, {CHILDREN} children, an API of 50 to 200 ms. {storms} {where}.",
        "",
        "| | lost | texted twice | seconds until each has a state | in doubt, with an end | of these, sent by Plivo |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    print("\n".join(lines))
    if not options.dry_run:
        write("output: make bench-storm", "\n".join(lines))


if __name__ == "__main__":
    main()

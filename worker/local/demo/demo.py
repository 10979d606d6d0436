"""`ringproof demo`: the whole system at work on this machine, while its worker is killed."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from rich.console import Console
from rich.padding import Padding

from ringproof import runtime
from ringproof.batches.forecast import Tally, forecast
from ringproof.batches.importing import import_roster
from ringproof.batches.model import Batch
from ringproof.phone.masking import mask
from ringproof.rosters.roster import open_roster
from ringproof.rosters.row import Reject, Row
from worker.local.demo.environment import ANSWER_SECONDS, Environment, set_up
from worker.local.demo.front_door import verify_through_door
from worker.local.demo.incidents import Incident, WorkerIsKilled, choose_victim, person_asks, read_batch
from worker.local.demo.outcome import Comparison
from worker.local.demo.phones import Phones
from worker.views.batch import show_live
from worker.views.forecast import forecast_view

ROSTER: Final = Path(__file__).with_name("roster.csv")
BATCH: Final = ROSTER.stem  # as ringproof import names it
FOREIGN: Final = ("RINGPROOF_", "PLIVO_", "REDIS_", "CELERY_", "DJANGO_")  # the user's own variables
SWITCHES: Final = {
    "latency_ms": (40, 140),  # an API on the other side of an ocean
    "code_length": 8,  # so long that no other digits in a log are a code by chance
}
RUN_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1


def run(*, stay: bool) -> int:
    """Run the demo, and return the exit code: 0, or 128 and the number of the signal that ended it.

    With `stay` everything keeps running until Ctrl-C. The demo removes its processes and files however it ends, by
    SIGKILL too. Call it in the main thread of a process of its own: it takes the signals, and deletes the user's own
    settings from the environment.

    Raises `RedisMissing`, `RedisFailed` or `ChildProcessFailed`; the last one also if the demo's own check fails.
    """
    console = Console(highlight=False)
    ends = (signal.SIGINT, signal.SIGTERM)
    for number in ends:
        signal.signal(number, _interrupt)
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    try:
        with ExitStack() as stack:
            try:
                environment = set_up(console, stack)
                phones = Phones(environment.call_sandbox)
                _play(console, environment, phones)
                verify_through_door(environment, console)
                if stay:
                    _stay(console, environment, phones)
            finally:
                for number in ends:  # a second Ctrl-C must not interrupt the clean-up, which is quick
                    signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt as interrupt:
        console.print("\nstopped; nothing is left behind")
        return 128 + int(interrupt.args[0])
    if stay:
        console.print("\nstopped; nothing is left behind")
    else:
        console.print(f"next: [bold]{_command()} demo --stay[/] keeps it running, for a second terminal or your app")
    return 0


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


def _play(console: Console, environment: Environment, phones: Phones) -> None:
    """Import the roster, show its batch while the incidents happen, and print the outcome."""
    started_at = time.monotonic()
    environment.call_sandbox("switches", SWITCHES)
    rows = _show_forecast(console)
    victim = choose_victim(rows)
    killing = WorkerIsKilled(environment, victim)
    rejects = _import(console)
    _watch(console, environment, killing, phones)
    comparison = Comparison.of(environment, BATCH, phones.results)
    total = comparison.batch.rows + len(rejects)
    console.print(f"\n[bold]What became of the {total} rows[/], {time.monotonic() - started_at:.0f} s later\n")
    console.print(Padding.indent(comparison.outcomes(rejects), 2))
    console.print()
    console.print(Padding.indent(comparison.funnel(), 2))
    console.print(f"\n{comparison.compare()}\n")
    comparison.print_records(console, victim, _command())


def _show_forecast(console: Console) -> list[Row]:
    """Read the whole roster, and print what an import would do; return the rows that it would take."""
    console.print(f"[bold]$ {_command()} import {_near(ROSTER)} --yes[/]\n", soft_wrap=True)
    with open_roster(_near(ROSTER)) as roster:
        rows = [outcome for outcome in roster if isinstance(outcome, Row)]
        tally = Tally(reasons=roster.reasons)
    for row in rows:
        tally.add(row)
    console.print(Padding.indent(forecast_view(tally, forecast(tally, runtime.ledger()), [roster]), 2))
    return rows


def _import(console: Console) -> list[Reject]:
    """Import the roster; return the rows that were rejected."""
    rejects: list[Reject] = []
    with open_roster(_near(ROSTER)) as roster:
        batch = import_roster(roster, BATCH, rejected=rejects.append)
    console.print(f"\n{batch.name}: {batch.rows} rows are in")
    console.print("(a new Redis has no record of earlier codes, so the first code waits for Plivo's window: 5 s)\n")
    return rejects


def _watch(console: Console, environment: Environment, killing: WorkerIsKilled, phones: Phones) -> None:
    """Show the batch until all incidents have happened, nothing is being sent and no person has a code to enter."""
    console.print(f"[bold]$ {_command()} batch show {BATCH} --watch[/]\n", soft_wrap=True)
    for _ in show_live(_progress(console, environment, killing, phones), console):
        pass


def _progress(console: Console, environment: Environment, killing: WorkerIsKilled, phones: Phones) -> Iterator[Batch]:
    """Yield the batch again and again; let the incidents happen, one after the other, and the phones answer."""
    waiting: list[Incident] = [person_asks(environment), killing]
    deadline = time.monotonic() + RUN_SECONDS
    has_stopped = False
    while True:
        phones.update()
        batch = read_batch(BATCH)
        yield batch
        if waiting and (line := waiting[0](batch)):
            console.print(line)
            del waiting[0]
        if has_stopped and not phones.is_busy:  # in this order: a code that was sent meanwhile may be entered
            return
        has_stopped = not waiting and batch.unfinished == killing.lost
        environment.worker.check()
        if time.monotonic() > deadline:
            raise environment.worker.failed(
                f"after {RUN_SECONDS:.0f} s, {batch.unfinished} of {batch.rows} rows had no outcome, "
                f"and {len(waiting)} incidents had not happened"
            )
        time.sleep(POLL_SECONDS)


def _stay(console: Console, environment: Environment, phones: Phones) -> None:
    console.print("[bold]Still running[/]. In a second terminal, or for your app:\n")
    for name, value in environment.exports.items():
        console.print(f"  export {name}={value}", soft_wrap=True)
    console.print()
    for line in (
        f"{_command()} initiate +14155550123 --alias 'Front desk'",
        f"{_command()} status +14155550123",
        f"{_command()} batch show {BATCH}",
        f"curl {environment.sandbox_url}/sandbox/phones/+14155550123   # that phone's inbox",
    ):
        console.print(f"  {line}", soft_wrap=True)
    door = environment.door
    console.print(f"\nThe front door, for a client of Plivo's: {door.url}/v1/Account")
    console.print(f"  auth_id {door.auth_id}, token {door.token}", soft_wrap=True)
    console.print(
        f"\nThe live page, for your browser: [bold]{door.url}/[/]  (log in with the same two)", soft_wrap=True
    )
    low, high = ANSWER_SECONDS
    console.print(f"\nPeople continue to answer. They enter a code {low} to {high} s after they get it; one in ten")
    console.print("never does, and one in ten enters a wrong code. Ctrl-C ends the demo")
    with suppress(KeyboardInterrupt):
        while True:
            environment.worker.check()
            environment.sandbox.check()
            for number in phones.update():
                error = phones.results[number]
                console.print(f"  {mask(number)}  {error.message if error else 'verified'}")
            time.sleep(POLL_SECONDS)


def _command() -> str:
    """Return what a user types in this folder's terminal to run the command."""
    on_path = shutil.which("ringproof")
    installed = Path(sys.executable).with_name("ringproof")
    if (on_path and Path(on_path) == installed) or not installed.exists():
        return "ringproof"
    return _near(installed)


def _near(path: Path) -> str:
    """Return a path relative to this folder if it is inside it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)

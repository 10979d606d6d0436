"""`ringproof demo`: the whole system on this machine, in front of your eyes, with a worker killed in the middle."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
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
from ringproof.batches.summary import batch_summary
from ringproof.errors import UnknownBatch
from ringproof.phone.masking import mask
from ringproof.rosters.roster import open_roster
from ringproof.rosters.row import Reject, Row
from worker.local.demo.environment import ANSWER_SECONDS, Environment, set_up
from worker.local.demo.incidents import Act, child_is_killed, choose_victim, person_asks
from worker.local.demo.outcome import Comparison
from worker.local.demo.phones import Phones
from worker.views.batch import show_live
from worker.views.forecast import forecast_view

ROSTER: Final = Path(__file__).with_name("roster.csv")
BATCH: Final = ROSTER.stem  # as ringproof import names it
FOREIGN: Final = ("RINGPROOF_", "PLIVO_", "REDIS_", "CELERY_", "DJANGO_")  # variables of the user's own
SWITCHES: Final = {
    "latency_ms": (40, 140),  # an API on the other side of an ocean
    "code_length": 8,  # so long that, looked for in a log, it is not found by chance
}
RUN_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.1


def run(*, stay: bool) -> int:
    """Run the demo; return the exit code. Nothing is left behind, also after Ctrl-C, SIGTERM or SIGKILL."""
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
                phones = Phones(environment.ask)
                _play(console, environment, phones)
                if stay:
                    _stay(console, environment, phones)
            finally:
                for number in ends:  # a second Ctrl-C shall not disturb the tidying up, which is quick
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
    """Import the roster, watch its batch while things happen, and tell what came of it."""
    began = time.monotonic()
    environment.ask("switches", SWITCHES)
    rows = _foretell(console)
    victim = choose_victim(rows)
    acts = [person_asks(environment), child_is_killed(environment, victim)]
    rejects = _import(console)
    _watch(console, environment, acts, phones)
    reckoning = Comparison.of(environment, BATCH, phones.said)
    total = reckoning.batch.rows + len(rejects)
    console.print(f"\n[bold]What became of the {total} rows[/], {time.monotonic() - began:.0f} s later\n")
    console.print(Padding.indent(reckoning.outcomes(rejects), 2))
    console.print()
    console.print(Padding.indent(reckoning.funnel(), 2))
    console.print(f"\n{reckoning.compare()}\n")
    reckoning.tell_of(console, victim, _command())


def _foretell(console: Console) -> list[Row]:
    """Read the roster to its end, and tell what an import would do; return the rows that it would take."""
    console.print(f"[bold]$ {_command()} import {_near(ROSTER)} --yes[/]\n", soft_wrap=True)
    with open_roster(_near(ROSTER)) as roster:
        rows = [outcome for outcome in roster if isinstance(outcome, Row)]
        tally = Tally(reasons=roster.reasons)
    for row in rows:
        tally.add(row)
    console.print(Padding.indent(forecast_view(tally, forecast(tally, runtime.ledger())), 2))
    return rows


def _import(console: Console) -> list[Reject]:
    """Import the roster; return the rows that were rejected."""
    rejects: list[Reject] = []
    with open_roster(_near(ROSTER)) as roster:
        batch = import_roster(roster, BATCH, rejected=rejects.append)
    console.print(f"\n{batch.name}: {batch.rows} rows are in")
    console.print("(a new Redis knows nothing of codes sent before, so the first waits out Plivo's window: 5 s)\n")
    return rejects


def _watch(console: Console, environment: Environment, acts: Sequence[Act], phones: Phones) -> None:
    """Show the batch until all acts have happened, its sending has come to rest and nobody answers any more."""
    console.print(f"[bold]$ {_command()} batch show {BATCH} --watch[/]\n", soft_wrap=True)
    for _ in show_live(_looks(console, environment, acts, phones), console):
        pass


def _looks(console: Console, environment: Environment, acts: Sequence[Act], phones: Phones) -> Iterator[Batch]:
    """Yield the batch as it stands, and have the acts happen and the phones answer meanwhile."""
    waiting = list(acts)
    deadline = time.monotonic() + RUN_SECONDS
    at_rest = False
    while True:
        phones.look()
        seen = batch_summary(runtime.ledger(), BATCH)
        if seen is None:
            raise UnknownBatch(BATCH)
        yield seen
        for act in tuple(waiting):
            if told := act(seen):
                console.print(told)
                waiting.remove(act)
        if at_rest and not phones.busy:  # in this order: what was sent since the last look may be answered
            return
        # Then nobody is left who could settle what is sending.
        at_rest = not waiting and seen.unfinished == seen.outcomes.get("sending", 0) and environment.is_idle()
        environment.worker.check()
        if time.monotonic() > deadline:
            what = (
                f"{seen.unfinished} of {seen.rows} rows had no outcome, and {len(waiting)} of the acts had not happened"
            )
            raise environment.worker.failed(f"in {RUN_SECONDS:.0f} s {what}")
        time.sleep(LOOK_SECONDS)


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
    low, high = ANSWER_SECONDS
    console.print(
        f"\nPeople go on answering: who gets a code enters it {low} to {high} s later; one in ten never does, and"
    )
    console.print("one in ten enters a wrong one. Ctrl-C ends it")
    with suppress(KeyboardInterrupt):
        while True:
            environment.worker.check()
            environment.sandbox.check()
            for number in phones.look():
                console.print(f"  {mask(number)}  {error.message if (error := phones.said[number]) else 'verified'}")
            time.sleep(LOOK_SECONDS)


def _command() -> str:
    """Return how the command is called in this folder's terminal."""
    found = shutil.which("ringproof")
    installed = Path(sys.executable).with_name("ringproof")
    if (found and Path(found) == installed) or not installed.exists():
        return "ringproof"
    return _near(installed)


def _near(path: Path) -> str:
    """Return a path as it is written in this folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)

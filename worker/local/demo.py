"""`ringproof demo`: the whole system on this machine, in front of your eyes, with a worker killed in the middle."""

import csv
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from tasks import initiate_verification
from worker import runtime
from worker.celery import app
from worker.errors import InvalidNumber
from worker.local.companion import Companion
from worker.local.redis_server import RedisServer
from worker.local.sandbox import ANY_AUTH_ID, ANY_AUTH_TOKEN
from worker.phone import mask, parse, route
from worker.record import Record, State
from worker.story import story

ROSTER = Path(__file__).with_name("roster.csv")
FOREIGN = ("RINGPROOF_", "PLIVO_", "REDIS_", "CELERY_", "DJANGO_")  # variables of the user's own, for other things
CHILDREN = 4
LATENCY_MS = (40, 140)  # an API on the other side of an ocean
RUN_SECONDS = 60.0
REDELIVERY_SECONDS = 5.0
LOOK_SECONDS = 0.1

UNDER_WAY = {State.QUEUED, State.WAITING, State.SENDING}


@dataclass
class Roster:
    """What came of enqueuing the roster."""

    rows: int = 0
    accepted: dict[str, int] = field(default_factory=dict)  # number: request
    joined: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def records(self) -> dict[str, Record]:
        """Return the record of each number."""
        found = runtime.ledger().read_many(list(self.accepted.items()))
        return {record.phone_number: record for record in found if record}


@dataclass(frozen=True)
class Stage:
    """What the demo has started, and where it is reached."""

    sandbox: Companion
    worker: Companion
    sandbox_url: str
    exports: Mapping[str, str]

    def sends(self, number: str | None = None) -> list[dict[str, Any]]:
        """Return the codes that Plivo has sent, to one number or to all."""
        sends: list[dict[str, Any]] = self.ask(f"sends?number={quote(number)}" if number else "sends")["sends"]
        return sends

    def ask(self, path: str, wish: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the sandbox's other side; with a wish, POST it. It is this machine: no proxy has a part in it."""
        request = urllib.request.Request(  # noqa: S310  # http to loopback
            f"{self.sandbox_url}/sandbox/{path}",
            data=json.dumps(wish).encode() if wish else None,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
            return told


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
                stage = _set(console, stack)
                _play(console, stage)
                if stay:
                    _stay(console, stage)
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


def _set(console: Console, stack: ExitStack) -> Stage:
    """Start Redis, Plivo and a worker, and make this process a producer of theirs."""
    console.print("[bold]Ringproof's demo[/]: a real Redis, real workers, real HTTP to a Plivo on this machine\n")
    temporary = tempfile.TemporaryDirectory(prefix="ringproof-demo-", ignore_cleanup_errors=True)
    folder = Path(stack.enter_context(temporary))
    redis_server = stack.enter_context(RedisServer())
    console.print(f"  Redis    {redis_server.url}")
    sandbox = Companion("sandbox", ["worker", "sandbox", "--port", "0"], folder)
    stack.callback(sandbox.stop)
    sandbox_url = "http://" + sandbox.until_logged("/sandbox/").log.partition("http://")[2].partition("/")[0]
    console.print(f"  Plivo    {sandbox_url}  (the sandbox: no text leaves this machine)")
    exports = {
        "RINGPROOF_REDIS_URL": redis_server.url,
        "RINGPROOF_PREFIX": "ringproof",  # a .env where they are pasted may name another
        "RINGPROOF_RANGE_CODES_PER_HOUR": "0",  # some countries' rows are of one range
        "PLIVO_BASE_URL": f"{sandbox_url}/v1",
        "PLIVO_AUTH_ID": ANY_AUTH_ID,
        "PLIVO_AUTH_TOKEN": ANY_AUTH_TOKEN,
    }
    os.environ.update(exports)
    command = ["celery", "-A", "worker", "worker", "-B", "-c", str(CHILDREN)]
    worker = Companion("worker", [*command, "-l", "INFO"], folder)
    stack.callback(worker.stop)
    worker.until_logged(" ready.")
    console.print(f"  worker   {' '.join(command)}\n")
    return Stage(sandbox, worker, sandbox_url, exports)


def _play(console: Console, stage: Stage) -> None:
    began = time.monotonic()
    with ROSTER.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    victim = _choose(rows)
    stage.ask("switches", {"latency_ms": LATENCY_MS})
    stage.ask("misfortunes", {"kind": "timeout_after", "number": victim})
    roster = _enqueue(rows)
    told = f"enqueued the {roster.rows} rows of worker/local/roster.csv in {time.monotonic() - began:.1f} s"
    console.print(f"{told}: {len(roster.accepted)} numbers")
    console.print("(a new Redis knows nothing of codes sent before, so the first waits out Plivo's window: 5 s)\n")
    _verify(console, stage, roster, victim)
    console.print(f"\n[bold]What became of the {roster.rows} rows[/], {time.monotonic() - began:.0f} s later\n")
    _sum_up(console, stage, roster, victim)


def _choose(rows: list[dict[str, str]]) -> str:
    """Return the number whose worker will die: a text from the middle, masked as no other number of the roster."""
    texts = {}
    for row in rows:
        with suppress(InvalidNumber):
            number = parse(row["phone"])
            texts[number.e164] = route(number, row["channel"])
    masks = Counter(map(mask, texts))
    alone = [number for number, channel in texts.items() if channel == "sms" and masks[mask(number)] == 1]
    return alone[len(alone) // 2]


def _enqueue(rows: list[dict[str, str]]) -> Roster:
    """Enqueue the roster's rows as a web app would, one by one."""
    roster = Roster(len(rows))
    for row in rows:
        try:
            result = initiate_verification.delay(row["phone"], alias=row["alias"] or None, channel=row["channel"])
        except InvalidNumber as error:
            roster.refused[error.reason] += 1
        else:
            number, _, request = result.id.partition("/")
            roster.joined += number in roster.accepted
            roster.accepted[number] = int(request)
    return roster


def _verify(console: Console, stage: Stage, roster: Roster, victim: str) -> None:
    """Watch the roster being worked off, and kill the child that sends to `victim` while it does."""
    total, told = len(roster.accepted), 0
    deadline = time.monotonic() + RUN_SECONDS
    killed = False
    columns = (TextColumn("settled"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total)
        while True:
            done = sum(record.state not in UNDER_WAY for record in roster.records().values())
            progress.update(bar, completed=done)
            if not console.is_terminal and done * 4 // total > told:
                told = done * 4 // total
                console.print(f"settled {done} of {total}")
            if not killed and stage.sends(victim) and (child := _child_that_sends_to(victim)):
                os.kill(child, signal.SIGKILL)
                killed = True
                whom = f"a worker's child, in the midst of sending to {mask(victim)}; Plivo has taken it"
                console.print(f"[red]kill -9 {child}[/]: {whom}")
            if killed and done == total - 1:
                return
            stage.worker.check()
            if time.monotonic() > deadline:
                what = f"{done} of {total} numbers were settled" if killed else "no child could be killed in mid-send"
                raise stage.worker.failed(f"in {RUN_SECONDS:.0f} s {what}")
            time.sleep(LOOK_SECONDS)


def _child_that_sends_to(number: str) -> int | None:
    """Ask the worker which of its children holds the number; it tells numbers masked."""
    answers = app.control.inspect(timeout=1.0, limit=1).active() or {}
    held = (task for tasks in answers.values() for task in tasks)
    return next((int(task["worker_pid"]) for task in held if mask(number) in str(task["args"])), None)


def _sum_up(console: Console, stage: Stage, roster: Roster, victim: str) -> None:
    records = roster.records()
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    states = Counter((record.state, record.channel) for record in records.values())
    for (state, channel), count in states.most_common():
        whose = ": its worker was killed" if state is State.SENDING else ""
        table.add_row(str(count), state, f"{'a text' if channel == 'sms' else 'a call'}{whose}")
    table.add_row(str(roster.joined), "joined", "the same number again, in other notations: no second code")
    for reason, count in roster.refused.most_common():
        table.add_row(str(count), "refused", f"{reason}: {InvalidNumber.REMEDIES[reason].partition(';')[0]}")
    console.print(Padding.indent(table, 2))
    sends = Counter(send["phone_number"] for send in stage.sends())
    doubled = sum(count > 1 for count in sends.values())
    countries = len({record.country for record in records.values()})
    codes = f"{sends.total()} codes to {len(sends)} numbers in {countries} countries"
    console.print(f"\nPlivo sent {codes}; numbers that got two: {doubled}\n")
    console.print(f"[bold]One number's record[/] ({_command()} status NUMBER)\n")
    sent = [record for record in records.values() if record.state is State.CODE_SENT]
    console.print(Padding.indent(story(sent[0]), 2))
    console.print(f"\n[bold]The number whose worker was killed[/]: codes at Plivo: {len(stage.sends(victim))}\n")
    console.print(Padding.indent(story(records[victim]), 2))
    if _came_again(stage, victim):
        console.print("\nIts message came again, to another child, which read this record and sent nothing")
    console.print()


def _came_again(stage: Stage, victim: str) -> bool:
    """Wait until the message that was lost with the child was delivered again; return whether it was."""
    deadline = time.monotonic() + REDELIVERY_SECONDS
    while time.monotonic() < deadline:
        if any(mask(victim) in line and "nothing to send" in line for line in stage.worker.log.splitlines()):
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _stay(console: Console, stage: Stage) -> None:
    console.print("[bold]Still running[/]. In a second terminal, or for your app:\n")
    for name, value in stage.exports.items():
        console.print(f"  export {name}={value}", soft_wrap=True)
    console.print()
    for line in (
        f"{_command()} initiate +14155550123 --alias 'Front desk'",
        f"{_command()} status +14155550123",
        f"curl {stage.sandbox_url}/sandbox/phones/+14155550123   # that phone's inbox",
    ):
        console.print(f"  {line}", soft_wrap=True)
    console.print("\nCtrl-C ends it")
    with suppress(KeyboardInterrupt):
        while True:
            stage.worker.check()
            stage.sandbox.check()
            time.sleep(LOOK_SECONDS)


def _command() -> str:
    """Return how the command is called in this folder's terminal."""
    found = shutil.which("ringproof")
    installed = Path(sys.executable).with_name("ringproof")
    if (found and Path(found) == installed) or not installed.exists():
        return "ringproof"
    return str(installed.relative_to(Path.cwd()) if installed.is_relative_to(Path.cwd()) else installed)

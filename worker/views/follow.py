"""Watches requests until each has an outcome, and tells a person or a script what became of it."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import click
from rich.table import Table
from rich.text import Text

from ringproof import errors
from ringproof.celery.ping import workers_that_answer
from ringproof.clock import iso
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Reason, Record, State
from ringproof.phone.masking import mask
from worker.views.console import UNFINISHED_STATES, Exit, as_options, console
from worker.views.number import STYLES, next_step
from worker.views.text import clock

NO_PROGRESS_SECONDS = 5.0
"""After so long without a change the watch says why: a person begins to wonder."""

PATIENCE_SECONDS = 60.0
"""After so long without a change the watch ends, and the requests go on without it: a script must not hang."""

LOOK_SECONDS = 0.05
LOOK_AT = 500
"""How many records are read at once, in one round trip: 10,000 a second at most, however many are watched."""

START_A_WORKER = "celery -A worker worker"


@dataclass
class Report:
    """Tells what becomes of each number, a line each, and remembers it for the exit code."""

    as_json: bool
    no_wait: bool
    counts: Counter[str] = field(default_factory=Counter)
    exits: set[Exit] = field(default_factory=set)

    @property
    def exit(self) -> Exit:
        """The worst of all: refused, then unfinished, then done."""
        return next((worst for worst in (Exit.REFUSED, Exit.UNFINISHED) if worst in self.exits), Exit.DONE)

    def refused(self, number: str, error: errors.InvalidNumber | errors.CoolingDown | errors.Capped) -> None:
        """Tell that a number was not accepted, and what to do."""
        self.counts["refused"] += 1
        self.exits.add(Exit.REFUSED)
        if isinstance(error, errors.InvalidNumber):
            written, reason, remedy = error.value, error.reason, error.remedy
        elif isinstance(error, errors.Capped):
            written, reason, remedy = mask(number), error.limit, str(error)
        else:
            written, reason = mask(number), "cooldown"
            remedy = f"a code was sent a moment ago; ask for the next after {clock(error.until)}"
        if self.as_json:
            told = {"phone_number": number, "error": type(error).__name__, "reason": reason, "message": remedy}
            click.echo(json.dumps(told, ensure_ascii=False))
        else:
            console().print(_line("refused", "red", written, "", as_options(remedy)))

    def ended(self, record: Record) -> None:
        """Tell where a number stands, which is all that is told of it."""
        self.counts[record.state] += 1
        accepted = self.no_wait and record.state in UNFINISHED_STATES
        self.exits.add(Exit.DONE if accepted else Exit.of(record))
        if self.as_json:
            click.echo(as_json_line(record))
        else:
            style, number = STYLES.get(record.state, "cyan"), mask(record.phone_number)
            console().print(_line(record.state, style, number, record.channel, next_step(record)))

    def gone(self, number: str) -> None:
        """Tell that nothing is known any more of a number that was accepted."""
        self.counts["unknown"] += 1
        self.exits.add(Exit.REFUSED)
        if self.as_json:
            click.echo(as_unknown(number))
        else:
            told = "it was erased meanwhile, or Redis has lost it; to ask again: ringproof initiate NUMBER"
            console().print(_line("unknown", "red", mask(number), "", told))

    def say(self, text: str) -> None:
        """Say something beside the results."""
        console(stderr=True).print(Text(text, "yellow"))

    def sum_up(self) -> None:
        """Count the numbers, if there were several."""
        if self.counts.total() > 1 and not self.as_json:
            each = ", ".join(f"{count:,} {state}" for state, count in self.counts.most_common())
            self.say(f"{self.counts.total():,} numbers: {each}")


class Watch:
    """Looks after what was accepted: the longest unseen first, a bounded number at a time."""

    def __init__(self, ledger: Ledger, report: Report) -> None:
        self.report = report
        self.accepted: set[str] = set()
        self._ledger = ledger
        self._pending: dict[tuple[str, int], State | None] = {}  # and the state in which it was last seen
        self._explained: set[tuple[State, Reason | None] | None] = set()
        self._patient = True
        self._looked = self._progressed = time.monotonic()

    def accept(self, number: str, task_id: str) -> None:
        """Watch this request, too."""
        self.accepted.add(number)
        self._pending[number, int(task_id.partition("/")[2])] = None
        self._progressed = time.monotonic()

    def look(self) -> None:
        """Report what has ended, if it is time to look; without progress say why, and so too without Redis."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        try:
            unfinished = self._report_what_ended()
            if time.monotonic() - self._progressed > NO_PROGRESS_SECONDS:
                self._say_why(unfinished)
        except errors.LedgerUnavailable as error:
            self._explain(None, str(error))
            if not self._patient:
                self.abandon("Redis does not answer")
        self._looked = time.monotonic()

    def until_done(self) -> None:
        """Report everything; without progress for long enough, as it stands."""
        while self._pending:
            time.sleep(LOOK_SECONDS)
            self._patient = time.monotonic() - self._progressed < PATIENCE_SECONDS
            self.look()
        if not self._patient:
            self.report.say(f"no progress for {PATIENCE_SECONDS:.0f} s; what is accepted goes on without this command")

    def abandon(self, why: str) -> None:
        """Watch no longer."""
        if self._pending:
            left = f"{len(self._pending):,} accepted {'number' if len(self._pending) == 1 else 'numbers'}"
            self.report.say(f"{why}; {left} will go on without this: ringproof status NUMBER")
            self.report.exits.add(Exit.UNFINISHED)
            self._pending.clear()

    def _report_what_ended(self) -> list[Record]:
        """Return what was looked at and has not."""
        asked = list(islice(self._pending, LOOK_AT))
        unfinished = []
        for request, record in zip(asked, self._ledger.read_many(asked), strict=True):
            seen = self._pending.pop(request)
            if record is None:
                self.report.gone(request[0])
                continue
            if record.state is not seen:
                self._progressed = time.monotonic()
            if self._over(record):
                self.report.ended(record)
            else:
                self._pending[request] = record.state
                unfinished.append(record)
        return unfinished

    def _over(self, record: Record) -> bool:
        """Whether there is nothing to wait for, or not within our patience."""
        if self.report.no_wait or not self._patient or record.state not in UNFINISHED_STATES:
            return True
        wait = record.due_at.timestamp() - time.time() if record.due_at else 0
        return record.state is State.WAITING and wait > PATIENCE_SECONDS

    def _say_why(self, unfinished: Sequence[Record]) -> None:
        for record in unfinished:
            kind = record.state, record.reason
            if kind in self._explained:
                continue
            told = f"still {record.state}{f' ({record.reason})' if record.reason else ''}"
            if record.state is State.SENDING:
                lease = clock(record.lease_until)
                self._explain(kind, f"{told}: its slot comes, or Plivo's answer does; if neither by {lease}, in doubt")
            elif record.state is State.WAITING:
                self._explain(kind, f"{told}: {next_step(record)}")
            elif workers := workers_that_answer():
                self._explain(kind, f"{told}: {', '.join(workers)} has others to send first")
            else:
                self._explain(kind, f"{told}: no worker answers; start one: {START_A_WORKER}")

    def _explain(self, kind: tuple[State, Reason | None] | None, text: str) -> None:
        """Say why there is no progress, once for each kind of reason; None is Redis itself."""
        if kind not in self._explained:
            self._explained.add(kind)
            self.report.say(text)


def _line(state: str, style: str, number: str, channel: str, told: str) -> Table:
    """Lay out one number's outcome, so that the lines stand under one another."""
    line = Table.grid(padding=(0, 2))
    line.add_column(style=style, min_width=len(State.CODE_SENT))
    line.add_column(min_width=len("+971•••••••23"), max_width=24, overflow="fold")
    line.add_column(min_width=len("call"))
    line.add_column(overflow="fold")
    line.add_row(*map(Text, (state, number, channel, told)))
    return line


def as_json_line(record: Record) -> str:
    """Return everything of a record but its fence, which is between the worker and the ledger."""
    told = {name: value for name, value in asdict(record).items() if name != "fence"} | {"message": record.message}
    return json.dumps(told, ensure_ascii=False, default=iso)


def as_unknown(number: str) -> str:
    """Return a number of which nothing is known, as a record without a state."""
    return json.dumps({"phone_number": number, "state": None})

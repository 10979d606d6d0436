"""What became of the demo's roster, by the batch's own counts, and whether Plivo's list of codes says the same."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from worker import batches, runtime
from worker.batch import Batch
from worker.errors import UnknownBatch
from worker.local.acts import PERSON
from worker.local.stage import Stage
from worker.phone import mask
from worker.record import Record, State
from worker.row import Reject
from worker.story import clock, story
from worker.watch import as_options

REDELIVERY_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.1

MEANINGS: Final = {
    "joined": "a number that another row has, in another notation: no second code",
    "live": "the same, once its code was out",
}


@dataclass(frozen=True)
class Reckoning:
    """A batch whose sending has come to rest, and the records of its numbers."""

    stage: Stage
    batch: Batch
    records: Mapping[str, Record]

    @classmethod
    def of(cls, stage: Stage, name: str) -> "Reckoning":
        """Read a batch and the records of its rows. Raises `UnknownBatch`."""
        ledger = runtime.ledger()
        numbers = dict.fromkeys(row.number for row in batches.rows(ledger, name))
        found = ledger.read_many([(number, None) for number in numbers])
        batch = batches.read(ledger, name)
        if batch is None:
            raise UnknownBatch(name)
        return cls(stage, batch, {record.phone_number: record for record in found if record})

    def in_state(self, state: State) -> list[Record]:
        """Return the records in a state, in the roster's order."""
        return [record for record in self.records.values() if record.state is state]

    def outcomes(self, rejects: Iterable[Reject]) -> Table:
        """Tell what became of each row: of those in the batch, and of those that were rejected."""
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right")
        lease = max((record.lease_until for record in self.in_state(State.SENDING) if record.lease_until), default=None)
        sending = {"sending": f"their worker was killed: in doubt from {clock(lease)} on, when their leases end"}
        for outcome, count in sorted(self.batch.outcomes.items(), key=lambda pair: -pair[1]):
            table.add_row(str(count), outcome, (MEANINGS | sending).get(outcome, ""))
        reasons = Counter((reject.reason, reject.remedy) for reject in rejects)
        for (reason, remedy), count in reasons.most_common():
            table.add_row(str(count), "rejected", f"{reason}: {as_options(remedy)}")
        return table

    def compare(self) -> str:
        """Say that Plivo's list has just the codes that the batch tells of, or raise what fails the demo."""
        sends = self.stage.sends()
        sent = {record.phone_number for record in self.in_state(State.CODE_SENT)}
        killed = {record.phone_number for record in self.in_state(State.SENDING)}
        taken = killed & sends.keys()
        doubled = sum(count > 1 for count in sends.values())
        told = (
            f"Plivo's own list has {sends.total()} codes: the {len(sent)} that are code_sent, {len(taken)} of the "
            f"{len(killed)} whose worker was killed,\nand the person's. Numbers that got two: {doubled}"
        )
        agrees = sends.keys() == sent | taken | {PERSON} and len(sent) == self.batch.outcomes["code_sent"]
        if doubled or not agrees:
            raise self.stage.worker.failed(f"the batch and Plivo differ ({told})")
        return told

    def tell_of(self, console: Console, victim: str, command: str) -> None:
        """Tell the stories of a number like most, and of the one whose worker was killed."""
        console.print(f"[bold]One number's record[/] ({command} status NUMBER)\n")
        console.print(Padding.indent(story(self.in_state(State.CODE_SENT)[0]), 2))
        codes = self.stage.sends(victim).total()
        console.print(f"\n[bold]The number whose worker was killed[/]: codes at Plivo: {codes}\n")
        console.print(Padding.indent(story(self.records[victim]), 2))
        if self._came_again(victim):
            told = "it sent what had not begun, and nothing to this number"
            console.print(f"\nIts message came again, to another child: {told}")
        console.print()

    def _came_again(self, victim: str) -> bool:
        """Wait until the message that was lost with the child was delivered again; return whether it was."""
        deadline = time.monotonic() + REDELIVERY_SECONDS
        while time.monotonic() < deadline:
            if any(mask(victim) in line and "nothing to send" in line for line in self.stage.worker.log.splitlines()):
                return True
            time.sleep(LOOK_SECONDS)
        return False

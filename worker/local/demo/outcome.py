"""What became of the demo's roster, by the batch's own counts, and whether Plivo's own lists say the same."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from ringproof import runtime
from ringproof.batches.model import Batch
from ringproof.batches.rows import batch_rows
from ringproof.batches.summary import batch_summary
from ringproof.errors import NotConfirmed, NothingPending, UnknownBatch, WrongCode
from ringproof.ledger.record import Record, State
from ringproof.phone.masking import mask
from ringproof.rosters.row import Reject
from worker.local.demo.environment import Environment
from worker.local.demo.incidents import PERSON
from worker.views.console import as_options
from worker.views.number import number_view
from worker.views.text import clock

REDELIVERY_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.1

MEANINGS: Final = {
    "joined": "a number that another row has, in another notation: no second code",
    "live": "the same, once its code was out",
}
VERIFIED_BEFORE: Final = "the same, once it was verified"


@dataclass(frozen=True)
class Comparison:
    """A batch whose sending has come to rest, and the records of its numbers."""

    environment: Environment
    batch: Batch
    verified_before: int  # rows of a number that another row had got verified
    records: Mapping[str, Record]
    said: Mapping[str, NotConfirmed | None]  # to whoever has entered a code: None if it was right

    @classmethod
    def of(cls, environment: Environment, name: str, said: Mapping[str, NotConfirmed | None]) -> "Comparison":
        """Read a batch and the records of its rows. Raises `UnknownBatch`."""
        ledger = runtime.ledger()
        rows = list(batch_rows(ledger, name))
        found = ledger.read_many([(number, None) for number in dict.fromkeys(row.number for row in rows)])
        batch = batch_summary(ledger, name)
        if batch is None:
            raise UnknownBatch(name)
        verified_before = sum(row.outcome == State.VERIFIED and row.uuid is None for row in rows)
        return cls(
            environment, batch, verified_before, {record.phone_number: record for record in found if record}, said
        )

    def in_state(self, state: State) -> list[Record]:
        """Return the records in a state, in the roster's order."""
        return [record for record in self.records.values() if record.state is state]

    def outcomes(self, rejects: Iterable[Reject]) -> Table:
        """Tell what became of each row: of those in the batch, and of those that were rejected."""
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right")
        lease = max((record.lease_until for record in self.in_state(State.SENDING) if record.lease_until), default=None)
        meanings = MEANINGS | {
            "sending": f"their worker was killed: in doubt from {clock(lease)} on, when their leases end"
        }
        counts = Counter({(what, meanings.get(what, "")): count for what, count in self.batch.outcomes.items()})
        if self.verified_before:
            counts[State.VERIFIED, ""] -= self.verified_before
            counts[State.VERIFIED, VERIFIED_BEFORE] = self.verified_before
        for (outcome, meaning), count in counts.most_common():
            table.add_row(str(count), outcome, meaning)
        reasons = Counter((reject.reason, reject.remedy) for reject in rejects)
        for (reason, remedy), count in reasons.most_common():
            table.add_row(str(count), "rejected", f"{reason}: {as_options(remedy)}")
        return table

    def funnel(self) -> str:
        """Say how far the numbers have come; raise what fails the demo if their people were told otherwise."""
        waiting = self.in_state(State.CODE_SENT)
        sent, verified, killed = map(self._numbers, (State.CODE_SENT, State.VERIFIED, State.SENDING))
        tries = {number: error.tries_left for number in sent if isinstance(error := self.said.get(number), WrongCode)}
        in_vain = {number for number in killed | sent if isinstance(self.said.get(number), NothingPending)}
        left = " or ".join(sorted({str(count) for count in tries.values()}))
        until = clock(max((record.expires_at for record in waiting if record.expires_at), default=None))
        told = (
            f"queued {len(self.records)} → code sent {len(sent | verified)} → verified {len(verified)}, "
            f"wrong code {len(tries)} (tries left: {left}), still unanswered {len(sent - self.said.keys())}\n"
            f"(these {len(sent)} codes work until {until} at the latest)"
        )
        if in_vain:
            told += (
                f"\n{len(in_vain)} have entered codes of which Plivo's ids were unknown here: "
                f"{len(in_vain & killed)} of the {len(killed)} whose worker was killed"
            )
        right = {number for number, error in self.said.items() if error is None} & self.records.keys()
        if right != verified or self.records.keys() & self.said.keys() != verified | tries.keys() | in_vain:
            raise self.environment.worker.failed(f"the records and what people were told differ ({told})")
        return told

    def compare(self) -> str:
        """Say that Plivo's lists have just the codes and numbers told of here, or raise what fails the demo."""
        sends, at_plivo = self.environment.sends(), self.environment.verified()
        sent, verified, killed = map(self._numbers, (State.CODE_SENT, State.VERIFIED, State.SENDING))
        taken = killed & sends.keys()
        doubled = sum(count > 1 for count in sends.values())
        person = runtime.ledger().read(PERSON)
        here = verified | ({PERSON} if person and person.state is State.VERIFIED else set())
        told = (
            f"Plivo's own list has {sends.total()} codes: the {len(sent | verified)} that are code_sent or verified, "
            f"{len(taken)} of the {len(killed)} whose worker was killed, and the person's. "
            f"Numbers that got two: {doubled}\n"
            f"Its list of verified numbers has {len(at_plivo)}: the {len(verified)} that are verified here"
            f"{', and the person' if here > verified else ''}"
        )
        rows = sum(self.batch.outcomes.get(state, 0) for state in (State.CODE_SENT, State.VERIFIED))
        agree = len(sent | verified) == rows - self.verified_before and at_plivo == here
        if doubled or not agree or sends.keys() != sent | verified | taken | {PERSON}:
            raise self.environment.worker.failed(f"the batch and Plivo differ ({told})")
        return told

    def _numbers(self, state: State) -> set[str]:
        return {record.phone_number for record in self.in_state(state)}

    def tell_of(self, console: Console, victim: str, command: str) -> None:
        """Tell the stories of a number like most, and of the one whose worker was killed."""
        console.print(f"[bold]One number's record[/] ({command} status NUMBER)\n")
        console.print(Padding.indent(number_view(self.in_state(State.VERIFIED)[0]), 2))
        codes = self.environment.sends(victim).total()
        console.print(f"\n[bold]The number whose worker was killed[/]: codes at Plivo: {codes}\n")
        console.print(Padding.indent(number_view(self.records[victim]), 2))
        if self._came_again(victim):
            told = "it sent what had not begun, and nothing to this number"
            console.print(f"\nIts message came again, to another child: {told}")
        console.print()

    def _came_again(self, victim: str) -> bool:
        """Wait until the message that was lost with the child was delivered again; return whether it was."""
        deadline = time.monotonic() + REDELIVERY_SECONDS
        while time.monotonic() < deadline:
            if any(
                mask(victim) in line and "nothing to send" in line for line in self.environment.worker.log.splitlines()
            ):
                return True
            time.sleep(LOOK_SECONDS)
        return False

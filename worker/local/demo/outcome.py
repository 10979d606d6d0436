"""The outcome of the demo's batch, by its own counts, and a comparison with Plivo's own lists."""

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
from ringproof.errors import NotConfirmed, NothingPending, WrongCode
from ringproof.ledger.activity import sender_of
from ringproof.ledger.record import Record, State
from ringproof.rosters.row import Reject
from worker.local.demo.environment import Environment
from worker.local.demo.incidents import PERSON, read_batch
from worker.views.number import number_view
from worker.views.text import as_options, clock

MEANINGS: Final = {
    "joined": "the number is in another row, in another notation: no second code",
    "live": "the same, after its code was sent",
}
VERIFIED_BEFORE: Final = "the same, after the number was verified"


@dataclass(frozen=True)
class Comparison:
    """A batch that sends nothing more, and the records of its numbers."""

    environment: Environment
    batch: Batch
    verified_before: int  # rows whose number was already verified through another row
    records: Mapping[str, Record]
    results: Mapping[str, NotConfirmed | None]  # of the codes that people entered: None if the code was right

    @classmethod
    def of(cls, environment: Environment, name: str, results: Mapping[str, NotConfirmed | None]) -> "Comparison":
        """Read a batch and the records of its rows. Raises `UnknownBatch`."""
        ledger = runtime.ledger()
        rows = list(batch_rows(ledger, name))
        records = ledger.read_many([(number, None) for number in dict.fromkeys(row.number for row in rows)])
        batch = read_batch(name)
        verified_before = sum(row.outcome == State.VERIFIED and row.uuid is None for row in rows)
        by_number = {record.phone_number: record for record in records if record}
        return cls(environment, batch, verified_before, by_number, results)

    def in_state(self, state: State) -> list[Record]:
        """Return the records in a state, in the roster's order."""
        return [record for record in self.records.values() if record.state is state]

    def outcomes(self, rejects: Iterable[Reject]) -> Table:
        """Return the table of outcomes: of the rows in the batch, and of the rejected ones."""
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right")
        lease = max((record.lease_until for record in self.in_state(State.SENDING) if record.lease_until), default=None)
        meanings = MEANINGS | {
            "sending": f"their worker was killed: in doubt from {clock(lease)} on, when their leases end"
        }
        counts = Counter(
            {(outcome, meanings.get(outcome, "")): count for outcome, count in self.batch.outcomes.items()}
        )
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
        """Return how many numbers reached each step.

        Raises `ChildProcessFailed`, which ends the demo, if the records and the results that people got differ.
        """
        waiting = self.in_state(State.CODE_SENT)
        sent, verified, killed = map(self._numbers, (State.CODE_SENT, State.VERIFIED, State.SENDING))
        results = self.results
        tries = {number: error.tries_left for number in sent if isinstance(error := results.get(number), WrongCode)}
        without_id = {number for number in killed | sent if isinstance(results.get(number), NothingPending)}
        left = " or ".join(sorted({str(count) for count in tries.values()}))
        until = clock(max((record.expires_at for record in waiting if record.expires_at), default=None))
        funnel = (
            f"queued {len(self.records)} → code sent {len(sent | verified)} → verified {len(verified)}, "
            f"wrong code {len(tries)} (tries left: {left}), still unanswered {len(sent - results.keys())}\n"
            f"(these {len(sent)} codes work until {until} at the latest)"
        )
        if without_id:
            funnel += (
                f"\nentered, but Plivo's id is unknown here {len(without_id)}: "
                f"{len(without_id & killed)} of the {len(killed)} whose worker was killed"
            )
        right = {number for number, error in results.items() if error is None} & self.records.keys()
        if right != verified or self.records.keys() & results.keys() != verified | tries.keys() | without_id:
            raise self.environment.worker.failed(f"the records and the results that people got differ ({funnel})")
        return funnel

    def compare(self) -> str:
        """Return how many codes and numbers Plivo's own lists have, after a check that they are exactly those here.

        Raises `ChildProcessFailed`, which ends the demo, if they differ.
        """
        sends, at_plivo = self.environment.codes_sent(), self.environment.verified_numbers()
        sent, verified, killed = map(self._numbers, (State.CODE_SENT, State.VERIFIED, State.SENDING))
        taken = killed & sends.keys()
        doubled = sum(count > 1 for count in sends.values())
        person = runtime.ledger().read(PERSON)
        here = verified | ({PERSON} if person and person.state is State.VERIFIED else set())
        comparison = (
            f"Plivo's own list has {sends.total()} codes: the {len(sent | verified)} that are code_sent or verified, "
            f"{len(taken)} of the {len(killed)} whose worker was killed, and the person's. "
            f"Numbers that got two: {doubled}\n"
            f"Its list of verified numbers has {len(at_plivo)}: the {len(verified)} that are verified here"
            f"{', and the person' if here > verified else ''}"
        )
        rows = sum(self.batch.outcomes.get(state, 0) for state in (State.CODE_SENT, State.VERIFIED))
        is_equal = len(sent | verified) == rows - self.verified_before and at_plivo == here
        if doubled or not is_equal or sends.keys() != sent | verified | taken | {PERSON}:
            raise self.environment.worker.failed(f"the batch and Plivo differ ({comparison})")
        return comparison

    def _numbers(self, state: State) -> set[str]:
        return {record.phone_number for record in self.in_state(state)}

    def print_records(self, console: Console, victim: str, command: str) -> None:
        """Print the record of an ordinary number, and of the number whose worker was killed."""
        console.print(f"[bold]One number's record[/] ({command} status NUMBER)\n")
        console.print(Padding.indent(number_view(self.in_state(State.VERIFIED)[0]), 2))
        codes = self.environment.codes_sent(victim).total()
        console.print(f"\n[bold]The number whose worker was killed[/]: codes at Plivo: {codes}\n")
        record = self.records[victim]
        sender = sender_of(runtime.ledger(), record)
        console.print(Padding.indent(number_view(record, sender=sender), 2))
        console.print()

"""Waits for the results of accepted requests, and prints each one once."""

import time
from collections.abc import Sequence
from itertools import islice

from ringproof import errors, runtime
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Record, State
from worker.observe.facts import read_facts
from worker.observe.findings import Finding, Severity, findings
from worker.views.exit_code import UNFINISHED_STATES, Exit
from worker.views.number import next_step_text
from worker.views.patience import PATIENCE_SECONDS, Patience
from worker.views.results import ResultPrinter
from worker.views.text import clock, counted

POLL_SECONDS = 0.05
POLLED_AT_ONCE = 500
"""How many records one round trip reads: 10,000 a second at most, however many requests are watched."""


class RequestWatcher:
    """Watches accepted requests until each has a result.

    One poll reads a bounded number of records, those first that were not read for the longest time.
    """

    def __init__(self, ledger: Ledger, results: ResultPrinter) -> None:
        self.results = results
        self.accepted: set[str] = set()
        self._ledger = ledger
        self._pending: dict[tuple[str, int], State | None] = {}  # each request with the state that was last read
        self._patience = Patience(results.say)
        self._is_patient = True
        self._polled_at = time.monotonic()

    def accept(self, number: str, task_id: str) -> None:
        """Watch this request, too."""
        self.accepted.add(number)
        self._pending[number, int(task_id.partition("/")[2])] = None
        self._patience.note_change()

    def poll(self) -> None:
        """Print the results that have come since the last poll; too soon after that one, do nothing.

        If nothing has changed for a while, or Redis does not answer, say why.
        """
        if time.monotonic() - self._polled_at < POLL_SECONDS:
            return
        try:
            unfinished = self._print_results()
            if self._patience.needs_explanation:
                self._explain_each(unfinished)
        except errors.LedgerUnavailable as error:
            self._patience.explain(None, str(error))
            if not self._is_patient:
                self.stop("Redis does not answer")
        self._polled_at = time.monotonic()

    def wait(self) -> None:
        """Print all results. After a minute without a change print where each number stands, and return."""
        while self._pending:
            time.sleep(POLL_SECONDS)
            self._is_patient = not self._patience.is_over
            self.poll()
        if not self._is_patient:
            self.results.say(f"no progress for {PATIENCE_SECONDS:.0f} s; accepted requests go on without this command")

    def stop(self, why: str) -> None:
        """Watch no longer, and say that the accepted requests go on."""
        if self._pending:
            left = counted(len(self._pending), "accepted number")
            go = "goes" if len(self._pending) == 1 else "go"
            self.results.say(f"{why}; {left} {go} on without this command: ringproof status NUMBER")
            self.results.exits.add(Exit.UNFINISHED)
            self._pending.clear()

    def _print_results(self) -> list[Record]:
        """Return the records that were read and have no result yet."""
        requests = list(islice(self._pending, POLLED_AT_ONCE))
        unfinished = []
        for request, record in zip(requests, self._ledger.read_many(requests), strict=True):
            last_state = self._pending.pop(request)
            if record is None:
                self.results.lost(request[0])
                continue
            if record.state is not last_state:
                self._patience.note_change()
            if self._has_result(record):
                self.results.ended(record)
            else:
                self._pending[request] = record.state
                unfinished.append(record)
        return unfinished

    def _has_result(self, record: Record) -> bool:
        """Return whether there is nothing more to wait for, or nothing that comes soon enough."""
        if self.results.is_done_once_accepted or not self._is_patient or record.state not in UNFINISHED_STATES:
            return True
        wait_seconds = record.due_at.timestamp() - time.time() if record.due_at else 0
        return record.state is State.WAITING and wait_seconds > PATIENCE_SECONDS

    def _explain_each(self, unfinished: Sequence[Record]) -> None:
        """Say why there is no progress, once for each state and reason."""
        for record in unfinished:
            cause = record.state, record.reason
            if not self._patience.has_explained(cause):
                still = f"still {record.state}{f' ({record.reason})' if record.reason else ''}"
                self._patience.explain(cause, f"{still}: {_why_unfinished(self._ledger, record)}")


def _why_unfinished(ledger: Ledger, record: Record) -> str:
    if record.state is State.SENDING:
        lease = clock(record.lease_until)
        return f"a worker waits for its slot, or for Plivo's answer; without an answer by {lease} it is in doubt"
    if record.state is State.WAITING:
        return next_step_text(record)
    facts = read_facts(ledger, runtime.ledger() if ledger.keys.account else None)
    own = [one for one in findings(facts) if _concerns(one, record.lane)]
    if own:
        return f"{own[0].sentence}; {own[0].remedy}"
    takers = [one.worker for one in facts.consumers(queue(record.lane))]
    return f"{', '.join(takers)} {'has' if len(takers) == 1 else 'have'} other codes to send first"


def _concerns(finding: Finding, lane: Lane) -> bool:
    """Whether a finding is why a number of this lane does not move: all lanes wait, or nobody takes its queue."""
    return finding.lane == lane or (finding.lane is None and finding.severity is not Severity.WARNING)

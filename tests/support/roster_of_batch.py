"""Batches of a test: rows with numbers that no other test uses, their import, and the feeder in simulated time."""

from support.harness import fresh_number
from support.simulation import Simulation

from ringproof.batches.importing import NO_PRICES, begin_import
from ringproof.batches.summary import batch_summary, recount
from ringproof.ledger.agenda import release_refused
from ringproof.ledger.answers import Outcome, PlivoSignal, Verdict
from ringproof.ledger.record import State
from ringproof.rosters.roster import roster_of
from ringproof.rosters.row import Row
from tasks import feeder, sweep

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)


def import_rows(ledger, name, rows, *, paused=False, payment=NO_PRICES, **options):
    """Import rows as the command does."""
    roster = roster_of(rows, **options)
    with begin_import(ledger, name, fingerprint=None, source="a test") as importing:
        for row in roster:
            if isinstance(row, Row):
                importing.add(row)
        return importing.finish(paused=paused, payment=payment)


class Batches(Simulation):
    """Simulated time, with a feeder and a sweep whose messages are kept until the test has them worked."""

    def __init__(self, client, monkeypatch, rate="300/5s", **policy):
        super().__init__(client, rate, **policy)
        self.messages = []
        self.queue = []
        for module in (feeder, sweep):
            monkeypatch.setattr(module, "send_chunk", self._keep)
        monkeypatch.setattr(
            sweep, "send_message", lambda message: self._keep([(message.args[0], message.kwargs["request"])])
        )

    def _keep(self, requests, *_):
        self.messages.append(list(requests))
        self.queue += requests
        return True

    def roster(self, name, count, *, call=0, **options):
        """Import so many numbers, `call` of them for calls; return them."""
        numbers = [fresh_number() for _ in range(count)]
        rows = [{"phone": n, "channel": "call" if at < call else "sms"} for at, n in enumerate(numbers)]
        import_rows(self.ledger, name, rows, **options)
        return numbers

    def feed(self, seconds=0.0, quiet=None):
        """Let time pass and Plivo's list be read, and then run a tick of the sweep and one of the feeder."""
        self.pass_(seconds)
        self.client.hset(self.ledger.keys.list_scan("reconcile"), "looked", self.now_us // 1000 + 1)
        release_refused(self.ledger, sweep.PORTION)
        sweep.sweep_once(self.ledger)
        return feeder.feed_once(self.ledger, quiet)

    def work(self, outcome=TAKEN, most=10**6):
        """Work the queue, each request at its slot, until one gets no slot; return the numbers that were sent to."""
        sent, refused = [], 0
        while self.queue and len(sent) < most and refused < 1000:
            request = self.queue.pop(0)
            begun = self.begin(request)
            if begun.verdict is Verdict.BEGUN:
                self.at(max(self.now_us, begun.at_us))
                self.settle(begun, outcome(request[0]) if callable(outcome) else outcome)
                sent.append(request[0])
                refused = 0
            elif begun.verdict is Verdict.LATER:
                self.queue.insert(0, request)
                self.at(max(self.now_us, begun.at_us) + 500)
                refused += 1
        return sent

    def until_empty(self, outcome=TAKEN, most=200):
        """Feed and work until no row is left; return the numbers that were sent to."""
        sent, idle = [], 0
        for _ in range(most):
            fed = self.feed(1.0)
            idle = 0 if fed.rows or self.queue else idle + 1
            sent += self.work(outcome)
            if idle == 3:
                return sent
        raise AssertionError(f"after {most} ticks there were still rows to feed or to work")

    def summary(self, name):
        """Return the summary of a batch, whose counts a recount must confirm."""
        kept, recounted = recount(self.ledger, name)
        assert kept == recounted
        return batch_summary(self.ledger, name)

    def person(self, number, **options):
        return self.ledger.accept(number, token=f"person:{number}:{self.now_us}", country="US", **options)

    def state_of(self, number):
        return self.ledger.read(number).state

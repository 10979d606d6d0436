"""Batches of a test: rows with numbers that nobody else has, their import, and the feeder in simulated time."""

from support.harness import fresh_number
from support.simulation import Simulation

from ringproof.batches import operations
from ringproof.ledger.answers import Outcome, PlivoSignal, Verdict
from ringproof.ledger.record import State
from ringproof.rosters.roster import roster_of
from ringproof.rosters.row import Row
from tasks import feeder, sweep

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)


def import_rows(ledger, name, rows, *, paused=False, **options):
    """Import them as the command does."""
    roster = roster_of(rows, **options)
    with operations.open_batch(ledger, name, fingerprint=None, source="a test") as importing:
        for row in roster:
            if isinstance(row, Row):
                importing.add(row)
        return importing.finish(paused=paused)


class Batches(Simulation):
    """Simulated time, with a feeder and a sweep whose messages are kept, and worked when the test says so."""

    def __init__(self, client, monkeypatch, rate="300/5s", **policy):
        super().__init__(client, rate, **policy)
        self.messages = []
        self.queue = []
        for module in (feeder, sweep):
            monkeypatch.setattr(module, "send_chunk", self._keep)
        monkeypatch.setattr(sweep, "send_message", lambda number, request, *_, **__: self._keep([(number, request)]))

    def _keep(self, requests, *_):
        self.messages.append(list(requests))
        self.queue += requests
        return True

    def roster(self, name, count, *, call=0, **options):
        """Import so many numbers, `call` of them to be called; return them."""
        numbers = [fresh_number() for _ in range(count)]
        rows = [{"phone": n, "channel": "call" if at < call else "sms"} for at, n in enumerate(numbers)]
        import_rows(self.ledger, name, rows, **options)
        return numbers

    def feed(self, seconds=0.0, quiet=None):
        """Let time pass, and the ticks of the feeder and the sweep happen, when Plivo's list was read."""
        self.pass_(seconds)
        self.client.hset(self.ledger.keys.list_scan("reconcile"), "looked", self.now_us // 1000 + 1)
        sweep.sweep_once(self.ledger)
        return feeder.feed_once(self.ledger, quiet)

    def work(self, outcome=TAKEN, most=10**6):
        """Work what is in the queue, each at its slot, as far as it gets one; return the numbers that were sent to."""
        sent, stuck = [], 0
        while self.queue and len(sent) < most and stuck < 1000:
            asked = self.queue.pop(0)
            begun = self.begin(asked)
            if begun.verdict is Verdict.BEGUN:
                self.at(max(self.now_us, begun.at_us))
                self.settle(begun, outcome(asked[0]) if callable(outcome) else outcome)
                sent.append(asked[0])
                stuck = 0
            elif begun.verdict is Verdict.LATER:
                self.queue.insert(0, asked)
                self.at(max(self.now_us, begun.at_us) + 500)
                stuck += 1
        return sent

    def until_empty(self, outcome=TAKEN, most=200):
        """Feed and work until nothing is left to be fed or worked; return what was sent to."""
        sent, idle = [], 0
        for _ in range(most):
            fed = self.feed(1.0)
            idle = 0 if fed.rows or self.queue else idle + 1
            sent += self.work(outcome)
            if idle == 3:
                return sent
        raise AssertionError("it goes on and on")

    def look(self, name):
        """What is known of a batch, which a recount must say, too."""
        kept, counted = operations.audit(self.ledger, name)
        assert kept == counted
        return operations.read(self.ledger, name)

    def person(self, number, **options):
        return self.ledger.accept(number, token=f"person:{number}:{self.now_us}", country="US", **options)

    def state_of(self, number):
        return self.ledger.read(number).state

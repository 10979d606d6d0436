"""Batches that want the same numbers, with whatever may happen to them in any order, in simulated time.

After each move the counts are those of a recount. Nobody gets two codes, nor one that nobody wants; in the end each
batch is completed or cancelled, and of what another one had joined nothing was lost. A seed's moves are printed.
"""

import random
from datetime import timedelta

import pytest
from support.harness import LONG, fresh_number
from support.roster_of_batch import TAKEN, Batches, import_rows

from ringproof.batches import erasure, operations
from ringproof.batches.model import BatchState
from ringproof.batches.rows import batch_rows
from ringproof.batches.summary import batch_summary, recount
from ringproof.ledger.acceptance import Disposition
from ringproof.ledger.answers import Outcome, PlivoSignal, Verdict
from ringproof.ledger.record import Reason, State
from tasks.sweep import end_doubt

SEEDS = 400 if LONG else 15
MOVES, MOST_BATCHES = 60, 7
CODE_US = 14 * 60 * 1_000_000  # a little less than a code lives
WANTING = {BatchState.RUNNING, BatchState.COMPLETED}
OUTCOMES = {
    TAKEN: 5,
    Outcome(State.FAILED, Reason.REJECTED, "400", plivo_signal=PlivoSignal.ANSWERED): 1,
    Outcome(State.IN_DOUBT): 1,
    Outcome(State.WAITING, Reason.UNREACHABLE, "refused", timedelta(seconds=30)): 1,
}
RETRIED = ["rejected", "in_doubt", "unreachable", "too_late", "capped"]


class Play:
    """A few numbers that many batches want, and what has happened to them."""

    def __init__(self, world, seed):
        self.world, self.chance = world, random.Random(seed)
        self.numbers = [fresh_number() for _ in range(3)]
        self.wanted, self.imported_us = {}, {}
        self.persons, self.erased = set(), set()
        self.sends = []
        self.moves = {
            self.import_one: 2, self.feed: 4, self.work: 1, self.begin_and_ask_again: 2, self.pause: 1, self.resume: 1,
            self.cancel: 1, self.retry: 1, self.a_person_asks: 0.3, self.erase: 0.15, self.wait: 1, self.wait_long: 1,
        }  # fmt: skip

    def move(self):
        (move,) = self.chance.choices(list(self.moves), list(self.moves.values()))
        move()
        self.agree()

    def state(self, name):
        return batch_summary(self.world.ledger, name).state

    def agree(self):
        for name in self.wanted:
            kept, counted = recount(self.world.ledger, name)
            assert kept == counted
            assert kept.state is not BatchState.COMPLETED or not kept.unfinished

    def import_one(self):
        name = f"b{len(self.wanted)}"
        if len(self.wanted) == MOST_BATCHES:
            return
        self.wanted[name] = self.chance.sample(self.numbers, self.chance.randint(1, 3))
        self.imported_us[name] = self.world.now_us
        paused = self.chance.random() < 0.2
        print("import", name, self.wanted[name], "paused" if paused else "")
        import_rows(self.world.ledger, name, self.wanted[name], paused=paused)

    def feed(self):
        self.world.feed(self.chance.choice([0, 1, 5]))

    def work(self):
        self.world.work(self.outcome)

    def outcome(self, number):
        """What comes of a send, to somebody whom a batch or a person wants sent to, and who has no code."""
        wanting = [name for name, numbers in self.wanted.items() if number in numbers and self.state(name) in WANTING]
        assert wanting or number in self.persons, f"nobody wants {number} to be sent to"
        (outcome,) = self.chance.choices(list(OUTCOMES), list(OUTCOMES.values()))
        if outcome.state in {State.CODE_SENT, State.IN_DOUBT}:
            last = max((at for at, to in self.sends if to == number), default=0)
            assert self.world.now_us - last > CODE_US, f"{number} has got two codes"
            self.sends.append((self.world.now_us, number))
        print("send", number, outcome.state, "for", wanting)
        return outcome

    def begin_and_ask_again(self):
        """One is begun; something happens before its slot, and it is asked about again."""
        if not self.world.queue:
            return
        asked = self.world.queue.pop(0)
        begun = self.world.begin(asked)
        if begun.verdict is not Verdict.BEGUN:
            self.world.queue.append(asked)
            return
        print("begun", asked[0])
        for _ in range(2):
            self.chance.choice([self.feed, self.pause, self.cancel, self.agree])()
        (again,) = self.world.ledger.begin([asked], fence=begun.fence)
        if again.verdict is Verdict.BEGUN:
            self.world.at(max(self.world.now_us, begun.at_us))
            self.world.settle(begun, self.outcome(asked[0]))
        else:
            self.world.queue.append(asked)

    def _steer(self, steer):
        if self.wanted:
            name = self.chance.choice(list(self.wanted))
            print(steer.__name__, name)
            steer(self.world.ledger, name)

    def pause(self):
        self._steer(operations.pause)

    def resume(self):
        self._steer(operations.resume)

    def cancel(self):
        self._steer(operations.cancel)

    def retry(self):
        if self.wanted:
            name = self.chance.choice(list(self.wanted))
            print("retry", name)
            operations.retry(self.world.ledger, name, RETRIED)

    def a_person_asks(self):
        number = self.chance.choice(self.numbers)
        self.persons.add(number)
        accepted = self.world.person(number)
        print("person", number, accepted.disposition)
        if accepted.disposition is Disposition.ACCEPTED or accepted.promoted:
            self.world.queue.append((number, accepted.request))

    def erase(self):
        number = self.chance.choice(self.numbers)
        self.erased.add(number)
        print("erase", number)
        erasure.erase_number(self.world.ledger, number)

    def wait(self):
        self.world.feed(self.chance.choice([60, 600]))

    def wait_long(self):
        """Until codes are over, and doubts are decided."""
        self.world.feed(16 * 60)
        for number in self.numbers:
            record = self.world.ledger.read(number)
            if record and record.state is State.IN_DOUBT and record.live_until <= self.world.moment():
                end_doubt(self.world.ledger, record, None, hold=False)

    def end(self):
        """Resume all that is paused, and let a few hours go by."""
        for name in self.wanted:
            if self.state(name) is BatchState.PAUSED:
                operations.resume(self.world.ledger, name)
        for _ in range(12):
            for _ in range(3):
                self.world.feed(1)
                self.work()
            self.wait_long()
            self.agree()
        for _ in range(3):
            self.world.feed(1)
            self.work()

    def lost(self):
        """Rows that stand on a request of another batch, which was cancelled, and no code came since their import."""
        for name in self.wanted:
            if self.state(name) is BatchState.CANCELLED:
                continue
            for row in batch_rows(self.world.ledger, name):
                record = self.world.ledger.read(row.number) if row.outcome == "joined" else None
                if record is None or record.state is not State.CANCELLED or row.number in self.persons | self.erased:
                    continue
                sent = any(to == row.number and at >= self.imported_us[name] for at, to in self.sends)
                failed = any(change.state is State.FAILED for change in record.history)
                if not sent and not failed:
                    yield name, record


@pytest.mark.parametrize("seed", range(SEEDS))
def test_moves_in_any_order_lose_no_number_and_double_no_code(client, monkeypatch, seed):
    play = Play(Batches(client, monkeypatch, max_codes_per_day=5), seed)
    for _ in range(MOVES):
        play.move()
    play.end()

    for name in play.wanted:
        found = batch_summary(play.world.ledger, name)
        capped = any(outcome.startswith("waiting:cap") for outcome in found.outcomes)
        assert (
            found.state is BatchState.COMPLETED
            or (found.state is BatchState.CANCELLED and not found.unfinished)
            or capped
        )
    assert not list(play.lost())

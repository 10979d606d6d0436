"""Everybody at once on a few numbers: accept, promote, resend, cancel, begin, settle and the sweep; one winner each."""

import itertools
import random
import secrets
import threading
import time
from datetime import timedelta

from support.harness import LONG, eventually, fresh_number
from support.number_in_ledger import CLOCK, SENT
from support.simulation import UNLIMITED

from ringproof.ledger.acceptance import TABLE, Disposition, RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, Settled, Verdict
from ringproof.ledger.connection import connect
from ringproof.ledger.durations import Durations
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Policy, Rate

SECONDS = 20.0 if LONG else 3.0
THREADS = 8
SHORT = Durations(
    lease=timedelta(milliseconds=40),
    code=timedelta(milliseconds=120),
    code_margin=timedelta(),
    enqueue_again=timedelta(milliseconds=20),
    look_up=timedelta(milliseconds=20),
)
OUTCOMES = [
    SENT,
    Outcome(State.IN_DOUBT, detail="504"),
    Outcome(State.FAILED, Reason.REJECTED),
    Outcome(State.WAITING, Reason.UNREACHABLE, wait=timedelta(milliseconds=10)),
]
QUEUES = {lane: f"races:{queue(lane)}" for lane in Lane}


class Contestant(threading.Thread):
    """One process of the many, with a connection of its own, and a note of each answer that it got."""

    def __init__(self, url, prefix, numbers, over, seed):
        super().__init__()
        self.ledger = Ledger(connect(url), prefix=prefix, clock=CLOCK, durations=SHORT)
        self.numbers, self.over, self.chance = numbers, over, random.Random(seed)
        self.accepted, self.begun, self.settled, self.cancelled, self.worked = [], [], [], [], []
        self.error = None

    def run(self):
        try:
            while not self.over.is_set():
                self.chance.choice(
                    [self.accept, self.accept, self.send, self.send, self.send, self.cancel, self.sweep]
                )()
        except Exception as error:  # noqa: BLE001  # the test reports it
            self.error = error
        finally:
            self.ledger.client.close()

    def accept(self):
        kind, number = self.chance.choice(list(RequestKind)), self.chance.choice(self.numbers)
        lane = Lane.BULK if kind is RequestKind.ROSTER else Lane.INTERACTIVE
        self.accepted.append((number, self.ledger.accept(number, token=secrets.token_hex(6), kind=kind, lane=lane)))

    def send(self):
        number = self.chance.choice(self.numbers)
        record = self.ledger.read(number)
        if record is None:
            return
        (begun,) = self.ledger.begin([(number, record.request)])
        if begun.verdict is not Verdict.BEGUN:
            return
        at = begun.record.lease_until.timestamp()  # the slot, and a lease
        outcome = self.chance.choice(OUTCOMES)
        sent = outcome in OUTCOMES[:2]
        self.begun.append((number, at, sent, begun.record.request, begun.record.resend))
        if self.chance.random() < 0.2:  # it is slow, and others go on
            time.sleep(self.chance.random() * 0.25)
        answers = [self.ledger.settle(number, begun.record.request, begun.fence, outcome) for _ in range(2)]
        self.settled.append((begun.fence, answers))

    def cancel(self):
        number = self.chance.choice(self.numbers)
        record = self.ledger.read(number)
        if record:
            self.cancelled.append((number, record.request, self.ledger.cancel(number, record.request)))

    def sweep(self):
        for entry in work_off_agenda(self.ledger, 10, QUEUES):
            self.worked.append(entry.action)


def test_of_many_changes_at_once_one_wins_and_the_others_learn_it(redis_server, client):
    prefix, seed = f"t{secrets.token_hex(4)}", secrets.randbelow(10**6)
    print(f"seed {seed}")
    numbers = [fresh_number() for _ in range(4)]
    ledger = Ledger(client, prefix=prefix, clock=CLOCK, durations=SHORT)
    client.delete("test:clock", "test:stopped_us")
    ledger.publish_policy(Policy(rate=Rate.parse("1000/0.001s"), cooldown_ms=50, max_codes_per_day=10**6, **UNLIMITED))
    over = threading.Event()
    contestants = [Contestant(redis_server.url, prefix, numbers, over, seed + nth) for nth in range(THREADS)]

    def all_of(name):
        return [entry for contestant in contestants for entry in list(getattr(contestant, name))]

    def was_a_race():
        """Whether there was enough of each: a busy machine needs longer."""
        answers = {one for _, twice in all_of("settled") for one in twice}
        worked = {AgendaAction.DOUBTED, AgendaAction.ENQUEUE} <= set(all_of("worked"))
        return worked and answers == set(Settled) and sum(sent for _, _, sent, *_ in all_of("begun")) > 40

    for contestant in contestants:
        contestant.start()
    try:
        over.wait(SECONDS)
        eventually(lambda: was_a_race() or any(contestant.error for contestant in contestants), within=60)
    finally:
        over.set()
        for contestant in contestants:
            contestant.join()

    assert [contestant.error for contestant in contestants] == [None] * THREADS
    known = {answer for answers in TABLE.values() for answer in answers.values()} | {Disposition.COOLING_DOWN}
    seen = {accepted.disposition for _, accepted in all_of("accepted")}
    assert seen <= known
    assert {Disposition.ACCEPTED, Disposition.SAME, Disposition.RETURNED, Disposition.LIVE} <= seen, "it was a race"
    assert {AgendaAction.DOUBTED, AgendaAction.ENQUEUE} <= set(all_of("worked"))

    accepted = [(number, one.request) for number, one in all_of("accepted") if one.disposition is Disposition.ACCEPTED]
    assert len(accepted) == len(set(accepted)), "each accepted request has a number of its own"

    sends = sorted(entry for entry in all_of("begun") if entry[2])
    assert len(sends) > 20
    for (number, at, _, request, _), (other, later, _, newer, resend) in itertools.pairwise(sends):
        if number == other:
            assert request != newer, "one send a request"
            assert resend or later - at > SHORT.code.total_seconds() - 0.002, "one live code a number"

    assert {one for _, twice in all_of("settled") for one in twice} == set(Settled)
    assert not [twice for _, twice in all_of("settled") if twice[1] is Settled.SETTLED], "nothing is settled twice"
    won = [(number, request) for number, request, answer in all_of("cancelled") if answer is Settled.SETTLED]
    assert len(won) == len(set(won)), "one of those that cancel a request does"
    assert not set(won) & {(number, request) for number, _, _, request, _ in sends}, "what was cancelled was not sent"

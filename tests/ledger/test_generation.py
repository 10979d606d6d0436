"""A Redis that has gone back: the gate closes, the processes report what they remember, and sending goes on."""

import random
import secrets
import time
from dataclasses import replace
from datetime import timedelta

import pytest
import redis
from support.harness import eventually, fresh_number
from support.number_in_ledger import CLOCK

from ringproof import clock
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.answers import Outcome, Verdict
from ringproof.ledger.durations import Durations
from ringproof.ledger.gate import read_gate
from ringproof.ledger.generation import has_gone_back, read_generation
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Policy, Rate

UUID = "11111111-2222-3333-4444-555555555555"
FAST = Rate.parse("1000/0.1s")
FREE = Policy(rate=FAST, call_rate=FAST, range_codes_per_hour=0, max_codes_per_day=10)
NOBODY = "0" * 40


def sent():
    return Outcome(State.CODE_SENT, verification_uuid=secrets.token_hex(18), api_id=secrets.token_hex(18))


OUTCOMES = {
    "sent": sent,
    "doubt": lambda: Outcome(State.IN_DOUBT),
    "rejected": lambda: Outcome(State.FAILED, Reason.REJECTED, "400"),
    "unreachable": lambda: Outcome(State.WAITING, Reason.UNREACHABLE, "503", wait=timedelta(), counted=False),
    "under way": None,
}


class Moved:
    """Python's `time`, whose clocks are ahead."""

    def __init__(self):
        self.ahead = 0.0

    def __getattr__(self, name):
        return getattr(time, name)

    def clock_gettime(self, which):
        return time.clock_gettime(which) + self.ahead


class World:
    """One prefix with processes that remember, in a Redis that can be brought back."""

    def __init__(self, server, monkeypatch, lease=timedelta(seconds=45)):
        self.client = redis.Redis.from_url(server.url, decode_responses=True)
        self.raw = redis.Redis.from_url(server.url)
        self.client.delete("test:clock", "test:stopped_us")
        self.prefix = f"g{secrets.token_hex(4)}"
        self.durations = Durations(lease=lease)
        self.time = Moved()
        monkeypatch.setattr(clock, "time", self.time)
        self.operator = self.process("")
        self.operator.publish_policy(FREE)
        self.keys = self.operator.keys

    def close(self):
        self.client.close()
        self.raw.close()

    def process(self, member):
        ledger = Ledger(self.client, prefix=self.prefix, clock=CLOCK, durations=self.durations)
        if member:
            ledger.generation.begin_watching(member)
            ledger.generation.watch = lambda: None  # the tests compare by themselves
        return ledger

    def move(self, seconds):
        self.time.ahead += seconds
        self.client.incrbyfloat("test:clock", seconds)

    def state(self):
        """Everything that Redis has, apart from what it knows about the gate itself."""
        return {key: self.raw.dump(key) for key in sorted(self.raw.scan_iter(f"{self.prefix}:*"))}

    def content(self):
        kinds = {"hash": "hgetall", "string": "get"}
        found = {}
        for key in self.client.scan_iter(f"{self.prefix}:*"):
            kind = self.client.type(key)
            if key.endswith((":generation", ":pace")):
                continue
            if kind == "zset":
                found[key] = dict(self.client.zrange(key, 0, -1, withscores=True))
            elif kind in kinds:
                found[key] = getattr(self.client, kinds[kind])(key)
        return found

    def bring_back(self, state, server=None):
        """Make Redis what it was; with `server`, it was another one."""
        for key in list(self.raw.scan_iter(f"{self.prefix}:*")):
            self.raw.delete(key)
        for key, dumped in state.items():
            self.raw.restore(key, 0, dumped)
        if server:
            self.client.hset(self.keys.generation, "server", server)

    @property
    def gate(self):
        return read_gate(self.client.hgetall(self.keys.generation))

    def until_open(self, *processes, within=10.0):
        """Have the processes compare until the gate is open; return how long it took, by the moved clock."""
        began = clock.boot_clock()
        while sum(one.generation.compare() for one in processes):
            assert clock.boot_clock() - began < within, self.client.hgetall(self.keys.generation)
            self.move(0.25)
        return clock.boot_clock() - began

    def accept(self, number, kind=RequestKind.ROSTER, lane=Lane.BULK):
        return self.operator.accept(number, token=secrets.token_hex(8), kind=kind, lane=lane, country="US")

    def begin(self, process, number, request):
        (begun,) = process.begin([(number, request)], fence=(process.generation.member or "f") + secrets.token_hex(6))
        return begun

    def send(self, process, number, request, outcome=None):
        while (begun := self.begin(process, number, request)).verdict is Verdict.LATER and not self.gate.is_closed:
            self.move(0.01)
        assert begun.verdict is Verdict.BEGUN, begun
        process.settle(number, request, begun.fence, outcome or sent())
        return begun


@pytest.fixture
def world(redis_server, monkeypatch):
    world = World(redis_server, monkeypatch)
    yield world
    world.close()


def numbers(world, process, count, **outcome):
    made = [fresh_number() for _ in range(count)]
    for number in made:
        world.send(process, number, world.accept(number).request, **outcome)
    return made


def test_a_new_installation_is_open_at_once(world):
    a = world.process("aaaaaaaa")
    number = fresh_number()

    assert world.begin(a, number, world.accept(number).request).verdict is Verdict.BEGUN
    assert not world.gate.is_closed
    assert a.generation.seen.endswith(" 1")


def test_two_prefixes_on_one_redis_know_nothing_of_each_other(world, redis_server, monkeypatch):
    a = world.process("aaaaaaaa")
    numbers(world, a, 2)
    other = World(redis_server, monkeypatch)
    b = other.process("aaaaaaaa")
    numbers(other, b, 1)
    other.bring_back({})
    b.generation.compare()

    assert other.gate.is_closed
    assert not a.generation.compare()
    other.close()


def test_a_process_that_has_seen_more_closes_the_gate_and_nothing_is_begun(world):
    a, b = world.process("aaaaaaaa"), world.process("bbbbbbbb")
    numbers(world, a, 1)
    number = fresh_number()
    request = world.accept(number).request
    before = world.state()
    numbers(world, a, 1)
    world.bring_back(before)

    assert world.begin(a, number, request).verdict is Verdict.LATER
    assert world.begin(b, number, request).verdict is Verdict.LATER, "who has seen nothing does not begin either"
    assert world.gate.is_closed
    assert world.gate.went_back


def test_another_server_closes_the_gate_although_nothing_is_missing(world):
    a, b = world.process("aaaaaaaa"), world.process("bbbbbbbb")
    numbers(world, a, 3)
    world.bring_back(world.state(), server=NOBODY)
    number = fresh_number()
    request = world.accept(number).request

    assert world.begin(b, number, request).verdict is Verdict.LATER
    took = world.until_open(a, b)
    assert 1.4 < took < 3
    assert world.begin(b, number, request).verdict is Verdict.BEGUN
    gate = world.gate
    assert (gate.went_back, gate.mended, gate.unreported, gate.forgotten) == (False, 0, 0, 0)
    assert not control.sending_status(world.operator).pauses


def test_a_clean_stop_of_all_holds_nothing_up(world):
    a = world.process("aaaaaaaa")
    numbers(world, a, 3)
    a.generation.close()
    world.bring_back(world.state(), server=NOBODY)
    b = world.process("bbbbbbbb")
    number = fresh_number()
    request = world.accept(number).request
    world.begin(b, number, request)

    assert world.until_open(b) < 3
    assert world.begin(b, number, request).verdict is Verdict.BEGUN
    assert not control.sending_status(world.operator).pauses


def test_what_was_sent_in_the_lost_time_is_reported_and_sent_to_no_more(world):
    a, b = world.process("aaaaaaaa"), world.process("bbbbbbbb")
    numbers(world, a, 2)
    waiting = [fresh_number() for _ in range(3)]
    requests = {number: world.accept(number).request for number in waiting}
    before = world.state()
    world.send(a, waiting[0], requests[waiting[0]])
    world.send(b, waiting[1], requests[waiting[1]])
    unknown = numbers(world, b, 1)[0]
    world.bring_back(before)
    world.until_open(a, b)

    states = [world.operator.read(number).state for number in (*waiting, unknown)]
    assert states == [State.CODE_SENT, State.CODE_SENT, State.QUEUED, State.CODE_SENT]
    assert world.gate.mended == 3
    assert [world.begin(a, number, requests[number]).verdict for number in waiting] == [
        *(Verdict.NOTHING, Verdict.NOTHING, Verdict.BEGUN)
    ]


@pytest.mark.parametrize("is_newer_asked_for", [False, True])
def test_a_test_number_stays_one_and_counts_in_no_cap(world, is_newer_asked_for):
    a = world.process("aaaaaaaa")
    numbers(world, a, 1)
    number = fresh_number()
    world.operator.publish_policy(replace(FREE, test_numbers=(number,)))
    request = world.accept(number).request
    before = world.state()
    world.send(a, number, request)
    world.bring_back(before)
    if is_newer_asked_for:
        world.client.hset(world.keys.record(number), mapping={"request": request + 1, "resend": "1"})
    world.until_open(a)

    packed = world.client.hgetall(world.keys.record(number))
    assert packed["verification_uuid"]
    assert packed["test"] == "1"
    assert not {"codes", "calls"} & packed.keys()


def test_an_emptied_redis_gets_everything_back(world):
    a = world.process("aaaaaaaa")
    known = numbers(world, a, 5)
    world.bring_back({})
    world.operator.publish_policy(FREE)
    number = known[0]
    again = world.accept(number)  # somebody asks for it before anybody has noticed
    assert world.begin(a, number, again.request).verdict is Verdict.LATER
    world.until_open(a)

    assert {world.operator.read(one).state for one in known} == {State.CODE_SENT}
    assert world.begin(a, number, again.request).verdict is Verdict.NOTHING
    assert world.accept(number).disposition is Disposition.LIVE


def test_a_machine_that_was_started_a_minute_ago_brings_back_everything_too(world):
    world.time.ahead = 60 - clock.boot_clock()
    a = world.process("aaaaaaaa")
    numbers(world, a, 2)
    world.bring_back({})
    world.until_open(a)

    assert (world.gate.mended, world.gate.unreported) == (2, 0)


def test_a_process_that_never_reports_holds_the_gate_for_its_lease_and_then_what_it_may_have_sent(world):
    a, dead = world.process("aaaaaaaa"), world.process("dddddddd")
    number, persons = fresh_number(), fresh_number()
    request = world.accept(number).request
    of_person = world.accept(persons, RequestKind.PERSON, Lane.INTERACTIVE).request
    numbers(world, a, 1)
    numbers(world, dead, 1)
    world.bring_back(world.state(), server=NOBODY)
    took = world.until_open(a, within=60)
    world.move(2)
    newer = fresh_number()
    of_newer = world.accept(newer, RequestKind.PERSON, Lane.INTERACTIVE).request

    assert 45 <= took < 47
    assert world.begin(a, number, request).verdict is Verdict.WAITING
    assert world.begin(a, persons, of_person).verdict is Verdict.WAITING
    assert world.begin(a, newer, of_newer).verdict is Verdict.BEGUN, "nobody has sent to who asks now"
    gate = world.gate
    assert (gate.unreported, gate.forgotten, gate.went_back) == (1, 2, False)
    (pause,) = control.sending_status(world.operator).pauses
    assert pause.kind == "forgotten"
    assert timedelta(minutes=15) < pause.next_look - gate.closing < timedelta(minutes=17)

    control.resume(world.operator)
    assert not control.sending_status(world.operator).pauses
    late = fresh_number()
    assert world.begin(a, late, world.accept(late).request).verdict is Verdict.BEGUN


def test_what_nobody_remembers_is_held_no_longer_than_a_code_can_live(world):
    a, dead = world.process("aaaaaaaa"), world.process("dddddddd")
    numbers(world, a, 1)
    numbers(world, dead, 1)
    world.bring_back(world.state(), server=NOBODY)
    world.until_open(a, within=60)
    number = fresh_number()
    request = world.accept(number).request
    assert world.begin(a, number, request).verdict is Verdict.WAITING
    world.move(16 * 60 + 30)
    late = fresh_number()

    assert world.begin(a, late, world.accept(late).request).verdict is Verdict.BEGUN
    assert not control.sending_status(world.operator).pauses


def test_a_process_that_died_long_before_holds_nothing_up(world):
    a, dead = world.process("aaaaaaaa"), world.process("dddddddd")
    numbers(world, dead, 1)
    world.move(5)
    numbers(world, a, 1)
    world.bring_back(world.state(), server=NOBODY)

    assert world.until_open(a) < 3
    assert world.gate.unreported == 0


def test_a_process_that_nobody_knows_of_closes_the_gate_again_and_reports(world):
    a = world.process("aaaaaaaa")
    numbers(world, a, 1)
    number = fresh_number()
    request = world.accept(number).request
    before = world.state()
    b = world.process("bbbbbbbb")
    world.send(b, number, request)
    world.bring_back(before)
    world.until_open(a)
    numbers(world, a, 3)  # more calls than the other one has seen
    world.client.hset(world.keys.generation, "counter", 1)

    assert b.generation.compare()
    assert world.until_open(a, b) < 3
    assert world.operator.read(number).state is State.CODE_SENT


def test_a_redis_that_restarts_again_meanwhile_gets_all_again(world):
    a = world.process("aaaaaaaa")
    number = fresh_number()
    request = world.accept(number).request
    numbers(world, a, 1)
    before = world.state()
    world.send(a, number, request)
    world.bring_back(before)
    a.generation.compare()
    assert world.operator.read(number).state is State.CODE_SENT
    world.bring_back(before)
    world.client.hset(world.keys.generation, mapping={"server": NOBODY})

    world.until_open(a)
    assert world.operator.read(number).state is State.CODE_SENT


def test_a_claim_whose_slot_is_not_near_is_taken_back_while_the_gate_is_closed(world):
    a = world.process("aaaaaaaa")
    number = fresh_number()
    request = world.accept(number).request
    begun = world.begin(a, number, request)
    world.bring_back(world.state(), server=NOBODY)
    (again,) = a.begin([(number, request)], fence=begun.fence)

    assert again.verdict is Verdict.LATER
    assert world.operator.read(number).state is State.QUEUED
    world.until_open(a)
    assert world.begin(a, number, request).verdict is Verdict.BEGUN


def test_slots_that_redis_has_forgotten_are_not_given_again(world):
    slow = Policy(rate=Rate.parse("10/5s"), call_rate=FAST, range_codes_per_hour=0)
    world.operator.publish_policy(slow)
    a = world.process("aaaaaaaa")
    persons = [fresh_number() for _ in range(8)]
    requests = [world.accept(one, RequestKind.PERSON, Lane.INTERACTIVE).request for one in persons]
    world.begin(a, persons[0], requests[0])
    world.move(6)  # the first window begins spent
    before = world.state()
    last = [world.begin(a, one, request) for one, request in zip(persons[1:5], requests[1:5], strict=True)][-1]
    assert last.verdict is Verdict.BEGUN
    world.bring_back(before)
    world.until_open(a)
    next_one = world.begin(a, persons[6], requests[6])

    assert next_one.verdict is Verdict.BEGUN
    assert next_one.at_us - last.at_us >= 500_000


def test_a_batch_that_redis_does_not_know_is_named(world, caplog):
    a = world.process("aaaaaaaa")
    number = fresh_number()
    request = world.accept(number).request
    created = request * 1000 - 1000
    world.client.hset(world.keys.batch("spring").batch, mapping={"state": "running", "created_at": created, "open": 1})
    world.client.hset(world.keys.record(number), mapping={"batch": "spring", "row": "sms:0:US"})
    world.send(a, number, request)
    world.bring_back({})
    world.operator.publish_policy(FREE)
    world.until_open(a)

    assert world.gate.lost_batches == ("spring",)
    assert "Redis does not know the batch spring" in caplog.text
    assert world.operator.read(number).batch == "spring"


def test_a_resend_that_redis_has_forgotten_keeps_its_batch_although_redis_knows_an_older_one(world):
    a = world.process("aaaaaaaa")
    number = fresh_number()

    def send(**fields):
        request = world.accept(number).request
        world.client.hset(world.keys.record(number), mapping={"row": "sms:0:US", **fields})
        world.send(a, number, request)

    send(batch="winter")
    world.move(20 * 60)
    before = world.state()
    send(batch="spring", again="1")
    world.bring_back(before)
    world.until_open(a)

    assert world.operator.read(number).batch == "spring"


def test_a_producer_notices_that_redis_has_gone_back(world):
    a = world.process("aaaaaaaa")
    numbers(world, a, 1)
    before, state = read_generation(world.operator), world.state()
    assert before.server
    assert not has_gone_back(before, before)
    numbers(world, a, 2)
    later = read_generation(world.operator)
    assert not has_gone_back(before, later)
    world.bring_back(state)
    assert has_gone_back(later, read_generation(world.operator))
    world.bring_back({})
    assert has_gone_back(later, read_generation(world.operator))


def test_an_idle_process_leaves_and_costs_nothing(world):
    a = world.process("aaaaaaaa")
    numbers(world, a, 1)
    assert any(name.startswith("member:") for name in world.client.hgetall(world.keys.generation))
    world.move(17 * 60 + 1)
    del a.generation.watch
    a.generation.watch()

    eventually(lambda: not any(name.startswith("member:") for name in world.client.hgetall(world.keys.generation)))
    eventually(lambda: not a.generation._is_watching)


def test_a_member_remembers_so_many_and_says_if_that_is_not_all(world):
    a = world.process("aaaaaaaa")
    a.generation.memory._most = 3
    numbers(world, a, 5)
    world.bring_back({})
    world.operator.publish_policy(FREE)
    world.until_open(a, within=60)

    assert world.gate.unreported == 1
    assert world.gate.mended == 3


def test_nothing_of_a_person_is_in_a_repr(world):
    a = world.process("aaaaaaaa")
    (number,) = numbers(world, a, 1)
    (attempt,) = a.generation.memory.changed_since(0.0)

    assert number not in repr(attempt)
    assert attempt.fence not in repr(attempt)


class Life:
    """A number that lives at random, with two processes that send to it; and what Redis had of it at each moment."""

    def __init__(self, world, chance):
        self.world, self.chance, self.number = world, chance, fresh_number()
        self.processes = [world.process("aaaaaaaa"), world.process("bbbbbbbb")]
        self.under_way = None
        self.sends = []  # when each code was sent, or may have been, by the boot clock
        self.past = [world.state()]

    def step(self):
        record = self.world.operator.read(self.number)
        if self.under_way:
            self.settle(*self.under_way)
        elif record and record.state is State.QUEUED:
            self.begin(record)
        elif record and record.state is State.WAITING:
            self.world.move(31)
            self.world.client.hset(self.world.keys.record(self.number), "state", "queued")
        else:
            self.world.move(70)
            kind = self.chance.choice([RequestKind.RESEND, RequestKind.PERSON])
            self.world.accept(self.number, kind, Lane.INTERACTIVE)
        self.past.append(self.world.state())

    def begin(self, record):
        process = self.chance.choice(self.processes)
        begun = self.world.begin(process, self.number, record.request)
        if begun.verdict is Verdict.BEGUN:
            self.sends.append(clock.boot_clock())
            self.under_way = process, begun, record.request

    def settle(self, process, begun, request):
        outcome = OUTCOMES[self.chance.choice(list(OUTCOMES))]
        if outcome is None:
            self.world.move(1)
            return
        made = outcome()
        if made.state in {State.FAILED, State.WAITING}:
            self.sends.pop()
        process.settle(self.number, request, begun.fence, made)
        self.under_way = None

    def counted(self):
        return len(self.world.client.hget(self.world.keys.record(self.number), "codes") or "") // 6

    def go_back(self):
        """Bring Redis back to any moment of this life; perhaps somebody asks for the number before all is known."""
        past = self.chance.choice([{}, *self.past])
        self.world.bring_back(past, server=NOBODY if past else None)
        self.world.operator.publish_policy(FREE)
        if self.chance.random() < 0.3:
            self.world.accept(self.number, self.chance.choice([RequestKind.ROSTER, RequestKind.PERSON]), Lane.BULK)

    def report(self):
        """Have both processes report, in any order, and both again: the same again changes nothing."""
        order = self.chance.sample(self.processes, 2)
        for process in order:
            process.generation.compare()
        content = self.world.content()
        for process in (*order, *order):
            process.generation._report(int(self.world.client.hget(self.world.keys.generation, "closing")), -1)
        assert self.world.content() == content

    @property
    def record(self):
        return self.world.operator.read(self.number)

    @property
    def may_live(self):
        return bool(self.sends) and clock.boot_clock() - self.sends[-1] < 14 * 60


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.long if seed % 5 else ()) for seed in range(40)])
def test_whatever_redis_has_of_a_number_it_becomes_what_it_was(world, seed):
    chance = random.Random(seed)
    life = Life(world, chance)
    for _ in range(chance.randint(2, 14)):
        life.step()
    truth, codes = life.record, life.counted()
    life.go_back()
    old = life.record
    life.report()
    known = life.record

    if old:
        assert known.request >= old.request
    if old and old.live_until and old.state is not State.SENDING:
        assert known.live_until >= old.live_until, "no life of a code is made shorter"
    # An attempt that Redis has under way, and that sent nothing, may go on to count: never is one code too few counted.
    if life.sends:
        assert 0 <= life.counted() - codes <= (old is not None and old.state is State.SENDING)
    if life.may_live:
        assert known.live_until >= truth.live_until - timedelta(seconds=3)
    if (
        life.sends
        and known.request == truth.request
        and truth.state in {State.CODE_SENT, State.IN_DOUBT, State.SENDING}
    ):
        assert (known.state, known.verification_uuid) == (truth.state, truth.verification_uuid)
    world.until_open(*life.processes)
    now = life.record
    if life.may_live and not now.resend:
        assert world.begin(life.processes[0], life.number, now.request).verdict is not Verdict.BEGUN

"""A ledger in simulated time, and bookers that begin their numbers at their turns."""

import heapq
import itertools
import math
import random
import secrets
from datetime import timedelta
from functools import partial

from support.harness import fresh_number

from ringproof.clock import SlotClock, moment
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import AgendaAction, Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import replace_slots, reserve_slot
from ringproof.ledger.record import Lane
from ringproof.ledger.scripts import lua_source
from ringproof.policy import Policy, Rate

SECOND = 1_000_000
START_US = 1_800_000_000 * SECOND

# The test sets the time, in µs.
CLOCK = """
local now_us = tonumber(redis.call('GET', 'test:now_us'))
local now = math.floor(now_us / 1000)
"""

# The same, as the clock of Redis: the scripts compare it with what their callers know, as they do with the real one.
REDIS_CLOCK = lua_source("lib/clock").replace("redis.call('TIME')", "{0, redis.call('GET', 'test:now_us')}")


# Codes of people without their caps, as fresh numbers are all of one range and one country; and without a breaker.
UNLIMITED = {
    "range_codes_per_hour": 0,
    "country_codes_per_hour": 0,
    "people_codes_per_day": 0,
    "requester_codes_per_hour": 0,
    "requester_codes_per_day": 0,
    "breaker_percent": 0,
}


class SimulatedDistance(SlotClock):
    """The slot clock of a caller whose distance from Redis is simulated, and not measured."""

    def __init__(self, reach=0.0):
        super().__init__()
        self._reach = reach

    @property
    def reach(self):
        return self._reach

    @reach.setter
    def reach(self, measured):
        pass


class Simulation:
    """Bookers in simulated time: each calls begin at its turn, a little late, as a thread would."""

    def __init__(self, client, rate="300/5s", clock=CLOCK, **policy):
        self.client = client
        self.prefix = f"t{secrets.token_hex(4)}"
        self.ledger = Ledger(client, prefix=self.prefix, clock=clock)
        self.keys = self.ledger.keys
        self.far_from_redis(0)
        self.rate = Rate.parse(rate)
        self.ledger.publish_policy(Policy(rate=self.rate, **UNLIMITED | policy))
        self.chance = random.Random(1)
        self.slots = {lane: [] for lane in Lane}
        self.portion = 10  # numbers in one call of begin
        self.lead = 0.0  # seconds that a booker needs until it can send
        self.missed = 0  # slots that had passed when their caller got the answer
        self.late_share = 0.0  # of the sends: they miss their slots, and get others
        self.late = []  # a heap of the slots that will be missed
        self.asked = 0
        self.events, self.order = [], itertools.count()
        self.at(START_US)
        reserve_slot(self.ledger)  # Redis is new: the first window is spent
        self.at(START_US + self.rate.window_us + self.rate.spacing_us)
        self.swept_us = self.now_us

    def at(self, now_us):
        self.now_us = now_us
        self.client.set("test:now_us", now_us)

    def far_from_redis(self, way_us):
        """Have the next call come from a caller to whom Redis' answer takes so long."""
        self.ledger.slot_clock = SimulatedDistance(way_us / SECOND)

    def numbers(self, count, lane=Lane.BULK, channel="sms", country=None):
        kind = RequestKind.PERSON if lane is Lane.INTERACTIVE else RequestKind.ROSTER
        numbers = [fresh_number() for _ in range(count)]
        accept = partial(self.ledger.accept, kind=kind, lane=lane, channel=channel, country=country)
        return [(n, accept(n, token=n).request) for n in numbers]

    def sweep(self):
        """Have a second pass, and the people begin who are called up then."""
        self.swept_us = max(self.swept_us + SECOND, self.now_us)
        self.at(self.swept_us)
        for request in self.called_up():
            self.booker([request], Lane.INTERACTIVE, self.now_us + self.chance.randrange(5_000, 50_000))

    def called_up(self):
        """Have the agenda worked off, as the sweep does each second; return the people who are to begin now."""
        entries = work_off_agenda(self.ledger, 1000, {lane: f"test.{lane}" for lane in Lane})
        enqueued = [entry for entry in entries if entry.action is AgendaAction.ENQUEUE]
        return [(entry.phone_number, entry.request) for entry in enqueued if entry.lane is Lane.INTERACTIVE]

    def booker(self, requests, lane=Lane.BULK, when_us=None, way_us=0):
        """Add a booker that begins these numbers in their order, from `when_us` on.

        A call and its answer take `way_us` each. The slots that it gets are not `missed` if they are 5 ms late.
        """
        arrives_us = (when_us or self.now_us) + way_us
        heapq.heappush(self.events, (arrives_us, next(self.order), list(requests), lane, way_us))

    def person(self, when_us, channel="sms", way_us=0):
        self.booker(self.numbers(1, Lane.INTERACTIVE, channel), Lane.INTERACTIVE, when_us, way_us)

    def run(self, until_us=None):
        """Let time pass until no booker has numbers left; with `until_us`, until then."""
        ends_us = until_us or math.inf
        while self.events or self.late or until_us:
            event_us, sweep_us = self.events[0][0] if self.events else math.inf, self.swept_us + SECOND
            late_us = self.late[0][0] if self.late else math.inf
            if min(event_us, sweep_us, late_us) > ends_us:
                return
            if late_us <= min(event_us, sweep_us):
                self.replace_slot(*heapq.heappop(self.late))
                continue
            if sweep_us <= event_us:
                self.sweep()
                continue
            when_us, _, left, lane, way_us = heapq.heappop(self.events)
            self.at(max(when_us, self.now_us))
            self.far_from_redis(way_us)
            answers = self.ledger.begin(left[: self.portion], lead=self.lead)
            self.asked += 1
            rest, ask_us = [], self.now_us
            answered_us = self.now_us + way_us
            ready_us = answered_us + int(self.lead * SECOND)
            for asked, begun in zip(left, answers, strict=False):
                if begun.verdict is Verdict.BEGUN:
                    self.take(lane, begun.record, begun.at_us)
                    self.missed += begun.at_us < ready_us - 5_000
                elif begun.verdict is Verdict.LATER:
                    rest.append(asked)
                    ask_us = begun.at_us
            rest += left[self.portion :]
            if rest:
                self.booker(rest, lane, max(ask_us, answered_us) + self.chance.randrange(100, 1500), way_us)

    def take(self, lane, record, slot_us):
        """Have a send use its slot, or miss it by some milliseconds."""
        self.slots[lane].append(slot_us)
        if self.late_share and self.chance.random() < self.late_share:
            late_us = slot_us + self.chance.randrange(5_000, 9_000)
            heapq.heappush(self.late, (late_us, next(self.order), lane, record, slot_us))

    def replace_slot(self, now_us, _, lane, record, missed_us):
        """Have a send that has missed its slot get another one."""
        self.at(max(now_us, self.now_us))
        self.far_from_redis(0)
        self.slots[lane].remove(missed_us)
        (slot,) = replace_slots(self.ledger, [(record, missed_us)])
        if slot:
            self.take(lane, record, slot.at_us)

    def all_slots(self):
        return sorted(itertools.chain.from_iterable(self.slots.values()))

    def used(self, slots=None):
        """Return the used share of the pace between the first slot and the last."""
        slots = slots or self.all_slots()
        return (len(slots) - 1) * self.rate.spacing_us / (slots[-1] - slots[0])

    def slots_from(self, bucket):
        """Return the next free slot of a bucket, in µs."""
        return int(self.client.hget(self.keys.pace, bucket))

    def pass_(self, seconds):
        self.at(self.now_us + int(seconds * SECOND))

    def begin(self, request, **options):
        return self.ledger.begin([request], **options)[0]

    def settle(self, begun, outcome):
        return self.ledger.settle(begun.record.phone_number, begun.record.request, begun.fence, outcome)

    def send(self, request, outcome):
        """Begin a number, settle it with an outcome, and return its record."""
        begun = self.begin(request)
        assert begun.verdict is Verdict.BEGUN, begun
        self.at(max(self.now_us, begun.at_us))
        self.settle(begun, outcome)
        return self.record(request)

    def record(self, request):
        return self.ledger.read(request[0])

    def moment(self, seconds=0.0):
        return moment(self.now_us // 1000) + timedelta(seconds=seconds)

"""A ledger for one test, with one number, and with a clock that the test moves."""

import secrets
from datetime import UTC, datetime, timedelta

from support.harness import fresh_number

from ringproof.clock import epoch_ms
from ringproof.ledger import control
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.answers import Outcome, Settled, Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Record, State
from ringproof.ledger.scripts import lua_source
from ringproof.policy import Policy, Rate

UUID = "11111111-2222-3333-4444-555555555555"
SENT = Outcome(State.CODE_SENT, verification_uuid=UUID, api_id=UUID)
MINUTES = timedelta(minutes=1)

# The clock of these tests: that of Redis, or the moment at which it was stopped, plus the seconds of a key.
CLOCK = """
local clock = redis.call('TIME')
local now_us = tonumber(redis.call('GET', 'test:stopped_us')) or clock[1] * 1000000 + clock[2]
now_us = now_us + 1000000 * (tonumber(redis.call('GET', 'test:clock')) or 0)
local now = math.floor(now_us / 1000)
"""

# Redis' own clock, which is so many seconds ahead as the key `test:ahead` says. The processes know nothing of that.
JUMPING_CLOCK = lua_source("lib/clock").replace(
    "local clock = redis.call('TIME')",
    "local clock = redis.call('TIME')\n  clock[1] = clock[1] + (redis.call('GET', 'test:ahead') or 0)",
)


class Book:
    """A ledger with one number, and with a clock that the test moves."""

    def __init__(self, client, **options):
        self.client = client
        self.client.delete("test:clock", "test:stopped_us")
        self.prefix = f"t{secrets.token_hex(4)}"
        self.ledger = Ledger(client, prefix=self.prefix, clock=CLOCK, **options)
        self.keys = self.ledger.keys
        fast = Rate.parse("1000/0.1s")
        self.ledger.publish_policy(Policy(rate=fast, call_rate=fast, range_codes_per_hour=0))
        self.number = fresh_number()

    def stop(self):
        """Stop the clock. From now on only `move` moves it, so that the test's own time does not matter."""
        seconds, microseconds = self.client.time()
        self.client.set("test:stopped_us", seconds * 1_000_000 + microseconds)

    def move(self, by):
        self.client.incrbyfloat("test:clock", by.total_seconds())

    def now(self):
        stopped_us, by = self.client.mget("test:stopped_us", "test:clock")
        now = datetime.fromtimestamp(int(stopped_us) / 1e6, UTC) if stopped_us else datetime.now(UTC)
        return now + timedelta(seconds=float(by or 0))

    @property
    def queues(self):
        """The queues of the lanes, which this ledger has alone."""
        return {lane: f"{self.prefix}:{queue(lane)}" for lane in Lane}

    def run_batch(self, name):
        """Have a batch run, with one row that nobody has fed."""
        keys = self.keys.batch(name)
        self.client.hset(keys.batch, mapping={"state": "running", "created_at": 0, "open": 9})
        self.client.rpush(keys.lists[0], "a row")

    def accept(self, kind=RequestKind.PERSON, token=None, **options):
        lane = Lane.BULK if kind is RequestKind.ROSTER else Lane.INTERACTIVE
        token = token or secrets.token_hex(4)
        return self.ledger.accept(self.number, token=token, kind=kind, lane=lane, **options)

    def begin(self, request, **options):
        return self.ledger.begin([(self.number, request)], **options)[0]

    def settle(self, begun, outcome):
        return self.ledger.settle(self.number, begun.record.request, begun.fence, outcome)

    def bring(self, outcome, **options):
        """Accept, begin and settle the number with an outcome."""
        begun = self.begin(self.accept(**options).request)
        assert begun.verdict is Verdict.BEGUN
        assert self.settle(begun, outcome) is Settled.SETTLED
        return begun

    def slots(self, bucket="account"):
        """Return the next free slot of a bucket, in µs."""
        return int(self.client.hget(self.keys.pace, bucket))

    def pause(self, lane=None):
        """Pause, as an operator does."""
        control.pause(self.ledger, lane)

    def finish_scan(self):
        """Pretend that a scan of Plivo's list has finished just now, and that no user confirmed elsewhere."""
        self.client.hset(self.keys.list_scan("reconcile"), "looked", epoch_ms(self.now()) + 1)

    @property
    def record(self) -> Record:
        return self.ledger.read(self.number)

    def agenda(self):
        score = self.client.zscore(self.keys.agenda, self.number)
        return datetime.fromtimestamp(score / 1000, UTC) if score else None


def near(when, other, by=timedelta(seconds=10)):
    """Whether two moments are the same, apart from the delays of a busy machine."""
    return abs(when - other) < by

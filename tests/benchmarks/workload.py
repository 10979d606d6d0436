"""Hosts under a limit, and work for them: bulk without end, and persons now and then."""

import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from host import Host
from storm import PRODUCTION
from table import tell
from world import World

from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.policy import JITTER

HERE = Path(__file__).parent
COUNTED = str(HERE / "counted.py")

UNDER_WAY_MS = [0, 50]
"""What the sandbox calls latency is spent before it judges: the jitter of arrivals."""

LEAST_CHUNK, LARGEST_CHUNK = 5, 100
CHUNK_SECONDS, AHEAD_SECONDS = 1.0, 2.0
"""A message has so many seconds of pace in it, and so many are ahead: nobody waits for work, and a pause is short."""

TICK_SECONDS, LOOK_SECONDS, TELL_SECONDS = 0.05, 0.5, 10.0


def pace(rate):
    """How many a second can be used of a limit without one too many ever arriving: N in W + J."""
    return rate.number / (float(rate.window_seconds) + JITTER.total_seconds())


@contextmanager
def leaving_nothing():
    """End every process that was started, also on Ctrl-C; another one does not cut that short."""

    def end(number, _frame):
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        yield
    finally:
        for child in psutil.Process().children(recursive=True):  # one that was interrupted in its very start
            child.kill()


@contextmanager
def judged(rate, **switches):
    """A world whose Plivo has this limit, and whose workers know it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        world = World(folder, durations=PRODUCTION, RINGPROOF_RATE=str(rate))
        stack.enter_context(world)
        limit = {"limit": rate.number, "window_seconds": float(rate.window_seconds)}
        world.plivo.switch(**{"latency_ms": UNDER_WAY_MS} | limit | switches)
        yield world


def work(world, what, *feeds, seconds, until=lambda _counts: False):
    """Feed for so many seconds, or until the sandbox's counts are as wanted; return whether they were."""
    began = looked = reported = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        for feed in feeds:
            feed.once()
        if now >= looked + LOOK_SECONDS:
            looked, counts = now, world.plivo.counts()
            if until(counts):
                return True
            if now >= reported + TELL_SECONDS:
                reported = now
                tell(f"  {what}: {counts['next']:,} sent in {now - began:.0f} s, {counts['refused_429']:,} refused")
        time.sleep(TICK_SECONDS)
    return until(world.plivo.counts())


class Ours:
    """Ringproof, as the Procfile starts it."""

    name = "Ringproof"

    def __init__(self, world, rate, *, single=False):
        self.world, self.rate, self.single = world, rate, single

    def start(self, hosts):
        """Start so many hosts; return them when they are at work."""
        return [Host(self.world, f"host-{nth}", program=[COUNTED]) for nth in range(hosts)]

    def begun(self):
        """How often *begin* was called; fails if counted.py has not found the script."""
        calls = int(self.world.client.get("bench:begin") or 0)
        assert calls, "no call of begin was counted: see counted.py"
        return calls


class Feed:
    """Keeps a lane at work without accepting long ahead, as the feeder does; so many numbers, or no end."""

    def __init__(self, ours, lane=Lane.BULK, numbers=float("inf")):
        self.world, self.lane, self.left = ours.world, lane, numbers
        per_second = pace(ours.rate)
        self.chunked = lane is Lane.BULK and not ours.single
        self.size = max(LEAST_CHUNK, min(LARGEST_CHUNK, int(CHUNK_SECONDS * per_second))) if self.chunked else 1
        self.ahead = AHEAD_SECONDS * per_second
        self.numbers = set()
        self.sent = self.next = 0

    def once(self):
        """Send what is missing: so much is ahead of what Plivo has got."""
        self._look()
        while self.left > 0 and len(self.numbers) - self.sent < self.ahead:
            numbers = self.world.accept(int(min(self.size, self.left)), self.lane)
            self.left -= len(numbers)
            self.numbers.update(numbers)
            if self.chunked:
                chunk = [[number, self.world.accepted[number]] for number in numbers]
                options = {"queue": queue(self.lane), "argsrepr": "(…)", "ignore_result": True}
                self.world.producer.send_task("ringproof.work_chunk", [chunk, "sms"], {}, **options)
            else:
                self.world.send(*numbers)

    def _look(self):
        """Count which of its numbers Plivo has got since."""
        page = self.world.plivo.sends_since(self.next)
        self.sent += sum(send["phone_number"] in self.numbers for send in page["sends"])
        self.next = page["next"]


class Persons:
    """So many persons, one every half second more or less: in step with the slots they would tell nothing."""

    def __init__(self, ours, count):
        self.world, self.left = ours.world, count
        self.asked, self.next_at = {}, 0.0

    def once(self):
        """Have the next one ask, if it is time."""
        if self.left and time.monotonic() >= self.next_at:
            at = time.time()
            [number] = self.world.enqueue(1, Lane.INTERACTIVE)
            self.asked[number] = at
            self.left -= 1
            self.next_at = time.monotonic() + random.uniform(0.25, 0.75)

    def waited_ms(self):
        """How long each waited until Plivo had the request: for ever, if it has none as yet."""
        sent = {send["phone_number"]: send["at"] for send in self.world.plivo.sends()}
        return [(sent.get(number, float("inf")) - at) * 1000 for number, at in self.asked.items()]

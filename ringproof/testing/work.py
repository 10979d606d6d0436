"""The work of the tests' worker: whether any is left, what is due next, the clock, and an empty ledger."""

import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from celery.worker import state

from ringproof import runtime
from ringproof.batches.feeding import batches_to_feed, is_anything_to_feed
from ringproof.batches.model import BatchState
from ringproof.errors import RingproofError
from ringproof.ledger.agenda import release_refused
from ringproof.ledger.keys import FOLLOWED, PREFIXES
from ringproof.ledger.plivo_list import ListScan, is_scan_requested, scan_progress
from ringproof.ledger.policy import quiet_hours
from ringproof.ledger.queues import QUEUES
from ringproof.ledger.record import State
from ringproof.policy import Policy
from ringproof.testing.plivo import Plivo
from tasks.feeder import feed_once
from tasks.plivo_list import enqueue_list_scans
from tasks.reverification import enqueue_reverifications
from tasks.sweep import PORTION, sweep_once
from worker.sending.credentials import check_once
from worker.sending.process import sending

AHEAD_KEY: Final = "ringproof.testing:ahead_us"
"""The key with the µs by which the test's time is ahead of Redis' clock."""

LUA_CLOCK: Final = f"""
-- The time of a test: that of Redis, and the time by which the test has travelled.
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2] + (tonumber(redis.call('GET', '{AHEAD_KEY}')) or 0)
local now = math.floor(now_us / 1000)
"""

AGE_KEYS: Final = """
-- Lets every key that ends by itself get older.
-- input:  ARGV    by how many ms, and the keys that stay as they are
local kept = {}
for i = 2, #ARGV do kept[ARGV[i]] = true end
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left_ms = redis.call('PTTL', key)
  if left_ms > 0 and not kept[key] then redis.call('PEXPIRE', key, left_ms - ARGV[1]) end
end
"""

TICK_SECONDS: Final = 0.05
"""How often it is looked whether something is due. Beat looks each second, and no test should wait for that."""

LOOK_SECONDS: Final = 0.003
"""How often it is looked whether the worker is at rest."""

REST_LOOKS: Final = 2
"""So many looks in a row have to find it at rest: a message may be on its way from Redis to the worker."""

SETTLE_SECONDS: Final = 20.0
"""Longer than one send takes if Plivo does not answer."""

MOST_JUMPS: Final = 5_000
"""Moments of one journey at which something is due."""


class Work:
    """What the worker of this process has to do. Thread-safe."""

    def __init__(self, plivo: Plivo, policy: Policy) -> None:
        self._plivo, self._policy = plivo, policy
        self._ledger = runtime.ledger()
        self._turn = threading.RLock()  # one works off at a time

    def keep_working(self) -> None:
        """Do what beat has others do, from now on, in a thread of its own."""
        threading.Thread(target=self._tick, name="ticks", daemon=True).start()

    def settle(self, within: float = SETTLE_SECONDS) -> str:
        """Wait until nothing is left to do now. Returns what is still done after `within` seconds; usually nothing."""
        deadline, at_rest = time.monotonic() + within, 0
        while True:
            self._work_off()
            doing = ", ".join(self._doing())
            at_rest = 0 if doing else at_rest + 1
            if at_rest == REST_LOOKS or time.monotonic() > deadline:
                return doing
            time.sleep(LOOK_SECONDS)

    def travel(self, seconds: float) -> str:
        """Move the time ahead, from one moment at which something is due to the next. Returns what `settle` does."""
        ends_ms = self._now_ms() + seconds * 1000
        doing = self.settle()
        for _ in range(MOST_JUMPS):
            now_ms, due_ms = self._now_ms(), self._next_ms()
            if doing or due_ms is None or max(due_ms, now_ms) >= ends_ms:
                break
            self._advance(max(due_ms - now_ms, 0) + 1)
            doing = self.settle()
        self._advance(max(ends_ms - self._now_ms(), 0))
        return doing or self.settle()

    def clean(self) -> None:
        """Forget everything: the ledger is empty, Plivo has sent nothing, and the time is the right one."""
        with self._turn:
            self._plivo.start_again()
            self._delete_all()
            deadline = time.monotonic() + SETTLE_SECONDS
            while any(self._doing()) and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
            self._plivo.start_again()
            self._delete_all()
            self._ledger.publish_policy(self._policy)

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            try:
                self._work_off()
            except RingproofError:  # Redis ends before this process does
                continue

    def _work_off(self) -> None:
        """Do what the sweep and the feeder do."""
        ledger = self._ledger
        with self._turn:
            if not self._is_anything_due():
                return
            while sweep_once(ledger).total():
                pass
            release_refused(ledger, PORTION)
            if ledger.run("exists", ledger.keys.pauses):
                check_once(ledger, runtime.plivo(), sends=True)  # the worker's own watch looks every five seconds
            if is_anything_to_feed(ledger):
                feed_once(ledger, quiet_hours(ledger))
            if not any(self._at_work()):  # a scan gets a message each five seconds, also if the last one has ended
                ledger.client.delete(*(ledger.keys.tick(scan) for scan in ListScan))
            enqueue_list_scans(ledger)
            enqueue_reverifications(ledger)

    def _is_anything_due(self) -> bool:
        due_ms, now_ms, keys = self._next_ms(), self._now_ms(), self._ledger.keys
        watched = (keys.feeding, keys.completed, keys.pauses, keys.destinations_waiting)
        return (due_ms is not None and due_ms <= now_ms) or bool(
            self._ledger.run("exists", *watched) or any(is_scan_requested(self._ledger, scan) for scan in ListScan)
        )

    def _doing(self) -> Iterator[str]:
        """Yield what the worker does, or has to do now: nothing if it is at rest."""
        yield from self._at_work()
        ledger = self._ledger
        numbers = ledger.run("zrange", ledger.keys.agenda, 0, -1)
        states = (
            ledger.run_all(*(("hget", ledger.keys.record(number), "state") for number in numbers)) if numbers else []
        )
        if unsent := sum(one in {State.QUEUED, State.SENDING} for one in states):
            yield f"{unsent} numbers are queued"
        if ledger.run("exists", ledger.keys.pauses):
            return  # until its end, which is a moment of its own
        if any(batch.state is BatchState.RUNNING and any(batch.left.values()) for batch in batches_to_feed(ledger)):
            yield "a batch is fed"
        if any(is_scan_requested(ledger, scan) and not scan_progress(ledger, scan).failure for scan in ListScan):
            yield "Plivo's list is read"

    def _at_work(self) -> Iterator[str]:
        """Yield what the worker has in its queues and its hands."""
        ledger = self._ledger
        if waiting := sum(ledger.run_all(*(("llen", name) for name in QUEUES))):
            yield f"{waiting} messages wait"
        if taken := len(list(state.reserved_requests)) or ledger.run("hlen", ledger.keys.unacked):
            yield f"{taken} messages are performed"
        in_hand, under_way = sending().work()
        if in_hand or under_way:
            yield f"{in_hand + under_way} numbers are sent to"

    def _now_ms(self) -> float:
        (seconds, micros), ahead_us = self._ledger.run_all(("time",), ("get", AHEAD_KEY))
        return float(seconds * 1000 + micros / 1000 + int(ahead_us or 0) / 1000)

    def _next_ms(self) -> float | None:
        """Return the next moment at which something is due; None if there is none."""
        keys = self._ledger.keys
        found: list[list[tuple[str, float]]] = self._ledger.run_all(
            *(("zrange", key, 0, 0, False, True) for key in (keys.agenda, keys.renewals))
        )
        return min((score for first in found for _, score in first), default=None)

    def _advance(self, by_ms: float) -> None:
        whole = round(by_ms)
        kept = [self._ledger.keys.heartbeats, PREFIXES, FOLLOWED]
        self._ledger.client.incrby(AHEAD_KEY, whole * 1000)
        self._ledger.client.eval(AGE_KEYS, 0, whole, *kept)
        self._plivo.move_clock(whole / 1000)

    def _delete_all(self) -> None:
        """Delete every key but those that a running worker needs, or whose loss it would report."""
        keys = self._ledger.keys
        kept = {keys.generation, keys.policy, keys.heartbeats, PREFIXES, FOLLOWED}
        begin = (keys.tick(""), "_kombu.binding.")
        client: Any = self._ledger.client
        gone = [key for key in client.keys("*") if key not in kept and not key.startswith(begin)]
        if gone:
            client.delete(*gone)

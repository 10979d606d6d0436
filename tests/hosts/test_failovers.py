"""Redis goes back in time under running workers on three hosts: five ways. A Plivo of another make is the judge."""

import os
import signal
import time
from collections import Counter

import pytest
from site_of_hosts import PACE, used
from site_with_failover import FailoverSite
from table import percent, tell

from ringproof.ledger.record import State

SENDING_AGAIN_SECONDS = 10.0
"""After the new master is up."""

BEFORE_SECONDS, AFTER_SECONDS = 10.0, 25.0


def stop_for_a_while(site):
    """SIGSTOP the master; Sentinel promotes the replica; the old one wakes up later, and is a replica soon."""
    os.kill(site.redis.servers["redis-1"].popen.pid, signal.SIGSTOP)
    at = site.redis.until_master("redis-2")
    time.sleep(5)
    os.kill(site.redis.servers["redis-1"].popen.pid, signal.SIGCONT)
    return at


def kill(site):
    site.redis.servers["redis-1"].kill()
    return site.redis.until_master("redis-2")


def kill_with_a_replica_behind(site):
    """The replica misses the master's last second."""
    site.network.cut("redis-2")
    time.sleep(1.0)
    site.redis.servers["redis-1"].kill()
    site.network.mend("redis-2")
    return site.redis.until_master("redis-2")


def fail_over(site):
    site.redis.failover()
    return site.redis.until_master("redis-2")


def restore(site):
    """Put back the files of five seconds ago."""
    snapshot = site.redis.copy()
    time.sleep(5.0)
    return site.redis.restore(snapshot)


WAYS = {
    "a replica one second behind takes over": (kill_with_a_replica_behind, True),
    "a planned SENTINEL FAILOVER": (fail_over, True),
    "the master is killed": (kill, True),
    "the master stands still, and a replica takes over": (stop_for_a_while, True),
    "the AOF of five seconds ago is put back": (restore, False),
}


CASES = [(what, replicas) for what, (_, pair) in WAYS.items() for replicas in (["", "0"] if pair else [""])]
OUTPUT, SCENARIOS = "make hosts, failovers", len(CASES)


@pytest.mark.parametrize(
    ("what", "replicas"), CASES, ids=[f"{what.replace(' ', '-')}-{replicas or 'unset'}" for what, replicas in CASES]
)
def test_redis_goes_back(tmp_path, tables, what, replicas):
    fail, pair = WAYS[what]
    variables = {"RINGPROOF_REPLICAS": replicas} if replicas else {}
    with FailoverSite(tmp_path, rows=int(PACE * 50), pair=pair, **variables) as site:
        began = site.begin()
        time.sleep(BEFORE_SECONDS)
        failed = time.monotonic()
        up = fail(site)
        time.sleep(AFTER_SECONDS)
        sends = Counter(send["phone_number"] for send in site.plivo.sends())
        tell(f"{what}: {sum(count > 1 for count in sends.values())} of {len(sends)} doubled so far")
        arrivals = site.end()
        states = Counter(str(record.state) for record in site.records().values())
    again = min((at for at in arrivals.taken if at > up), default=float("inf")) - up
    by_the_second = (str(arrivals.between(failed + nth, failed + nth + 1)[0]) for nth in range(40))
    tell(f"before {percent(used(arrivals, began, failed))}; in each second: {' '.join(by_the_second)}")
    row(tables, what, replicas if pair else "no replica", arrivals, states, again)
    assert not arrivals.refused
    assert again <= SENDING_AGAIN_SECONDS


def row(tables, what, replicas, arrivals, states, again):
    if not tables.lines:
        tables.begin(
            "The same hosts, a Redis that fails over or goes back, and a Plivo of another make. No number was lost or "
            "sent to twice:",
            "what happened",
            "`RINGPROOF_REPLICAS`",
            "codes",
            "in doubt at the end",
            "429s",
            "sending again, after the new master was up",
        )
    tables.row(
        what,
        replicas or "not set",
        f"{len(arrivals.taken):,}",
        str(states[State.IN_DOUBT]),
        str(arrivals.refused),
        f"{again:.1f} s",
    )

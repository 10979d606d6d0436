"""A batch runs on three worker hosts with people in between, and the network fails: `make hosts`."""

import time
from collections import Counter
from itertools import pairwise

import pytest
from arrivals import within
from site_of_hosts import PACE, WORKERS, Site, used
from table import percent, tell

from ringproof.ledger.record import State

OUTPUT, SCENARIOS = "make hosts", 9

LEAST_SHARE = 0.9
"""Of the pace before the fault, and by the hosts that are left."""

RECOVERY_SECONDS = 2.0
"""After a cut, until the others are to use it."""

BEFORE_SECONDS, AFTER_SECONDS = 10.0, 10.0

FAR = {"delay_ms": 75.0, "jitter_ms": 15.0, "loss": 0.02}
"""Each way, of a round trip of 150 ms ± 30."""

SENDING_AGAIN_SECONDS = 10.0
"""After Redis' host is back."""


class Seen:
    """What a scenario has shown: the judge's record, and the moments of it."""

    def __init__(self, site, arrivals, began, failed, mended, ended, wall):
        self.arrivals, self.began, self.failed, self.mended, self.ended = arrivals, began, failed, mended, ended
        self.states = Counter(str(record.state) for record in site.records().values())
        self.waits = sorted(site.waits(*wall))
        self.calls = [call for call in site.calls() if wall[0] <= call.at < wall[1]]

    @property
    def before(self):
        return used(self.arrivals, self.began, self.failed)

    @property
    def during(self):
        return used(self.arrivals, self.failed + RECOVERY_SECONDS, self.mended)

    def silence(self):
        """The longest time without a code, from the fault on."""
        taken = [at for at in self.arrivals.taken if self.failed <= at <= self.ended]
        return max((late - soon for soon, late in pairwise([self.failed, *taken])), default=0.0)

    def again(self):
        """How many seconds after the end of the fault a code was sent."""
        return min((at for at in self.arrivals.taken if at >= self.mended), default=float("inf")) - self.mended


@pytest.fixture
def play(tmp_path, tables):
    """Run the batch, and a fault in the midst of it; it is over after so many seconds, or when `fail` returns."""

    def play_(what, fail, seconds=0.0, *, mend=None, rows_for=0.0):
        with Site(tmp_path, rows=int(PACE * (seconds + rows_for + BEFORE_SECONDS + AFTER_SECONDS + 15))) as site:
            began = site.begin()
            time.sleep(BEFORE_SECONDS)
            failed, wall = time.monotonic(), time.time()
            fail(site)
            time.sleep(seconds)
            mended = time.monotonic()
            if mend:
                mend(site)
            time.sleep(AFTER_SECONDS)
            ended = time.monotonic()
            arrivals = site.end()
            seen = Seen(site, arrivals, began, failed, mended, ended, (wall, wall + ended - failed))
        by_the_second = (str(arrivals.between(failed + nth, failed + nth + 1)[0]) for nth in range(int(ended - failed)))
        tell(f"{what}: in each second from the fault on: {' '.join(by_the_second)}")
        late = [f"{at - failed:.2f}" for at, status in arrivals.judged if status == 429]
        if late:
            tell(f"{what}: seconds after the fault in which Plivo answered 429: {' '.join(late)}")
        row(tables, what, seen)
        return seen

    return play_


def row(tables, what, seen):
    if not tables.lines:
        tables.begin(
            "Three worker hosts with all processes of the Procfile send a batch at 300/5s, and a person asks each half "
            "second on a fourth. No number was lost or sent to twice:",
            "fault",
            "codes",
            "in doubt at the end",
            "429s",
            "pace before",
            "pace from 2 s after it, until its end",
            "longest silence",
            "a person who asks in it, median and most",
        )
    waits = f"{within(seen.waits, 50):.2f} s, {seen.waits[-1]:.1f} s" if seen.waits else ""
    tables.row(
        what,
        f"{len(seen.arrivals.taken):,}",
        str(seen.states[State.IN_DOUBT]),
        str(seen.arrivals.refused),
        percent(seen.before),
        percent(seen.during),
        f"{seen.silence():.1f} s",
        waits,
    )


def one_way(**cable):
    return lambda site: site.network.set("worker-1", **cable)


def mended(*names):
    return lambda site: site.network.mend(*names)


@pytest.mark.parametrize("seconds", [20, 60])
def test_a_worker_host_is_cut_off(play, seconds):
    seen = play(
        f"a worker host is cut off for {seconds} s",
        lambda site: site.network.cut("worker-1"),
        seconds,
        mend=mended("worker-1"),
    )
    assert not seen.arrivals.refused
    assert seen.during >= LEAST_SHARE * seen.before


@pytest.mark.parametrize(("way", "what"), [("cut_out", "from"), ("cut_in", "to")])
def test_a_cable_is_cut_one_way(play, way, what):
    seen = play(f"nothing comes {what} a worker host for 20 s", one_way(**{way: True}), 20, mend=mended("worker-1"))
    assert not seen.arrivals.refused
    assert seen.during >= LEAST_SHARE * seen.before


@pytest.mark.parametrize("names", [WORKERS[:1], WORKERS], ids=["one", "all"])
def test_hosts_are_far_away_and_packets_are_lost(play, names):
    which = "one worker host" if len(names) == 1 else "all worker hosts"
    seen = play(
        f"150 ± 30 ms to {which}, and 2 % of the packets are lost, for 30 s",
        lambda site: site.network.set(*names, **FAR),
        30,
        mend=mended(*names),
    )
    assert names == WORKERS or seen.during >= LEAST_SHARE * seen.before


def test_all_workers_are_restarted_one_host_after_the_other(play):
    def restart(site):
        for host in site.hosts.values():
            host.stop()
            host.start()

    seen = play("a rolling restart of all worker hosts", restart, rows_for=60)
    assert not seen.arrivals.refused
    assert not seen.states[State.IN_DOUBT]
    assert seen.during >= LEAST_SHARE * seen.before


@pytest.mark.parametrize("seconds", [10])
def test_redis_is_cut_off(play, seconds):
    seen = play(
        f"Redis' host is cut off for {seconds} s",
        lambda site: site.network.cut("redis"),
        seconds,
        mend=mended("redis"),
    )
    assert not seen.arrivals.refused
    assert seen.again() <= SENDING_AGAIN_SECONDS


def test_the_web_apps_host_is_cut_off_while_people_ask(play):
    seen = play("the web app's host is cut off for 20 s", lambda site: site.network.cut("web"), 20, mend=mended("web"))
    assert not seen.arrivals.refused
    assert seen.during >= LEAST_SHARE * seen.before
    assert {call.outcome for call in seen.calls} <= {"taken", "LedgerUnavailable"}
    tell(f"the longest call of .delay took {max(call.seconds for call in seen.calls):.1f} s")

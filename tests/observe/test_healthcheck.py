"""The healthcheck: what it reads in one round trip, and whom it holds responsible."""

import socket
from dataclasses import replace

import pytest
from test_findings import BEAT, BULK, INTERACTIVE, WELL, ago, paused, waiting, worker

from ringproof.errors import LedgerUnavailable
from ringproof.ledger.activity import Activity, Tick, note_activity
from ringproof.ledger.connection import connect
from ringproof.ledger.control import pause
from ringproof.ledger.heartbeats import beat
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import TICKS, queue
from ringproof.ledger.record import Lane
from worker.local.processes.redis_server import RedisServer
from worker.observe.facts import read_facts
from worker.observe.finding import Code
from worker.observe.health import health_findings, own_findings, read_health


def codes(found):
    return [one.code for one in found]


@pytest.fixture(scope="module")
def server():
    with RedisServer(has_config=True) as server:
        yield server


@pytest.fixture
def own(server):
    with connect(server.url) as client:
        yield Ledger(client)
        client.config_set("maxmemory", 0)
        client.flushall()


def test_it_reads_what_the_status_reads(server, own):
    beat(own, "bulk@vm", {"host": "vm", "pid": 12, "queues": ["ringproof.bulk"]})
    note_activity(own, "bulk@vm/13", {"worker": "bulk@vm", "in_hand": 3}, {})
    own.client.rpush("ringproof.bulk", "{}", "{}")
    own.client.set(own.keys.tick("sweep"), 1_764_374_400_000)
    pause(own, Lane.BULK, "why")
    short, full = read_health(server.url, "ringproof"), read_facts(own)

    for field in ("prefix", "heartbeats", "activities", "ticks", "prefixes", "queues", "last_sweep", "feeding"):
        assert getattr(short, field) == getattr(full, field), field
    assert short.sending.pauses == full.sending.pauses != ()
    assert abs(short.now - full.now).total_seconds() < 10


@pytest.mark.parametrize(("fed", "state", "with_rows_left"), [(1, "running", 1), (2, "running", 0), (1, "paused", 0)])
def test_a_batch_has_rows_to_send_until_all_are_fed(server, own, fed, state, with_rows_left):
    keys = own.keys.batch("spring")
    own.client.rpush(keys.lists[0], "first", "second")
    own.client.hset(keys.batch, mapping={"state": state, "cursor:sms": fed})
    own.client.zadd(own.keys.feeding, {"spring": 1})

    assert read_health(server.url, "ringproof").feeding == read_facts(own).feeding == with_rows_left


def test_a_retried_row_is_to_be_sent_again(server, own):
    keys = own.keys.batch("spring")
    own.client.rpush(keys.lists[0], "only")
    own.client.rpush(keys.retries[0], 0)
    own.client.hset(keys.batch, mapping={"state": "running", "cursor:sms": 1})
    own.client.zadd(own.keys.feeding, {"spring": 1})

    assert read_health(server.url, "ringproof").feeding == read_facts(own).feeding == 1


def test_a_redis_that_refuses_to_write_is_no_redis_that_is_away(server, own):
    own.client.config_set("maxmemory", 1)
    short = read_health(server.url, "ringproof")

    assert short.refusal.startswith("OOM")
    assert codes(health_findings(short)) == codes(own_findings(short)) == [Code.REDIS_FULL]


def test_no_redis_is_an_error():
    with pytest.raises(LedgerUnavailable):
        read_health("redis://127.0.0.1:1/0", "ringproof")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"heartbeats": ()}, [Code.NO_WORKER]),
        ({"heartbeats": (BULK, INTERACTIVE), "last_sweep": ago(60)}, [Code.NO_BEAT]),
        ({"heartbeats": (BEAT, INTERACTIVE), "feeding": 1}, [Code.LANE_WITHOUT_WORKER]),
        ({"heartbeats": (BEAT, INTERACTIVE, replace(BULK, at=ago(600)))}, []),  # nothing waits there
        ({"heartbeats": (BEAT, replace(BULK, version="9"), INTERACTIVE)}, []),
        ({"sending": paused("account")}, []),  # that is Plivo's word
        ({"activities": (Activity("bulk@vm/31", ago(60), worker="bulk@vm", in_hand=1),)}, [Code.CHILDREN_STOPPED]),
    ],
)
def test_all_of_it_is_judged_but_not_what_plivo_says(changes, found):
    assert codes(health_findings(replace(WELL, **changes))) == found


OTHER = worker("bulk@vm2", queue(Lane.BULK))
STUCK = replace(INTERACTIVE, taken=ago(90))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"heartbeats": (OTHER,)}, [Code.NO_WORKER]),
        ({"heartbeats": (BEAT, INTERACTIVE, replace(BULK, at=ago(60)))}, [Code.NO_WORKER]),
        ({"heartbeats": (BEAT, INTERACTIVE, replace(OTHER, at=ago(60)))}, []),  # another host's
        ({"heartbeats": (BEAT, BULK, STUCK)}, []),  # nothing waits
        ({"heartbeats": (BEAT, BULK, STUCK), "queues": waiting(queue(Lane.INTERACTIVE), 3)}, [Code.NOT_CONSUMED]),
        ({"heartbeats": (BEAT, BULK, STUCK), "queues": waiting(queue(Lane.BULK), 3)}, []),  # the other's lane
        ({"heartbeats": (BEAT, replace(BULK, waiting=1, oldest_waiting_s=60.0))}, [Code.CHILDREN_STOPPED]),
        ({"heartbeats": (BEAT, INTERACTIVE, replace(OTHER, waiting=1, oldest_waiting_s=60.0))}, []),
        ({"heartbeats": (INTERACTIVE,), "last_sweep": ago(600)}, []),  # beat runs elsewhere, or should
        ({"ticks": {"beat": Tick("beat", ago(5))}}, []),
        ({"ticks": {"beat": Tick("beat", ago(60))}}, [Code.NO_BEAT]),
        ({"ticks": {"beat": Tick("beat", ago(60))}, "queues": waiting(TICKS, 3, seconds=1)}, []),
    ],
)
def test_a_container_answers_for_its_own_worker_and_beat(changes, found):
    assert codes(own_findings(replace(WELL, **changes), "vm")) == found


def test_the_host_is_this_one_unless_another_is_named():
    here = worker("bulk@here", queue(Lane.BULK), host=socket.gethostname())

    assert own_findings(replace(WELL, heartbeats=(here,))) == []
    assert codes(own_findings(WELL, "elsewhere")) == [Code.NO_WORKER]

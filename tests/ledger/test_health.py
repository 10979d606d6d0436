"""A worker reports the faults of its Redis at its start, with what can be lost. With a fatal one it does not start."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.harness import Worker, eventually, stopped
from support.number_in_ledger import Book

from ringproof.ledger import audit
from ringproof.ledger.connection import connect
from ringproof.ledger.health import complaints, examine, missing_time
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.policy import changes, restore_policy
from ringproof.ledger.queues import SWEEP_TICK, claim_tick
from ringproof.policy import Policy, Rate
from ringproof.settings import Settings
from worker.local.processes.redis_server import RedisServer

GOOD = {"redis_version": "7.4.1", "cluster_enabled": 0, "maxmemory_policy": "noeviction", "aof_enabled": 1}


@pytest.mark.parametrize(
    ("fields", "word", "fatal"),
    [
        ({"redis_version": "6.0.16"}, "too old", True),
        ({"redis_version": "5.0.7"}, "too old", True),
        ({"cluster_enabled": 1}, "Cluster", True),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.0"}, "Valkey 8.0.0", False),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, "NOSUB", False),
        ({"maxmemory_policy": "allkeys-lru"}, "allkeys-lru", False),
        ({"aof_enabled": 0}, "append-only", False),
    ],
)
def test_each_fault_is_reported_with_what_to_do(fields, word, fatal):
    (complaint,) = complaints(GOOD | fields)

    assert word in complaint.text
    assert "; " in complaint.text
    assert complaint.fatal is fatal


@pytest.mark.parametrize("version", ["6.2.14", "7.0.15", "8.2.0", "10.0.1"])
def test_a_good_redis_has_no_fault(version):
    assert complaints(GOOD | {"redis_version": version}) == []


@pytest.mark.parametrize("version", ["7.2.11", "8.0.2", "9.1.2"])
def test_a_good_valkey_has_no_fault(version):
    assert complaints(GOOD | {"redis_version": "7.2.4", "valkey_version": version}) == []


def test_the_private_redis_of_demos_and_tests_has_no_fault(ledger):
    found = examine(Ledger(ledger.client, prefix="healthy"))

    assert [complaint.text for complaint in found if "holes" not in complaint.text] == []  # 6.2's is old


def test_a_worker_logs_at_its_start_what_can_be_lost_and_what_it_changes(environ, tmp_path):
    with RedisServer(has_config=True) as server:
        client = connect(server.url)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        Ledger(client).publish_policy(replace(Settings.read(environ).policy, max_codes_per_day=3, countries=("US",)))
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        with stopped(Worker(tmp_path / "worker.log", own, tmp_path, "-B", concurrency=1)) as worker:
            log = worker.log
            noted = [(entry.action, entry.subject) for entry in audit.entries(Ledger(client), 10)]
            texts = [complaint.text for complaint in examine(Ledger(client))]
            client.flushall()
            worker.until_logged("Redis had no policy, because it was emptied")
            eventually(lambda: client.hget("ringproof:policy", "max_codes_per_day") == "10", why="it is not put back")
        client.close()

    assert len([text for text in texts if "holes" not in text]) == 2
    assert all(text in log for text in texts)
    changed = "max_codes_per_day from 3 to 10, countries from US to none; give all workers the same values"
    assert f"this worker changes the policy that another one has published: {changed}" in log
    assert noted == [("policy", "max_codes_per_day from 3 to 10"), ("policy", "countries from US to none")]


@pytest.fixture
def published(client):
    ledger = Ledger(client, prefix="published")
    ledger.publish_policy(Policy())
    yield ledger
    client.delete(ledger.keys.policy)


def test_a_policy_that_is_the_same_changes_nothing_and_a_rate_is_named_once(published):
    assert changes(published, Policy()) == []
    assert changes(published, Policy(rate=Rate.parse("200/5s"))) == ["rate from 300/5s to 200/5s"]
    assert changes(Ledger(published.client, prefix="none"), Policy(max_codes_per_day=1)) == []


def test_a_policy_that_is_there_is_not_put_back(published):
    assert not restore_policy(published, Policy(max_codes_per_day=1))
    assert changes(published, Policy()) == []


def test_missing_time_shows_that_no_worker_ran_or_that_redis_is_a_backup(client):
    book = Book(client)
    book.accept()
    assert missing_time(book.ledger) == []
    book.move(timedelta(minutes=3))
    (complaint,) = missing_time(book.ledger)

    assert not complaint.fatal
    assert complaint.text.startswith("work in Redis is overdue by 0:0")
    assert "`ringproof pause`" in complaint.text


def test_a_worker_says_at_its_start_how_much_time_redis_does_not_remember(client):
    book = Book(client)
    assert claim_tick(book.ledger, SWEEP_TICK, timedelta(seconds=1))
    book.move(timedelta(seconds=50))
    assert missing_time(book.ledger) == []
    book.move(timedelta(hours=2))
    (complaint,) = missing_time(book.ledger)

    assert complaint.text.startswith("Redis remembers nothing of the last 2:00:5")
    assert "restored from a backup; in that case run `ringproof pause` now" in complaint.text

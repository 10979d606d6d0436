"""A worker reports the faults of its Redis at its start, with what can be lost. With a fatal one it does not start."""

from datetime import timedelta

import pytest
from support.harness import Worker, stopped
from support.number_in_ledger import Book

from ringproof.ledger.connection import connect
from ringproof.ledger.health import complaints, examine, overdue_work
from ringproof.ledger.ledger import Ledger
from worker.local.processes.redis_server import RedisServer

GOOD = {"redis_version": "7.4.1", "cluster_enabled": 0, "maxmemory_policy": "noeviction", "aof_enabled": 1}


@pytest.mark.parametrize(
    ("fields", "word", "fatal"),
    [
        ({"redis_version": "6.0.16"}, "too old", True),
        ({"redis_version": "5.0.7"}, "too old", True),
        ({"cluster_enabled": 1}, "Cluster", True),
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


def test_the_private_redis_of_demos_and_tests_has_no_fault(ledger):
    assert examine(Ledger(ledger.client, prefix="healthy")) == []


def test_a_worker_logs_at_its_start_what_can_be_lost(environ, tmp_path):
    with RedisServer() as server:
        client = connect(server.url)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        with stopped(Worker(tmp_path / "worker.log", own, tmp_path, concurrency=1)) as worker:
            log = worker.log
        texts = [complaint.text for complaint in examine(Ledger(client))]
        client.close()

    assert len(texts) == 2
    assert all(text in log for text in texts)


def test_overdue_work_shows_that_no_worker_ran_or_that_redis_is_a_backup(client):
    book = Book(client)
    book.accept()
    assert overdue_work(book.ledger) == []
    book.move(timedelta(minutes=3))
    (complaint,) = overdue_work(book.ledger)

    assert not complaint.fatal
    assert complaint.text.startswith("work in Redis is overdue by 0:0")
    assert "`ringproof pause`" in complaint.text

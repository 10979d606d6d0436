"""A worker goes on after a restart of Redis although it runs tasks, and has taken more messages than it can run.

With `test_thread_pool.py` these are the tests by which a version of Celery is allowed or refused: see
docs/how-it-works/decisions.md.
"""

import os

import pytest
from celery import Celery
from support.harness import AUTH_ID, AUTH_TOKEN, Sandbox, Worker, eventually, fresh_number, stopped

from ringproof.clock import epoch_ms
from ringproof.ledger.confirmation import store_code
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.secret_str import SecretStr
from worker.local.processes.redis_server import RedisServer

CHILDREN = 2
MESSAGES = 6
"""Many more than a worker with two children takes at once."""

QUEUE = "ringproof.interactive"
MISSED = (None, "Cannot connect to")
"""What the worker says before Redis is back: its first try to connect again succeeds at once, or has failed."""


class Site:
    """A Redis that can be restarted, a slow Plivo, and a worker."""

    def __init__(self, redis_server, plivo):
        self.redis, self.plivo = redis_server, plivo
        self.client = connect(redis_server.url)
        self.ledger = Ledger(self.client)
        self.environ = {
            **os.environ,
            "RINGPROOF_REDIS_URL": redis_server.url,
            "RINGPROOF_RATE": "1000/1s",
            "RINGPROOF_RANGE_CODES_PER_HOUR": "0",
            "PLIVO_AUTH_ID": AUTH_ID,
            "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
            "PLIVO_BASE_URL": plivo.base_url,
        }

    def has_code(self):
        """Return a number with a code that its user can enter."""
        number, now = fresh_number(), epoch_ms(self.ledger.now())
        record = {"state": "code_sent", "request": now // 1000, "lane": "interactive", "channel": "sms"}
        times = {"code_sent_at": now, "expires_at": now + 900_000, "live_until": now + 900_000}
        uuid = {"verification_uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6"}
        self.ledger.run("hset", self.ledger.keys.record(number), mapping=record | times | uuid)
        return number

    def enter_code(self, number):
        """Send the message of a code that a user entered: its task lasts as long as Plivo's answer."""
        kwargs = {"handle": store_code(self.ledger, SecretStr("123456"))}
        with Celery("producer", broker=self.redis.url, set_as_current=False) as producer:
            producer.send_task("confirm_verification", (number,), kwargs, queue=QUEUE, ignore_result=True)

    def unacked(self):
        return self.ledger.run("hlen", self.ledger.keys.unacked)


@pytest.fixture
def site(tmp_path):
    with (
        RedisServer(has_config=True) as redis_server,
        stopped(Sandbox(tmp_path / "s.log", os.environ, tmp_path)) as plivo,
    ):
        site = Site(redis_server, plivo)
        yield site
        site.client.close()


def until_logged_again(worker, text):
    times = worker.log.count(text)
    eventually(lambda: worker.log.count(text) > times)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_with_a_full_prefetch_outlives_restarts_of_redis(site, tmp_path, pool):
    site.plivo.switch(latency_ms=1000)
    with stopped(
        Worker(tmp_path / "w.log", site.environ, tmp_path, "-P", pool, "-Q", QUEUE, concurrency=CHILDREN)
    ) as it:
        for missed in MISSED:
            for number in [site.has_code() for _ in range(MESSAGES)]:
                site.enter_code(number)
            eventually(lambda: site.unacked() >= CHILDREN, why="the worker is not busy")
            site.redis.kill()
            if missed:
                until_logged_again(it, missed)
            site.redis.restart()
            eventually(
                lambda: site.ledger.run("llen", QUEUE) == 0,
                within=60,
                why=f"it takes no more messages:\n{it.log[-3000:]}",
            )
            assert it.popen.poll() is None, it.log[-3000:]

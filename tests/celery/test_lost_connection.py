"""A connection to the broker that was lost is closed twice, and no message is forgotten that was taken from it.

Celery 5.7 does that. If Redis refuses a channel while it is closed, kombu leaves the others open, forgets its address,
and closes them again: see docs/how-it-works/decisions.md.
"""

from contextlib import suppress

import pytest
import redis
from celery import Celery
from kombu import Exchange, Queue
from support.harness import fresh_number

from ringproof.celery.broker import Connection
from worker.local.processes.redis_server import RedisServer

QUEUE = "ringproof.interactive"
BROADCAST = Queue("commands", Exchange("commands", type="fanout"), auto_delete=True)


@pytest.fixture
def redis_server():
    with RedisServer(has_config=True) as server:
        yield server


def take(connection):
    """Take a message, and wait for the next one, as a worker does that has a free thread."""
    messages = []
    connection.Consumer([Queue(QUEUE)], callbacks=[lambda _, message: messages.append(message)]).consume()
    with suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=5 if not messages else 0.1)
    connection.transport.cycle.on_poll_start()
    return messages[0]


def test_a_lost_connection_is_closed_twice_while_redis_is_away_and_a_message_is_taken(redis_server):
    with Celery("producer", broker=redis_server.url, set_as_current=False) as producer:
        producer.send_task("confirm_verification", (fresh_number(), "1234"), queue=QUEUE, ignore_result=True)
    connection = Connection(redis_server.url)
    message = take(connection)
    commands = connection.channel()
    BROADCAST(commands).declare()
    assert commands.client.ping()  # a channel with a client deletes its broadcast queue when it is closed
    redis_server.kill()

    connection.collect(socket_timeout=1)
    assert not message.channel.closed, "nothing ended the first closing: this test shows nothing"
    connection.close()

    assert message.channel.closed
    with pytest.raises(redis.ConnectionError, match="was closed"):  # Celery expects that of a late acknowledgement
        message.ack()

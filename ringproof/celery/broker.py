"""kombu's Redis transport, made safe against two faults that would end a worker's parent process.

One is junk in a queue or a broadcast. kombu takes it and raises, and Celery's main process ends. Here it is dropped
with a log line, before Celery sees it. The other is a Redis that is out of memory, or a replica, and does not record
that a message was taken. The worker works off the message all the same. If the worker dies, the ledger brings the
number back, not the broker.

Only a process that takes messages loads their check (`ringproof.celery.envelope`): with pydantic it takes 0.1 s of CPU
and 8 MB, and a web app that sends messages saves both.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any

import kombu
import redis
from celery.app import amqp
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from ringproof.celery.junk import NotAMessageError
from ringproof.ledger.queues import QUEUES

_log = logging.getLogger(__name__)


class Message(virtual.Message):
    """A message that has the shape of one of Celery's. Raises `NotAMessageError` otherwise."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        from ringproof.celery.envelope import open_envelope  # noqa: PLC0415

        envelope, body = open_envelope(payload)
        super().__init__(envelope, channel, **options)
        self._decoded_cache = body


class QoS(kombu_redis.QoS):
    """Records which messages were taken and not yet acknowledged: in Redis, or in this process if Redis refuses."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message that was taken off its queue."""
        try:
            super().append(message, delivery_tag)
        except redis.ResponseError as error:
            _log.warning("Redis does not record a message that was taken from a queue: %s", error)
            virtual.QoS.append(self, message, delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put a message that was taken back into its queue. Junk is deleted: because of it no worker could start."""
        from ringproof.celery.envelope import check_taken  # noqa: PLC0415

        with self.channel.conn_or_acquire(client) as connection:
            taken = connection.hget(self.unacked_key, tag)
        try:
            check_taken(taken)
        except NotAMessageError as error:
            _log_junk("message that was taken before", error)
            self._remove_from_indices(tag).execute()
        else:
            super().restore_by_tag(tag, client, leftmost)


class Channel(kombu_redis.Channel):
    """Takes messages from queues, and drops junk with a log line."""

    Message = Message
    QoS = QoS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.async_pool.disconnect()  # kombu has asked whether Redis is there, by a connection that few channels need

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *args: Any, **options: Any
    ) -> Any:
        """Consume a queue. A message that Celery cannot read is rejected: each delivery would end the worker."""
        from ringproof.celery.envelope import check_task  # noqa: PLC0415

        def take(message: Any) -> Any:
            with self._junk_dropped("queue"):
                if queue in QUEUES:
                    routing_key = message.delivery_info["routing_key"]
                    message.headers = check_task(message.headers, routing_key, message.payload)
                return callback(message)
            if not message.acknowledged:
                message.reject()
            return None

        return super().basic_consume(queue, no_ack, take, *args, **options)

    def _get_pool(self, asynchronous: bool = False) -> Any:
        """Return the connections for single commands, which all channels share: one thread uses them."""
        own = super()._get_pool(asynchronous)
        return own if asynchronous else self.connection.shared(own)

    def _brpop_read(self, **options: Any) -> Any:
        with self._junk_dropped("queue"):
            return super()._brpop_read(**options)
        return True

    def _receive_one(self, client: Any) -> Any:
        # Not `_receive`, which reads all that has come: what came behind the junk would wait for the next broadcast.
        with suppress(Empty), self._junk_dropped("broadcast"):  # kombu has logged what is no JSON
            return super()._receive_one(client)
        return True

    @contextmanager
    def _junk_dropped(self, where: str) -> Iterator[None]:
        """Log an error about a message, and go on after the block. After an error of Redis, Celery connects again.

        `Empty` is kombu's word for a queue without messages.
        """
        try:
            yield
        except (Empty, *self.connection.connection_errors, *self.connection.channel_errors):
            raise
        except Exception as error:  # noqa: BLE001  # at junk, kombu and Celery raise anything
            _log_junk(where, error)


def _log_junk(where: str, error: Exception) -> None:
    reason = error if isinstance(error, NotAMessageError) else type(error).__name__
    _log.warning("dropped junk from a %s: %s", where, reason)


class Transport(kombu_redis.Transport):
    """kombu's transport over this channel."""

    Channel = Channel

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shared: Any = None

    def shared(self, pool: Any) -> Any:
        """Return the first pool of connections that a channel has brought: closing a channel only disconnects it."""
        self._shared = self._shared or pool
        return self._shared


class Connection(kombu.Connection):
    """A connection to Redis over this transport."""

    def get_transport_cls(self) -> type[Transport]:
        """Return this transport, whatever the scheme of the URL is."""
        return Transport


class AMQP(amqp.AMQP):
    """Has Celery make its connections with this module's class."""

    Connection = Connection

"""kombu's Redis transport, made safe against two faults that would end a worker's parent process.

One is junk in a queue. kombu takes it off the list and raises, and Celery's main process ends. Here it is dropped with
a log line. The other is a Redis that is out of memory, or a replica, and does not record that a message was taken. The
worker works off the message all the same. If the worker dies, the ledger brings the number back, not the broker.
"""

import logging
from collections.abc import Callable
from typing import Any

import kombu
import redis
from celery.app import amqp
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

_log = logging.getLogger(__name__)


class NotAMessageError(ValueError):
    """Junk that another program has put into a queue. It is off the queue, and nothing was done with it."""


class Message(virtual.Message):
    """A message with a complete envelope: it can be acknowledged and put back. Raises `NotAMessageError` otherwise."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel, **options)
            whole = {"exchange", "routing_key"} <= self.delivery_info.keys()
        except Exception as error:
            raise NotAMessageError(type(error).__name__) from error
        if not whole:
            raise NotAMessageError("no delivery_info")


class QoS(kombu_redis.QoS):
    """Records which messages were taken and not yet acknowledged: in Redis, or in this process if Redis refuses."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message that was taken off its queue."""
        try:
            super().append(message, delivery_tag)
        except redis.ResponseError as error:
            _log.warning("Redis does not record a message that was taken from a queue: %s", error)
            virtual.QoS.append(self, message, delivery_tag)


class Channel(kombu_redis.Channel):
    """Takes messages from queues, and drops junk with a log line."""

    Message = Message
    QoS = QoS

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *args: Any, **options: Any
    ) -> Any:
        """Consume a queue. A message that Celery cannot read is rejected: each delivery would end the worker."""

        def take(message: Any) -> Any:
            try:
                return callback(message)
            except (*self.connection.connection_errors, *self.connection.channel_errors):
                raise
            except Exception as error:  # noqa: BLE001  # any error of Celery's about another program's message
                _log.warning("dropped junk from a queue: %s", type(error).__name__)
                if not message.acknowledged:
                    message.reject()
                return None

        return super().basic_consume(queue, no_ack, take, *args, **options)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except ValueError as error:  # of JSON and UTF-8, too
            _log.warning("dropped junk from a queue: %s", type(error.__cause__ or error).__name__)
            return True

    def _receive(self) -> Any:
        try:
            return super()._receive()
        except ValueError as error:
            _log.warning("dropped junk from a broadcast: %s", type(error.__cause__ or error).__name__)
            return True


class Transport(kombu_redis.Transport):
    """kombu's transport over this channel."""

    Channel = Channel


class Connection(kombu.Connection):
    """A connection to Redis over this transport."""

    def get_transport_cls(self) -> type[Transport]:
        """Return this transport, for both schemes of a URL: `redis` and `rediss`."""
        return Transport


class AMQP(amqp.AMQP):
    """Has Celery make its connections with this module's class."""

    Connection = Connection

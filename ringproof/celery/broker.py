"""The broker as a worker's parent has it: kombu's Redis transport, which two things do not stop any more.

Something in a queue that is no message (kombu takes it off the list, raises, and Celery's main process ends); and a
Redis that refuses to write down what was taken off (out of memory, or a replica): the message is worked off all the
same, and the ledger, not the broker, is what brings a number back.
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
    """Somebody else has put this into the queue; it is gone from there, and nothing was done with it."""


class Message(virtual.Message):
    """A message whose envelope is whole: it can be acknowledged, and put back."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel, **options)
            whole = {"exchange", "routing_key"} <= self.delivery_info.keys()
        except Exception as error:
            raise NotAMessageError(type(error).__name__) from error
        if not whole:
            raise NotAMessageError("no delivery_info")


class QoS(kombu_redis.QoS):
    """Notes what was taken and not yet acknowledged; what Redis will not keep is noted here alone."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was taken off its queue."""
        try:
            super().append(message, delivery_tag)
        except redis.ResponseError as error:
            _log.warning("Redis does not keep what was taken from a queue: %s", error)
            virtual.QoS.append(self, message, delivery_tag)


class Channel(kombu_redis.Channel):
    """Takes messages, and drops with a word what is none."""

    Message = Message
    QoS = QoS

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *args: Any, **options: Any
    ) -> Any:
        """Consume a queue; what Celery cannot take apart is rejected, or it would come again and end it again."""

        def take(message: Any) -> Any:
            try:
                return callback(message)
            except (*self.connection.connection_errors, *self.connection.channel_errors):
                raise
            except Exception as error:  # noqa: BLE001  # Celery's own, about a message of somebody else's making
                _log.warning("dropped from a queue what is no message: %s", type(error).__name__)
                if not message.acknowledged:
                    message.reject()
                return None

        return super().basic_consume(queue, no_ack, take, *args, **options)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except ValueError as error:  # of JSON and UTF-8, too
            _log.warning("dropped from a queue what is no message: %s", type(error.__cause__ or error).__name__)
            return True

    def _receive(self) -> Any:
        try:
            return super()._receive()
        except ValueError as error:
            _log.warning("dropped a broadcast that is no message: %s", type(error.__cause__ or error).__name__)
            return True


class Transport(kombu_redis.Transport):
    """kombu's transport over this channel."""

    Channel = Channel


class Connection(kombu.Connection):
    """A connection to Redis over this transport."""

    def get_transport_cls(self) -> type[Transport]:
        """Return the transport, whatever the URL's scheme says: `redis` or `rediss`."""
        return Transport


class AMQP(amqp.AMQP):
    """What Celery makes its connections with."""

    Connection = Connection

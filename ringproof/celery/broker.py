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
from kombu import connection as kombu_connection
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from ringproof import runtime
from ringproof.celery.junk import NotAMessageError
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import sentinels
from ringproof.ledger.newer_messages import set_aside
from ringproof.ledger.queues import QUEUES
from ringproof.ledger.schema import needs_newer
from ringproof.network import redis_url

_log = logging.getLogger(__name__)


class Message(virtual.Message):
    """A message that has the shape of one of Celery's. Raises `NotAMessageError` otherwise."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        from ringproof.celery.envelope import open_envelope  # noqa: PLC0415

        envelope, body = open_envelope(payload)
        super().__init__(envelope, channel, **options)
        self._decoded_cache = body
        self.as_it_came = payload


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
    _commands: redis.Redis | None = None
    keyprefix_fanout: str

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.async_pool.disconnect()  # kombu has asked whether Redis is there, by a connection that few channels need

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *args: Any, **options: Any
    ) -> Any:
        """Consume a queue. A message that Celery cannot read is rejected: each delivery would end the worker.

        One that only a newer version can perform is set aside for it.
        """
        from ringproof.celery.envelope import check_task  # noqa: PLC0415

        def take(message: Any) -> Any:
            with self._junk_dropped("queue"):
                if queue in QUEUES:
                    if needs_newer(message.headers):
                        return _leave_to_newer(queue, message)
                    routing_key = message.delivery_info["routing_key"]
                    message.headers = check_task(message.headers, routing_key, message.payload)
                return callback(message)
            if not message.acknowledged:
                message.reject()
            return None

        return super().basic_consume(queue, no_ack, take, *args, **options)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Return the client for single commands. kombu would make one for each command, which takes as long as it."""
        if asynchronous:
            return super()._create_client(asynchronous)
        if self._commands is None or self._commands.connection_pool is not self.pool:
            self._commands = super()._create_client()
        return self._commands

    def _get_pool(self, asynchronous: bool = False) -> Any:
        """Return the connections for single commands, which all channels share: one thread uses them.

        Raises redis-py's ConnectionError if the channel's connection was closed. After a lost connection Celery 5.7
        closes it twice. If an error ends the first time, the second one puts messages back, by a channel that knows
        no address any more: kombu's own raises AttributeError then, and the worker's main process ends.
        """
        if self.connection.client is None:
            raise redis.ConnectionError("this connection to the broker was closed")
        url = self.connection.client.sentinel_url
        own = self._master_pool(url, asynchronous) if url else super()._get_pool(asynchronous)
        return own if asynchronous else self.connection.shared(own)

    def _master_pool(self, url: str, asynchronous: bool) -> Any:
        """Return a pool of connections to the master that Sentinels name, as kombu's own in all else."""
        options = sentinels.connection_options(url)
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=options["db"])
        if asynchronous:
            options["connection_class"] = _with_end_noticed(options["connection_class"], self)
        return sentinels.MasterPool(
            **options,
            max_connections=self.max_connections,
            socket_timeout=self.socket_timeout,
            socket_connect_timeout=self.socket_connect_timeout,
            health_check_interval=self.health_check_interval,
        )

    def leave_old_master(self) -> bool:
        """Close the connections on which this channel waits for messages, if another server is master by now."""
        waiting = (self.__dict__.get(name) for name in ("client", "subclient"))  # kombu makes them at their first use
        connections = [client.connection for client in waiting if client and client.connection]
        astray = [one for one in connections if one._sock and one.is_astray]  # noqa: SLF001  # as kombu reads it
        for connection in astray:
            connection.disconnect()
        return bool(astray)

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


def _with_end_noticed(connection_class: type[sentinels.MasterConnection], channel: Channel) -> type:
    """Return a class of connections whose end the channel notices, which waits for messages by them."""

    class Connection(connection_class):  # type: ignore[valid-type, misc]  # one of two
        def disconnect(self, *args: Any, **options: Any) -> None:
            super().disconnect(*args, **options)
            if channel._registered:  # noqa: SLF001  # as kombu's own class does
                channel._on_connection_disconnect(self)  # noqa: SLF001

    return Connection


def _leave_to_newer(queue: str, message: Message) -> None:
    """Set a message aside, and then acknowledge it. Where Redis takes nothing, it goes back into its queue."""
    try:
        set_aside(runtime.ledger(), queue, dumps(message.as_it_came))
    except LedgerUnavailable as error:
        _log.warning("a message for a newer version of Ringproof was not set aside: %s", error)
        message.requeue()
        return
    message.ack()
    _log.warning("a message in %s needs a newer version of Ringproof; it waits for a worker of that version", queue)


def _log_junk(where: str, error: Exception) -> None:
    reason = error if isinstance(error, NotAMessageError) else type(error).__name__
    _log.warning("dropped junk from a %s: %s", where, reason)


class Transport(kombu_redis.Transport):
    """kombu's transport over this channel."""

    Channel = Channel

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shared: Any = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have a worker's event loop deliver messages, and look each second whether another server is master."""
        super().register_with_event_loop(connection, loop)
        if self.client.sentinel_url:
            loop.call_repeatedly(sentinels.LOOK_SECONDS, self.follow_master)

    def drain_events(self, *args: Any, **options: Any) -> Any:
        """Deliver a message, for a worker without an event loop."""
        if self.client.sentinel_url:
            self.follow_master()
        return super().drain_events(*args, **options)

    def follow_master(self) -> None:
        """Raise redis-py's ConnectionError if another server is master by now: Celery connects again then.

        A server that stands still or is cut off ends no connection. Its clients would wait there for messages.
        """
        if any([channel.leave_old_master() for channel in list(self.cycle._channels)]):  # noqa: C419, SLF001  # all of them
            raise redis.ConnectionError("another server is master now")

    def shared(self, pool: Any) -> Any:
        """Return the first pool of connections that a channel has brought: closing a channel only disconnects it."""
        self._shared = self._shared or pool
        return self._shared


class Connection(kombu.Connection):
    """A connection to Redis over this transport."""

    @property
    def sentinel_url(self) -> str:
        """The URL, if it names Sentinels; otherwise nothing."""
        return self.hostname if self.hostname and redis_url.has_sentinels(self.hostname) else ""

    def as_uri(self, include_password: bool = False, *args: Any, **options: Any) -> str:
        """Return the URL for logs. That of Sentinels has another password among its options, which kombu would show."""
        if self.sentinel_url and not include_password:
            return redis_url.shown(self.sentinel_url)
        uri: str = super().as_uri(include_password, *args, **options)
        return uri

    def get_transport_cls(self) -> type[Transport]:
        """Return this transport, whatever the scheme of the URL is."""
        return Transport

    def _ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Connect, and try again after 1, 2, 3 and 3 seconds where a failover may be under way. kombu waits 30 s."""
        if self.sentinel_url:
            options = {"interval_start": 1, "interval_step": 1, "interval_max": 3} | options
        return super()._ensure_connection(*args, **options)

    def Pool(self, limit: Any = None, **_: Any) -> "ConnectionPool":  # noqa: N802  # kombu's name
        """Return a pool of such connections, by which a program sends messages. kombu's has plain ones."""
        return ConnectionPool(self, limit)


class PooledConnection(kombu_connection.PooledConnection, Connection):
    """A connection of a pool."""


class ConnectionPool(kombu_connection.ConnectionPool):
    """A pool of connections over this transport."""

    def new(self) -> PooledConnection:
        """Make a connection."""
        return PooledConnection(self, **dict(self.connection._info(resolve=False)))  # noqa: SLF001  # as kombu does


class AMQP(amqp.AMQP):
    """Has Celery make its connections with this module's class."""

    Connection = Connection

    def __init__(self, app: Any) -> None:
        assert app.conf  # noqa: S101  # Celery's own does not read the settings: who has them read again may come first
        super().__init__(app)

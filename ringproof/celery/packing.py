"""A message as Celery and kombu would write it into Redis, for a program on asyncio, which writes it there itself."""

from typing import Any, Final

import kombu
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from ringproof.celery.app import app


class _Channel(virtual.Channel):
    """Puts no message anywhere: its transport keeps it."""

    priority_steps: Final = kombu_redis.Channel.priority_steps
    sep: Final = kombu_redis.Channel.sep
    priority = kombu_redis.Channel.priority
    _q_for_pri = kombu_redis.Channel._q_for_pri  # noqa: SLF001  # the list of a queue, by a message's priority

    def _put(self, queue: str, message: Any, **_: Any) -> None:
        key = self._q_for_pri(queue, self._get_message_priority(message))
        self.connection.packed.append((key, dumps(message)))


class _Transport(virtual.Transport):
    Channel = _Channel
    state = virtual.BrokerState()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.packed: list[tuple[str, str]] = []


class Packing:
    """Has a message packed by Celery's own code, with its signals, and nothing sent.

    packing = Packing()
    app.send_task("initiate_verification", ("+14155550123",), {"request": 1764374400}, producer=packing.producer)
    await ledger.run_all(*packing.commands)
    """

    def __init__(self) -> None:
        self._connection = kombu.Connection(transport=_Transport)
        self.producer = app.amqp.Producer(self._connection, auto_declare=False)

    @property
    def commands(self) -> list[tuple[str, str, str]]:
        """The commands of Redis that put what was packed into its queue: none if the eager mode has performed it."""
        return [("lpush", key, message) for key, message in self._connection.transport.packed]

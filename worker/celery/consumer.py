"""Celery's consumer of a worker's main process, with less trust in what others send to it."""

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import celery.worker.consumer
from celery.exceptions import NotRegistered
from celery.utils.objects import Bunch
from celery.worker import heartbeat, pidbox
from celery.worker.consumer import control, heart

from ringproof.clock import boot_clock

STEPS: Final = {
    "celery.worker.consumer.control:Control": f"{__name__}:Control",
    "celery.worker.consumer.heart:Heart": f"{__name__}:Heart",
}
"""Steps of Celery's, and which of this module take their places."""

_log = logging.getLogger(__name__)


class Pidbox(pidbox.Pidbox):
    """Gets the commands of `celery control` and `inspect`. A wrong one is logged, and changes nothing."""

    def on_message(self, body: Any, message: Any) -> None:
        """Carry out a command; our channel drops one that is wrong.

        After an error Celery's own method closes the channel while it is read, and the worker takes no more messages.
        """
        self.node.handle_message(body, message)


class Control(control.Control):
    """Starts this module's mailbox."""

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self.box = Pidbox(c)
        self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown


class HeartbeatEvents(heartbeat.Heart):
    """Sends the heartbeats that Flower gets. One that Redis does not take is not repeated.

    Celery's own repeats it until Redis takes it. If Redis stood still, or the network to it was cut, the main process
    did nothing else, and noticed no SIGTERM.
    """

    def _send(self, event: str, **_: Any) -> Any:
        return super()._send(event, retry=False)


class Heart(heart.Heart):
    """Starts this module's heartbeats."""

    def start(self, c: Any) -> None:
        """Begin to send them; called again after each lost connection."""
        c.heart = HeartbeatEvents(c.timer, c.event_dispatcher, self.heartbeat_interval)
        c.heart.start()


class Waker:
    """Wakes the event loop of a worker from another thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)

    def watch(self, hub: Any) -> None:
        """Have this event loop wake up."""
        hub.add_reader(self._reader, self._empty)

    def wake(self) -> None:
        """Wake the event loop. Thread-safe."""
        with suppress(BlockingIOError):  # it has not even noticed the earlier ones
            self._writer.send(b"\0")

    def _empty(self) -> None:
        with suppress(BlockingIOError):
            self._reader.recv(4096)


class Consumer(celery.worker.consumer.Consumer):
    """Takes messages as soon as a thread is free, and drops those that are for no task here.

    In Celery 5.6 a thread leaves its acknowledgement to the event loop, and does not wake it. If all threads were busy,
    the loop sleeps for up to a second, and nobody takes the next messages meanwhile.

    Celery's own consumer writes the bodies of messages for unknown tasks into the log, codes included.
    """

    class Blueprint(celery.worker.consumer.Consumer.Blueprint):
        """Celery's steps, with this module's mailbox and heartbeats."""

        default_steps: Final = [
            STEPS.get(step, step) for step in celery.worker.consumer.Consumer.Blueprint.default_steps
        ]

    def __init__(self, *args: Any, **options: Any) -> None:
        self._waker = Waker()
        self.taken_at: float | None = None
        """When this worker last took a message off a queue, as `boot_clock()` has it."""
        super().__init__(*args, **options)

    def register_with_event_loop(self, hub: Any) -> None:
        """Begin to take messages; called again after each lost connection."""
        super().register_with_event_loop(hub)
        self._waker.watch(hub)

    def call_soon(self, p: Any, *args: Any, **options: Any) -> Any:
        """Have the event loop make a call, such as an acknowledgement, at once. Thread-safe."""
        called = super().call_soon(p, *args, **options)
        self._waker.wake()
        return called

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """Return what is called with each message; it notes when the last one was taken."""
        handle = super().create_task_handler(*args, **options)

        def take(message: Any) -> Any:
            self.taken_at = boot_clock()
            return handle(message)

        return take

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002  # Celery's signature
        """Drop a message for a task that Ringproof does not have; its sender gets `NotRegistered` as the result."""
        task, message_id = message.headers["task"], message.headers["id"]
        _log.warning("dropped message %s: there is no task %s here", message_id, task)
        message.reject_log_error(_log, self.connection_errors)
        request = Bunch(name=task, chord=None, root_id=None, correlation_id=None, reply_to=None, errbacks=None)
        self.app.backend.mark_as_failure(message_id, NotRegistered(task), request=request)
        if self.event_dispatcher:
            self.event_dispatcher.send("task-failed", uuid=message_id, exception=f"NotRegistered({task!r})")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """Drop a message that Celery can make no request from, such as one with a wrong date."""
        _log.warning("dropped message %s: %s", message.headers["id"], type(exc).__name__)
        message.reject_log_error(_log, self.connection_errors)

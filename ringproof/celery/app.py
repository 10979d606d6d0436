"""The Celery application, as a producer needs it; `worker.celery` adds what a worker process needs.

Importing this module reads no environment and opens no socket. Celery asks for the configuration when it first needs
it. The application is never the current one, so the `@shared_task`s of a host project stay with the project's own.
"""

import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from importlib import import_module
from typing import Any, Final, Self

from celery import Celery, Task
from celery.canvas import Signature
from kombu import Exchange, Queue
from kombu.utils.imports import symbol_by_name

from ringproof import runtime
from ringproof.celery.masked_results import mask_results
from ringproof.ledger.bare_redis import SOCKET_SECONDS
from ringproof.ledger.keys import Keys
from ringproof.ledger.queues import QUEUES, queue
from ringproof.ledger.record import Lane
from ringproof.network import redis_url
from ringproof.settings import Settings, test_mode

VISIBILITY_SECONDS: Final = 300
"""After this time Redis delivers an unacknowledged message again. It is far longer than one send takes, and the second
delivery finds nothing to begin.
"""

NO_BODIES: Final = (
    "ringproof: the application `ringproof.celery.app` is for programs that make requests, and cannot perform them. "
    "Start `ringproof worker` and `ringproof beat`, or `celery -A worker worker` and `celery -A worker beat`."
)


class PortableSignature(Signature):
    """A signature (`.s(…)`) that can be pickled and copied, as its task can."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _signature_of, (type(self.type).__module__, dict(self))

    def reprcall(self, *_args: Any, **_kwargs: Any) -> str:
        """Name the task only, for each repr: a number, and perhaps a code, is among the arguments."""
        return f"{self.task}(…)"

    def clone(self, *args: Any, **options: Any) -> "PortableSignature":
        """Return a copy, with more arguments and options."""
        return PortableSignature(super().clone(*args, **options), app=self.app).veiled()

    def __deepcopy__(self, memo: dict[int, Any]) -> "PortableSignature":
        """Return a signature. Celery's own method returns a plain dict, whose repr shows the arguments."""
        return PortableSignature(deepcopy(dict(self), memo), app=self.app)

    def veiled(self) -> Self:
        """Return this signature, with its arguments as the task hides them from crash reporters."""
        self["args"], self["kwargs"] = self.type.veil(self["args"], self["kwargs"])
        return self


class PortableTask(Task):
    """A task that can be pickled and copied. Celery would look for its name in the application of the host project."""

    abstract = True

    def __reduce__(self) -> tuple[Any, ...]:
        return _task_of, (type(self).__module__, self.name)

    def signature(self, *args: Any, **options: Any) -> PortableSignature:
        """Return a signature of this task; `.s(…)` and `.si(…)` call this, too."""
        mask_results()
        return PortableSignature(self, *args, **{"app": self.app} | options).veiled()

    subtask = signature

    def veil(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the arguments of a signature, as its variables may be shown."""
        return args, kwargs


def _task_of(module: str, name: str) -> Any:
    import_module(module)
    return app.tasks[name]


def _signature_of(module: str, fields: dict[str, Any]) -> PortableSignature:
    import_module(module)
    return PortableSignature(fields, app=app)


class Ringproof(Celery):
    """A Celery application whose broker and results come from Ringproof's settings alone.

    A host project may have CELERY_BROKER_URL and CELERY_RESULT_BACKEND in its environment. They would override Celery's
    configuration. `celery report` and `inspect conf` would also show Redis' password.
    """

    task_cls = PortableTask

    read_settings: Callable[[], Settings] = staticmethod(runtime.settings)
    """Reads the environment. `worker.celery` replaces it with a function that ends a command with a list of faults."""

    configured: bool
    _has_other_settings = False

    is_service = False
    """Whether `worker.celery` has added the task bodies, so that this process may be a worker or beat."""

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Connect to the Redis that keeps the ledger."""
        current = self.read_settings()
        if self._has_other_settings:
            self._has_other_settings = False
            self.conf.update(configuration_by(current))
        return self._connection(url or redis_url.for_kombu(current.redis_url.get_secret_value()), **options)

    connection_for_write = connection_for_read

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send a message to the workers. In the eager mode it is performed here, and at once."""
        origin = runtime.current_origin()
        if origin and origin.send_task:
            return origin.send_task(name, args, kwargs, **options)
        return super().send_task(name, args, kwargs, **options)

    def read_settings_again(self) -> None:
        """Connect by other settings from now on: `runtime.origin` is another one."""
        self._after_fork()  # it drops the connections
        self._backend_cache = None
        with suppress(AttributeError):  # this thread's own, if it has one
            del self._local.backend
        self._has_other_settings = self.configured

    @property
    def Worker(self) -> Any:  # noqa: N802  # Celery's name
        """Celery's worker. Ends the process with a message if this application has no task bodies."""
        return super().Worker if self._serves() else sys.exit(NO_BODIES)

    @property
    def Beat(self) -> Any:  # noqa: N802  # Celery's name
        """Celery's beat. Ends the process with a message if this application has no schedule."""
        return super().Beat if self._serves() else sys.exit(NO_BODIES)

    def _serves(self) -> bool:
        """Whether this process may be a worker or beat. Raises `Misconfigured` in the eager mode of tests."""
        if not self.is_service:
            return False
        self.read_settings()  # a command ends here, with a list of what is wrong
        if runtime.is_performed_at_once():
            test_mode.refuse_in_service(runtime.environment())
        return True

    def _get_backend(self) -> Any:
        backend = symbol_by_name("ringproof.celery.backend:LedgerBackend")
        return backend(app=self, url=redis_url.for_celery(self.read_settings().redis_url.get_secret_value()))


app = Ringproof(
    "ringproof",
    set_as_current=False,
    amqp="ringproof.celery.broker:AMQP",
    control="ringproof.celery.control:Control",
    fixups=(),  # Django's reads DJANGO_SETTINGS_MODULE, and would tie a host project's database to our workers
)


@app.on_configure.connect
def _configure(sender: Celery, **_: Any) -> None:
    """Make Celery's configuration from the environment, when Celery first asks for it."""
    mask_results()
    sender.config_from_object(configuration_by(app.read_settings()))


def configuration_by(current: Settings) -> dict[str, Any]:
    """Return Celery's configuration for these settings."""
    keys = Keys(current.prefix)
    url = current.redis_url.get_secret_value()
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss:") else None
    return {
        "broker_use_ssl": tls,
        "redis_backend_use_ssl": tls,
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        "task_default_queue": queue(Lane.INTERACTIVE),
        "task_create_missing_queues": False,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,  # Redis is out of memory, or a replica, for a while only
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0},
        "redis_socket_timeout": SOCKET_SECONDS,
        "redis_socket_connect_timeout": SOCKET_SECONDS,
        "broker_transport_options": {
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": SOCKET_SECONDS,
            "visibility_timeout": VISIBILITY_SECONDS,
            "queue_order_strategy": "priority",
            # Two Celery applications may share a Redis: neither delivers the other's messages again.
            "unacked_key": keys.unacked,
            "unacked_index_key": f"{keys.unacked}_index",
            "unacked_mutex_key": f"{keys.unacked}_mutex",
        },
        "control_exchange": f"{current.prefix}.control",
        "worker_redirect_stdouts": False,
    }

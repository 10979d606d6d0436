"""The Celery application, as a producer needs it; `worker.celery` adds what a worker process needs.

Importing it reads no environment and opens no socket; the configuration is made when Celery first asks for it. It is
never the current app, so a host project's `@shared_task` stays where it was.
"""

import ssl
from typing import Any, Final

import click
from celery import Celery
from kombu import Exchange, Queue
from kombu.utils.imports import symbol_by_name

from ringproof import runtime
from ringproof.errors import Misconfigured
from ringproof.ledger.connection import SOCKET_SECONDS
from ringproof.ledger.queues import TICKS, queue
from ringproof.ledger.record import Lane
from ringproof.settings import Settings

VISIBILITY_SECONDS: Final = 300
"""When an unacknowledged message is delivered again: far beyond one send; twice, it finds nothing to begin."""


def _settings() -> Settings:
    """Read the environment; a `celery` command ends with the list of what is wrong in it, and no traceback."""
    context = click.get_current_context(silent=True)
    if context is None or context.find_root().command.name != "celery":
        return runtime.settings()
    try:
        return runtime.settings(worker=context.info_name == "worker")
    except Misconfigured as error:
        raise click.ClickException("\n       ".join(error.problems)) from error


class Ringproof(Celery):
    """Takes its broker and its results from our settings alone.

    As configuration they would lose against CELERY_BROKER_URL and CELERY_RESULT_BACKEND, which a host project may
    have in its environment, and `celery report` and `inspect conf` would show Redis' password.
    """

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Connect to the Redis that keeps the ledger."""
        return self._connection(url or _settings().redis_url.get_secret_value(), **options)

    connection_for_write = connection_for_read

    def _get_backend(self) -> Any:
        backend = symbol_by_name("ringproof.celery.backend:LedgerBackend")
        return backend(app=self, url=_settings().redis_url.get_secret_value())


app = Ringproof(
    "ringproof",
    set_as_current=False,
    amqp="ringproof.celery.broker:AMQP",
    fixups=(),  # Django's would read DJANGO_SETTINGS_MODULE, and hook a host project's database into our workers
)


@app.on_configure.connect
def _configure(sender: Celery, **_: Any) -> None:
    """Hand Celery its configuration, made from the environment, at the first look at it."""
    current = _settings()
    url = current.redis_url.get_secret_value()
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss:") else None
    names = (TICKS, *map(queue, Lane))
    sender.config_from_object(
        {
            "broker_use_ssl": tls,
            "redis_backend_use_ssl": tls,
            "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in names],
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
            "broker_channel_error_retry": True,  # out of memory, or a replica: it will not stay so
            "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0},
            "redis_socket_timeout": SOCKET_SECONDS,
            "redis_socket_connect_timeout": SOCKET_SECONDS,
            "broker_transport_options": {
                "socket_timeout": SOCKET_SECONDS,
                "socket_connect_timeout": SOCKET_SECONDS,
                "visibility_timeout": VISIBILITY_SECONDS,
                "queue_order_strategy": "priority",
                # A Redis shared with another Celery application: neither restores the other's messages.
                "unacked_key": f"{current.prefix}:unacked",
                "unacked_index_key": f"{current.prefix}:unacked_index",
                "unacked_mutex_key": f"{current.prefix}:unacked_mutex",
            },
            "control_exchange": f"{current.prefix}.control",
            "worker_redirect_stdouts": False,
        }
    )

"""Builds settings, ledger and Plivo's client, once for each process, on first use and never at import.

A child process builds its own: it does not use what was built before the fork.
"""

import os
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ringproof.errors import Misconfigured
from ringproof.ledger.role import Role
from ringproof.settings import Settings

if TYPE_CHECKING:
    from ringproof.events.webhook import Webhook
    from ringproof.ledger.ledger import Ledger
    from ringproof.plivo.client import PlivoClient

role = Role.PRODUCER
"""What this process is, for the check of its rights in Redis: `worker.celery` and `worker.cli` set their own."""

REGION: Final = "RINGPROOF_REGION"

most_connections: int | None = None
"""How many connections to Redis this process's ledger has at most: a worker sets it. None: one for each thread."""


def settings(*, worker: bool = False, only: Collection[str] = ()) -> Settings:
    """Read the settings from the environment, those of a worker or of a producer, or just these fields.

    Raises `Misconfigured` with all problems at once.
    """
    return Settings.read(os.environ, worker=worker, only=only)


def region() -> str | None:
    """Return the country of numbers that name none. Each `.delay` asks for it, so no other setting is read."""
    return _region(os.environ.get(REGION, ""))


def ledger() -> "Ledger":
    """Return this process's ledger. It connects at its first call."""
    return _ledger(os.getpid())


def plivo() -> "PlivoClient":
    """Return this process's client of Plivo. Raises `Misconfigured` without Plivo's credentials."""
    return _plivo(os.getpid())


def webhook() -> "Webhook":
    """Return this process's way to the receiver of webhooks. Raises `Misconfigured` if none is configured."""
    return _webhook(os.getpid())


@lru_cache(maxsize=1)
def _region(written: str) -> str | None:
    return Settings.read({REGION: written}, only=("region",)).region


@lru_cache(maxsize=1)
def _ledger(_pid: int) -> "Ledger":
    from ringproof.ledger.connection import connect  # noqa: PLC0415  # a healthcheck has no time for redis-py
    from ringproof.ledger.ledger import Ledger  # noqa: PLC0415

    current = settings()
    return Ledger(
        connect(current.redis_url.get_secret_value(), most=most_connections),
        prefix=current.prefix,
        shown_url=current.shown_redis_url,
        policy=current.policy,
        role=role,
    )


@lru_cache(maxsize=1)
def _plivo(_pid: int) -> "PlivoClient":
    from ringproof.plivo.client import PlivoClient  # noqa: PLC0415  # a producer never loads requests

    current = settings(worker=True)
    assert current.plivo_auth_id is not None  # noqa: S101  # read(worker=True) has checked it
    assert current.plivo_auth_token is not None  # noqa: S101
    return PlivoClient(
        current.plivo_auth_id,
        current.plivo_auth_token,
        current.plivo_base_url,
        proxy=current.proxy,
        ca_bundle=current.plivo_ca_bundle,
    )


@lru_cache(maxsize=1)
def _webhook(_pid: int) -> "Webhook":
    from ringproof.events.webhook import Webhook  # noqa: PLC0415  # few processes send webhooks
    from ringproof.network.proxy import Proxy  # noqa: PLC0415

    current = settings()
    if current.webhook_url is None or not current.webhook_secrets:
        missing = "RINGPROOF_WEBHOOK_URL and RINGPROOF_WEBHOOK_SECRETS"
        raise Misconfigured(f"{missing}: both are needed to send webhooks; docs/guide/webhooks.md says how")
    proxy = current.webhook_proxy
    return Webhook(
        current.webhook_url,
        current.webhook_secrets,
        proxy=Proxy.parse(proxy.get_secret_value()) if proxy else None,
        ca_bundle=current.webhook_ca_bundle,
        allow_private=current.webhook_allow_private,
    )

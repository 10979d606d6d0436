"""Builds this process's world, once, on first use and never at import: settings, ledger, Plivo's client.

A child has its own: what was built before a fork is not used after it.
"""

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.settings import Settings

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient


def settings(*, worker: bool = False) -> Settings:
    """Return what the environment says, to a worker or not. Raises `Misconfigured` with every problem in it."""
    return Settings.read(os.environ, worker=worker)


def ledger() -> Ledger:
    """Return this process's ledger; nothing is connected before its first call."""
    return _ledger(os.getpid())


def plivo() -> "PlivoClient":
    """Return this process's client. Raises `Misconfigured` without Plivo's credentials."""
    return _plivo(os.getpid())


@lru_cache(maxsize=1)
def _ledger(_pid: int) -> Ledger:
    current = settings()
    return Ledger(
        connect(current.redis_url.get_secret_value()),
        prefix=current.prefix,
        shown_url=current.shown_redis_url,
        policy=current.policy,
    )


@lru_cache(maxsize=1)
def _plivo(_pid: int) -> "PlivoClient":
    from ringproof.plivo.client import PlivoClient  # noqa: PLC0415  # a producer never loads requests

    current = settings(worker=True)
    assert current.plivo_auth_id is not None  # noqa: S101  # read(worker=True) has seen to it
    assert current.plivo_auth_token is not None  # noqa: S101
    return PlivoClient(current.plivo_auth_id, current.plivo_auth_token, current.plivo_base_url)

"""Has the outbox of each account keep its events for those who consume the events of the installation."""

import threading
import time
from typing import Final

from ringproof import runtime
from ringproof.events.outbox import Consumer, consumers, subscribe_account
from ringproof.ledger.ledger import Ledger

LOOK_SECONDS: Final = 5.0
"""How often a process looks who consumes events."""

SIGN_SECONDS: Final = 3600.0
"""How often a process says for one account that its consumers are there. After three days they are forgotten."""

_lock = threading.Lock()
_looked_at = -LOOK_SECONDS
_known: list[Consumer] = []
_signed_at: dict[tuple[str, Consumer], float] = {}


def want_events(ledger: Ledger) -> None:
    """Have an account's outbox keep events from now on, if anybody consumes those of the installation.

    Call it before something happens to numbers of the account. It costs a command an hour. Raises `LedgerUnavailable`.
    """
    account = ledger.keys.account
    if account is None:
        return
    for consumer in _consumers():
        now = time.monotonic()
        if now - _signed_at.get((account, consumer), -SIGN_SECONDS) >= SIGN_SECONDS:
            subscribe_account(ledger, consumer, _address(consumer))
            _signed_at[account, consumer] = now


def _address(consumer: Consumer) -> str | None:
    is_here = consumer is Consumer.WEBHOOKS and runtime.settings().webhook_url
    return runtime.webhook().address if is_here else None


def _consumers() -> list[Consumer]:
    global _looked_at, _known  # noqa: PLW0603  # of this process alone
    with _lock:
        if time.monotonic() - _looked_at >= LOOK_SECONDS:
            _looked_at = time.monotonic()
            _known = consumers(runtime.ledger())
        return _known

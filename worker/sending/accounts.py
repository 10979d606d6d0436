"""A message names the account that it is about. If there is none of that name, its numbers wait until it is back."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ringproof import errors
from ringproof.celery.messages import is_account
from ringproof.phone.masking import mask_value
from worker.celery.outcome_log import of_account

ANY_CHANNEL: Final = "any"
"""What is in hand of people: their messages do not name the channel, and their records do."""

REPEAT_SECONDS: Final = 60.0
"""How often one process logs that an account is missing: its numbers may have thousands of messages."""

_said_at: dict[str, float] = {}

_log = logging.getLogger(__name__)


def check_account(account: Any) -> str | None:
    """Return the account that a message names; None for the installation's own. Raises `InvalidRequest` for junk."""
    if account is None or is_account(account):
        return account  # type: ignore[no-any-return]  # checked
    raise errors.InvalidRequest("account", mask_value(account), "the name of an account, or none")


@contextmanager
def work_of(account: Any) -> Iterator[None]:
    """Work on a message about accepted requests of an account; log lines within name the account.

    If the installation has no account of this name any more, the message is dropped. The numbers stay in their ledger,
    and the sweep sends their messages again once the account is back. Raises `InvalidRequest` for junk.
    """
    with of_account(check_account(account)):
        try:
            yield
        except errors.UnknownAccount as error:
            say_missing(error)


def say_missing(error: errors.UnknownAccount) -> None:
    """Log that numbers of an account wait because it is missing, once a minute for each name."""
    now = time.monotonic()
    if now - _said_at.get(error.value, -REPEAT_SECONDS) >= REPEAT_SECONDS:
        _said_at[error.value] = now
        _log.error("numbers of account %s wait until it is back: %s", error.value, error.message)

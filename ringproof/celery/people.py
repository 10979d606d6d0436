"""The people of an account: their requests wait in a list of the account's own, and one message is for all of them.

The queues are shared by all accounts. With a message for each request a crowd at one account would stand before the
people of all others. A worker that gets the one message takes some requests off the list, and sends it again if there
are more: so the accounts take turns.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

from ringproof.celery.messages import people_message, send_message
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger

AT_ONCE: Final = 100
"""Requests that one message has taken in hand. A worker spends a millisecond on them."""

_log = logging.getLogger(__name__)


def send_people(ledger: Ledger, requests: Sequence[tuple[str, int]]) -> None:
    """Have accepted requests of people begun: put them on the account's list, and send its message if it has none.

    A failure is logged, and never raised: the sweep sends a message again for what is on the list, and for what is not.
    """
    try:
        length, _ = ledger.run_all(*putting_on_list(ledger, requests))
    except LedgerUnavailable as error:
        log_unlisted(len(requests), error)
        return
    if length == len(requests) and ledger.keys.account:
        send_message(people_message(ledger.keys.account))


def putting_on_list(ledger: Ledger, requests: Sequence[tuple[str, int]]) -> list[tuple[Any, ...]]:
    """Return the commands that put requests on the account's list; the first one's answer is how long it is then.

    Twice they do no harm: what is in hand already keeps its place.
    """
    return [
        ("lpush", ledger.keys.people, *(f"{number}/{request}" for number, request in requests)),
        ("pexpire", ledger.keys.people, ms(ledger.durations.interactive)),
    ]


def log_unlisted(count: int, error: LedgerUnavailable) -> None:
    """Log that accepted requests are not on the account's list."""
    _log.warning("accepted %d numbers, but no worker knows it yet; the sweep sends a message: %s", count, error)


def take_people(ledger: Ledger) -> list[tuple[str, int]]:
    """Take requests off the account's list, and send its message again if there are more. Raises `LedgerUnavailable`.

    A worker that dies with them loses none: they are queued in the ledger, and the sweep finds them.
    """
    taken = ledger.run("rpop", ledger.keys.people, AT_ONCE) or []
    if len(taken) == AT_ONCE and ledger.keys.account:
        send_message(people_message(ledger.keys.account))
    pairs = (one.partition("/") for one in taken)
    return [(number, int(request)) for number, _, request in pairs if request.isdigit()]


def is_anybody_waiting(ledger: Ledger) -> bool:
    """Whether requests are on the account's list. Its message may be lost. Raises `LedgerUnavailable`."""
    return bool(ledger.run("exists", ledger.keys.people))

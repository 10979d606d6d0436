"""Messages that only a newer version can perform: a worker that takes one sets it aside.

It would take the message again at once if it went back into its queue. So it waits in a list, and the sweep puts it
back after some seconds: until a worker of the newer version takes it.
"""

from datetime import timedelta
from typing import Final

from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import QUEUES, claim_tick

EVERY: Final = timedelta(seconds=5)
"""How often they are put back. A code that a user entered waits for a minute."""

AT_ONCE: Final = 500


def set_aside(ledger: Ledger, queue: str, message: str) -> None:
    """Set a message aside that was taken off a queue. Raises `LedgerUnavailable`: then it is still to be done."""
    ledger.run("lpush", ledger.keys.newer_messages, f"{queue}\n{message}")


def put_back(ledger: Ledger) -> int:
    """Put messages back into their queues, if that is due; return how many. Raises `LedgerUnavailable`."""
    if not ledger.run("exists", ledger.keys.newer_messages) or not claim_tick(ledger, "newer_messages", EVERY):
        return 0
    return int(ledger.run_script("messages/put_back", [ledger.keys.newer_messages, *QUEUES], [AT_ONCE]))

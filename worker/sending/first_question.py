"""The first question: at its start a worker asks Plivo for one entry of its list, and logs what it sees."""

import logging
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from celery import bootsteps

from ringproof import runtime
from ringproof.errors import (
    Forbidden,
    LeaseOver,
    LedgerUnavailable,
    Rejected,
    RingproofError,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
)
from worker.sending.queries import ask_at_slot

SLOT: Final = timedelta(seconds=6)
"""How far away its slot may be: people book five seconds ahead."""

REMEDIES: Final[Mapping[type[RingproofError], str]] = {
    Unauthorized: "check PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN",
    Forbidden: "look at the account in Plivo's console",
    Rejected: "check the path in PLIVO_BASE_URL",
    Unreachable: "check the network and PLIVO_BASE_URL; in a company's network, PLIVO_PROXY and PLIVO_CA_BUNDLE, too",
}
"""What to do about an answer of Plivo's; about any other one, look at the way to Plivo."""

_log = logging.getLogger(__name__)


class FirstQuestion(bootsteps.StartStopStep):
    """Asks Plivo in a thread of its own: nothing waits for the answer."""

    requires = ("worker.celery.readiness:Readiness",)

    def start(self, _parent: Any) -> None:
        """Begin the thread."""
        threading.Thread(target=ask_first, name="first question", daemon=True).start()


def ask_first() -> None:
    """Ask Plivo for one entry of its list, and log that it answered. If it refuses, the error says what to check.

    As any answer does, a 401 has this worker leave its work to others, and a good answer ends that. Nothing is
    logged about the question if it gets no slot in time, if Plivo answers 429, or if Redis is away: none of these is
    a wrong setting.
    """
    try:
        ask_at_slot(runtime.ledger(), runtime.plivo().probe, within=SLOT)
    except (LeaseOver, Throttled, LedgerUnavailable):
        return
    except RingproofError as error:
        remedy = REMEDIES.get(type(error), "check PLIVO_BASE_URL, and the network")
        level = logging.WARNING if isinstance(error, Unreachable | Unknown) else logging.ERROR
        _log.log(level, "at the start Plivo answered: %s; %s", getattr(error, "detail", error.message), remedy)
    else:
        _log.info("at the start Plivo answered, and accepts the credentials")

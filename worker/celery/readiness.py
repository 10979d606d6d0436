"""The checks that a worker makes when it starts: of Redis before it takes a message, and of Plivo beside its work."""

import logging
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final

from celery import bootsteps

from ringproof import runtime
from ringproof.clock import boot_clock
from ringproof.errors import (
    Forbidden,
    LedgerUnavailable,
    Misconfigured,
    Rejected,
    RingproofError,
    Throttled,
    Unauthorized,
)
from ringproof.ledger.health import examine
from ringproof.ledger.pace import reserve_slot
from worker.celery import shutdown

TESTED: Final = {"celery": "5.6.3", "kombu": "5.6.2"}
"""The versions that Ringproof is tested with. A worker logs at its start if it finds others."""


SLOT: Final = timedelta(seconds=6)
"""How far away the slot may be at which a worker asks Plivo at its start: people book five seconds ahead."""

_log = logging.getLogger(__name__)


class Readiness(bootsteps.StartStopStep):
    """Ends the worker with a message if it cannot work, and otherwise publishes its policy for the scripts."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        # Mingle looks for other workers for a second after each lost connection. If one were lost each second, no
        # message would ever be taken. Ringproof does not use what workers exchange there (revoked ids and a clock).
        parent.options.update(without_mingle=True, without_gossip=True)
        try:
            shutdown.share_flag()
            runtime.plivo().close()
            runtime.ledger().publish_policy(runtime.settings().policy)
            complaints = examine(runtime.ledger())
        except (Misconfigured, LedgerUnavailable) as error:
            sys.exit(f"ringproof: {error}")
        for complaint in complaints:
            if complaint.fatal:
                sys.exit(f"ringproof: {complaint.text}")
            _log.warning("%s", complaint.text)
        for package, tested in TESTED.items():
            if version(package) != tested:
                _log.warning(
                    "%s %s is untested; Ringproof is tested with %s",
                    package,
                    version(package),
                    tested,
                )

    def start(self, _parent: Any) -> None:
        """Ask Plivo for one entry of its list, and log what it answers. Nothing waits for that."""
        threading.Thread(target=look_at_plivo, name="look at Plivo", daemon=True).start()


REMEDIES: Final[Mapping[type[RingproofError], str]] = {
    Unauthorized: "check PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN",
    Forbidden: "look at the account in Plivo's console",
    Rejected: "check the path in PLIVO_BASE_URL",
}
"""What to do about an answer of Plivo's; about any other one, look at the way to Plivo."""


def look_at_plivo() -> None:
    """Ask Plivo for one entry of its list at a slot of the pace, and log a warning if it does not answer with that.

    The answer changes nothing else: the first send shows the same, and pauses what has to pause.
    """
    try:
        time.sleep(max(0.0, reserve_slot(runtime.ledger(), within=SLOT) - boot_clock()))
        runtime.plivo().probe()
    except (Throttled, LedgerUnavailable):
        return
    except RingproofError as error:
        remedy = REMEDIES.get(type(error), "check PLIVO_BASE_URL, and the network")
        _log.warning("at the start Plivo answered: %s; %s", getattr(error, "detail", error.message), remedy)
    else:
        _log.info("at the start Plivo answered, and accepts the credentials")

"""What a worker checks at its start, before it takes a message."""

import logging
import sys
from importlib.metadata import version
from typing import Any, Final

from celery import bootsteps

from ringproof import runtime
from ringproof.errors import LedgerUnavailable, Misconfigured
from ringproof.ledger.health import examine
from worker.celery import shutdown

TESTED: Final = {"celery": "5.6.3", "kombu": "5.6.2"}
"""What Ringproof was measured with; another version is named at start."""


_log = logging.getLogger(__name__)


class Readiness(bootsteps.StartStopStep):
    """Says at a worker's start what is missing, before it takes a message, and tells the scripts their policy."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        # A second of looking for other workers after each lost connection: were one lost each second, no message
        # would ever be taken. What workers tell one another there, revoked ids and a clock, is not used.
        parent.options.update(without_mingle=True, without_gossip=True)
        try:
            shutdown.share_flag()
            runtime.plivo().close()
            runtime.ledger().publish_policy(runtime.settings().policy)
            found = examine(runtime.ledger())
        except (Misconfigured, LedgerUnavailable) as error:
            sys.exit(f"ringproof: {error}")
        for complaint in found:
            if complaint.fatal:
                sys.exit(f"ringproof: {complaint.text}")
            _log.warning("%s", complaint.text)
        for package, tested in TESTED.items():
            if version(package) != tested:
                _log.warning(
                    "%s %s is untested; %s is what Ringproof was measured with",
                    package,
                    version(package),
                    tested,
                )

"""The check of settings and Redis that a worker makes at its start, before it takes a message."""

import logging
import socket
import sys
from collections.abc import Collection
from importlib.metadata import version
from typing import Any, Final

from celery import bootsteps

from ringproof import runtime
from ringproof.errors import LedgerUnavailable, Misconfigured
from ringproof.ledger import attention, audit
from ringproof.ledger.health import examine
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.policy import changes
from ringproof.phone.country_list import PLIVO_SERVES
from worker.celery import shutdown
from worker.celery.consumers import leave_queues, want_events
from worker.celery.identity import name_worker
from worker.celery.pool_children import end_children_soon
from worker.celery.pool_errors import send_errors_in_one_piece
from worker.celery.pool_files import prepare_pool_files

TESTED: Final = {"celery": "5.6.3", "kombu": "5.6.2"}
"""The versions that Ringproof is tested with. A worker logs at its start if it finds others."""

CONNECTIONS: Final = 4
"""Connections of a process's ledger where Redis is near: one begins the numbers in hand, one writes results, and two
are for all else."""

SCRIPTS_OF_A_SEND: Final = ("number/begin", "pace/replace_slots", "number/settle")
"""Their texts are put together before the fork. Each child would take 0.1 s for them, in the middle of its first sends.
"""

_log = logging.getLogger(__name__)


class Readiness(bootsteps.StartStopStep):
    """Ends the worker with a message if it cannot work, and otherwise publishes its policy for the scripts."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        # Mingle looks for other workers for a second after each lost connection. If one were lost each second, no
        # message would ever be taken. Ringproof does not use what workers exchange there (revoked ids and a clock).
        parent.options.update(without_mingle=True, without_gossip=True)
        name_worker(parent.hostname)
        try:
            shutdown.share_stop()
            prepare_pool_files(parent.pool_cls)
            send_errors_in_one_piece()
            end_children_soon()
            runtime.asks_plivo = True
            current = runtime.settings(worker=True)
            runtime.few_connections = CONNECTIONS
            runtime.plivo().close()
            ledger = runtime.ledger()
            ledger.check_rights()
            make_scripts(ledger)
            changed = changes(ledger, current.policy)
            for change in changed:
                audit.note(ledger, f"worker@{socket.gethostname()}", "policy", change)
            ledger.publish_policy(current.policy)
            complaints = examine(ledger)
            attention.note_all(ledger, list(runtime.accounts()))
            leave_queues(parent.app, current)
            want_events(current)
        except (Misconfigured, LedgerUnavailable) as error:
            sys.exit(f"ringproof: {error}")
        if changed:
            _log.warning(
                "this worker changes the policy that another one has published: %s; give all workers the same values",
                ", ".join(changed),
            )
        say_what_is_strange()
        say_where_plivo_serves(current.countries)
        if current.proxy:
            _log.info("Plivo is asked through the proxy %s", current.proxy)
        if current.plivo_ca_bundle:
            _log.info("Plivo's certificate is checked with %s", current.plivo_ca_bundle)
        for complaint in complaints:
            if complaint.fatal:
                sys.exit(f"ringproof: {complaint.text}")
            _log.warning("%s", complaint.text)


def make_scripts(ledger: Ledger) -> None:
    """Put the texts of the scripts together that each send needs."""
    for name in SCRIPTS_OF_A_SEND:
        ledger.script(name)


def say_what_is_strange() -> None:
    """Log each variable that is no setting, and each library that Ringproof is not tested with."""
    for sentence in runtime.unknown_variables():
        _log.warning("%s", sentence)
    for package, tested in TESTED.items():
        if version(package) != tested:
            _log.warning("%s %s is untested; Ringproof is tested with %s", package, version(package), tested)


def say_where_plivo_serves(countries: Collection[str]) -> None:
    """Log what Plivo says of other countries than the United States, if these may get codes."""
    if not countries:
        _log.warning("RINGPROOF_COUNTRIES is empty, so numbers of all countries get codes. %s", PLIVO_SERVES)
    elif set(countries) != {"US"}:
        _log.info("%s", PLIVO_SERVES)

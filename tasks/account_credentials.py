"""`ringproof.check_credentials`: whether Plivo knows the credentials of an account again, which it has refused (401).

Those of the installation's own account are watched by each worker (`worker.sending.credentials`), which leaves the
queues while they are refused. For an account no worker leaves them: its own ledger pauses it.
"""

import logging
from datetime import timedelta
from typing import Any, Final

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.ledger.heartbeats import beat_of_account
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.plivo_credentials import unknown_credentials
from ringproof.ledger.queues import LANES, LONGEST_QUEUE, claim_tick, queue, queue_length
from ringproof.ledger.record import Lane
from worker.celery.identity import worker_name
from worker.sending.accounts import work_of
from worker.sending.credentials import check_once

QUEUE: Final = queue(Lane.INTERACTIVE)
EVERY: Final = timedelta(seconds=5)
"""How often a worker looks at refused credentials: as often as at the installation's own."""

_log = logging.getLogger(__name__)


def enqueue_check(ledger: Ledger) -> None:
    """Send a message if Plivo refuses credentials of this account, and none was sent for some seconds."""
    if (
        unknown_credentials(ledger.run("hgetall", ledger.keys.pauses))
        and queue_length(runtime.ledger(), QUEUE) < LONGEST_QUEUE
        and claim_tick(ledger, "credentials", EVERY)
    ):
        app.send_task(check_credentials.name, (), {"account": ledger.keys.account}, queue=QUEUE, ignore_result=True)


@app.task(name="ringproof.check_credentials", shared=False, ignore_result=True, send_events=False)
def check_credentials(account: Any = None) -> None:
    """Judge the credentials that this worker has for an account, and ask Plivo about them when that is due.

    Workers may have different tokens while one is rotated. So each one that looks leaves a heartbeat in the account's
    ledger: as long as one is alive whose token Plivo may know, the account is not paused.
    """
    with work_of(account):
        ledger = runtime.ledger(account)
        beat_of_account(ledger, worker_name(), LANES)
        standing = check_once(ledger, runtime.plivo(account), sends=True)
        if standing.unknown_since is None:
            _log.info("the credentials of account %s are known to Plivo", account)

"""`ringproof.visit_accounts`: what the sweep and the feeder do for the installation's own account, for all others.

Only accounts are visited that are due (`ringproof.ledger.attention`). Each visit has a thread for itself, so that the
Redis of one account keeps no other one waiting, and any number of workers share the visits.
"""

import logging
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from functools import lru_cache
from typing import Final

from ringproof import errors, runtime
from ringproof.batches.feeding import is_anything_to_feed
from ringproof.celery.app import app
from ringproof.celery.messages import people_message, send_message
from ringproof.celery.people import is_anybody_waiting
from ringproof.events import outbox
from ringproof.ledger import attention
from ringproof.ledger.agenda import next_due, release_refused, repair_agenda
from ringproof.ledger.attention import Claim
from ringproof.ledger.last_minute import note_minute
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.policy import changes, quiet_hours
from ringproof.ledger.queues import claim_tick
from tasks.account_credentials import enqueue_check
from tasks.events import enqueue_deliveries
from tasks.feeder import feed_once
from tasks.plivo_list import enqueue_list_scans
from tasks.reverification import enqueue_reverifications
from tasks.sweep import PORTION, REPAIR_EVERY, sweep_once
from worker.celery import shutdown
from worker.celery.beat import VISIT
from worker.celery.outcome_log import of_account
from worker.sending.accounts import say_missing
from worker.sending.events import want_events

VISITORS: Final = 8
"""Visits of one process at once. Most of a visit is waiting for Redis."""

VISITORS_OF_ONE: Final = 4
"""The same of accounts with one Redis that is not the installation's own: it may be away."""

SECONDS: Final = 0.8
"""How long one tick visits accounts. The next one comes a second later."""

SOON: Final = timedelta(seconds=1)
"""When an account is visited again that has a batch to feed, a pause, or people in line."""

PEOPLE_EVERY: Final = timedelta(seconds=3)
"""How often an account's people have a message sent again."""

MISSING: Final = timedelta(minutes=1)
"""When it is looked again whether a missing account is back."""

MOST_SWEEPS: Final = 4
"""Portions of the agenda in one visit: the others have theirs in between."""

TRY_AGAIN: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between two tries to reach a Redis that is away. Meanwhile its accounts are not visited."""

_log = logging.getLogger(__name__)


class Away:
    """Which Redis servers do not answer at the moment, so that their accounts cost the others no time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def rest(self, url: str) -> float:
        """Return for how many seconds nobody should ask this Redis; 0.0: ask it now, for all others."""
        with self._lock:
            left = self._until.get(url, 0.0) - time.monotonic()
            if left <= 0 and url in self._failures:
                self._until[url] = time.monotonic() + TRY_AGAIN[0]  # one asks, and the others wait for its answer
            return max(left, 0.0)

    def note(self, url: str, *, is_away: bool) -> bool:
        """Note whether a Redis has answered; return whether that is new."""
        with self._lock:
            before = self._failures.pop(url, 0)
            self._until.pop(url, None)
            if is_away:
                self._failures[url] = before + 1
                self._until[url] = time.monotonic() + TRY_AGAIN[min(before, len(TRY_AGAIN) - 1)]
            return is_away != bool(before)


class Visits:
    """The visits of one process. Those that a tick does not wait for go on in their threads."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(VISITORS, thread_name_prefix="visit")
        self._under_way: dict[Future[None], str] = {}
        self._away = Away()
        self._policies: dict[str, object] = {}

    def make(self, seconds: float = SECONDS) -> int:
        """Visit the accounts that are due, for so long at most; return how many visits have begun."""
        until, begun = time.monotonic() + seconds, 0
        while (left := until - time.monotonic()) > 0 and not shutdown.is_stopping():
            self._under_way = {one: url for one, url in self._under_way.items() if not one.done()}
            room = VISITORS - len(self._under_way)
            claimed = attention.claim(runtime.ledger(), room) if room else []
            if room and not claimed:
                break
            for claim in claimed:
                begun += self._begin(claim)
            if self._under_way:
                wait(self._under_way, timeout=left, return_when=FIRST_COMPLETED)
        wait(self._under_way, timeout=max(until - time.monotonic(), 0.0))
        return begun

    def _begin(self, claim: Claim) -> bool:
        """Begin a visit, or put it off; return whether it has begun."""
        try:
            url = runtime.redis_url(claim.account).get_secret_value()
        except errors.UnknownAccount as error:
            say_missing(error)
            attention.release(runtime.ledger(), claim, MISSING)
            return False
        is_own = url == runtime.redis_url().get_secret_value()
        rest = self._away.rest(url)
        if not rest and not is_own and list(self._under_way.values()).count(url) >= VISITORS_OF_ONE:
            rest = SOON.total_seconds()
        if rest:
            attention.release(runtime.ledger(), claim, timedelta(seconds=rest))
            return False
        self._under_way[self._pool.submit(self._visit, claim, url)] = url
        return True

    def _visit(self, claim: Claim, url: str) -> None:
        after: timedelta | None = SOON
        with of_account(claim.account):
            try:
                ledger = runtime.ledger(claim.account)
                self._publish_policy(claim.account, ledger)
                after = visit(ledger)
                if self._away.note(url, is_away=False):
                    _log.info("the Redis of account %s answers again", claim.account)
            except errors.LedgerUnavailable as error:
                if not error.is_refusal and self._away.note(url, is_away=True):
                    _log.warning("account %s and all others there wait for their Redis: %s", claim.account, error)
            except errors.UnknownAccount as error:
                say_missing(error)
                after = MISSING
            except Exception:  # noqa: BLE001  # a thread would end with it, and nobody would learn of it
                _log.exception("an error of Ringproof's own in the visit of account %s", claim.account)
            try:
                attention.release(runtime.ledger(), claim, after)
            except errors.LedgerUnavailable:  # the claim ends by itself
                return

    def _publish_policy(self, account: str, ledger: Ledger) -> None:
        """Publish the account's policy if its file has another one than this process has published."""
        policy = runtime.account(account).policy
        if self._policies.get(account) != policy:
            if changed := changes(ledger, policy):
                _log.warning("account %s has another policy: %s", account, ", ".join(changed))
            ledger.publish_policy(policy)
            self._policies[account] = policy
        elif not ledger.run("exists", ledger.keys.policy):
            ledger.publish_policy(policy)


def visit(ledger: Ledger) -> timedelta | None:
    """Do for an account what is due; return after what time it needs the next visit (None: once somebody notes it)."""
    want_events(ledger)
    is_closed = ledger.generation.compare()  # its Redis has gone back in time, and nothing may be fed
    release_refused(ledger, PORTION)
    for _ in range(MOST_SWEEPS):
        if not sweep_once(ledger).total():
            break
    if is_anybody_waiting(ledger) and claim_tick(ledger, "people", PEOPLE_EVERY) and ledger.keys.account:
        send_message(people_message(ledger.keys.account))  # the message may be lost
    repair_agenda(ledger, PORTION, every=REPAIR_EVERY)
    note_minute(ledger)
    enqueue_check(ledger)
    enqueue_list_scans(ledger)
    enqueue_deliveries(ledger)
    enqueue_reverifications(ledger)
    if is_closed:
        return SOON
    if is_anything_to_feed(ledger):
        feed_once(ledger, quiet_hours(ledger))
        return SOON
    return min(filter(None, (next_due(ledger), outbox.next_delivery(ledger))), default=None)


@lru_cache(maxsize=1)
def _visits() -> Visits:
    return Visits()


@app.task(name=VISIT, shared=False, ignore_result=True, send_events=False)  # as the sweep
def visit_accounts() -> None:
    """Visit the accounts that are due, as long as a tick lasts."""
    _visits().make()

"""`ringproof.reconcile`: scans Plivo's list of verified numbers.

After a code has died it reads the newest numbers, to find users who confirmed elsewhere. For `ringproof sync` it reads
all of them.
"""

import logging
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.clock import boot_clock, moment
from ringproof.errors import InvalidRequest, RingproofError, Unauthorized
from ringproof.ledger import plivo_list
from ringproof.ledger.confirmation import Marked, Source, last_change, mark_verified
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.plivo_credentials import leaves_work
from ringproof.ledger.plivo_list import ListScan, ScanPage
from ringproof.ledger.queues import LONGEST_QUEUE, claim_tick, queue, queue_length
from ringproof.ledger.record import Lane, State
from ringproof.phone.masking import mask, mask_value
from worker.celery import shutdown
from worker.celery.outcome_log import Event, about
from worker.sending.accounts import work_of
from worker.sending.queries import ask_from_slot
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringproof.plivo.client import Page, PlivoClient, VerifiedNumber

QUEUE: Final = queue(Lane.INTERACTIVE)
"""The queue of the scans' messages: its workers always run. In the queue of the ticks a scan would block the sweep."""

EVERY: Final = timedelta(seconds=5)
SECONDS: Final = 4.0
"""How often a scan gets a message, and how long one message scans. Then its thread is free for other work."""

LAG: Final = timedelta(seconds=5)
"""How late a number may appear in Plivo's list. So a scan reads this far beyond the newest date of the last scan."""

SOURCES: Final = {ListScan.RECONCILE: Source.CODE, ListScan.SYNC: Source.LIST}

SKIPPED: Final = "skipped"
"""Counts the entries of the list without a number or a uuid."""

_log = logging.getLogger(__name__)


def scan_list(
    ledger: Ledger, client: "PlivoClient", seconds: float = SECONDS, kind: ListScan = ListScan.RECONCILE
) -> Counter[str]:
    """Go on with a scan of Plivo's list for some seconds, one page at each turn; count what became of its numbers.

        Counter({Marked.VERIFIED: 2, Marked.ALREADY: 17, SKIPPED: 1})

    Raises the client's errors.
    """
    until = boot_clock() + seconds
    counts: Counter[str] = Counter()
    while (turn := plivo_list.take_page(ledger, kind)).at is not None:
        if turn.page:
            ask = partial(client.list, offset=turn.page.offset)
            page = ask_from_slot(ledger, turn.at, ask, ends=turn.at + seconds)
            marks = until_ledger_answers(partial(mark_verified, ledger, page.objects, source=SOURCES[kind]))
            _log_verified([one for one, marked in zip(page.objects, marks, strict=True) if marked is Marked.VERIFIED])
            of_page = Counter(map(str, marks)) + Counter({SKIPPED: page.skipped})
            counts.update(of_page)
            _save_page(ledger, turn.page, page, of_page)
        elif turn.at > until or not shutdown.sleep_unless_stopping(turn.at - boot_clock()):
            break
    return counts


def _log_verified(caller_ids: "Sequence[VerifiedNumber]") -> None:
    for caller_id in caller_ids:
        number = caller_id.phone_number
        extra = about(Event.LIST, number, state=State.VERIFIED)
        _log.info("verified %s, which Plivo's list shows", mask(number), extra=extra)


def _save_page(ledger: Ledger, turn: ScanPage, page: "Page", counts: Counter[str]) -> None:
    """Store where the next page begins. The scan ends at a page that has numbers of the last scan."""
    began = moment(turn.began)
    dates = [date for date in map(last_change, page.objects) if date]
    following = page.next
    if turn.total is not None and page.total is not None and page.total < turn.total:
        # Numbers were deleted meanwhile, so later ones have moved up, perhaps past the place where this page began.
        following = max(0, turn.offset - (turn.total - page.total))
    elif dates and min(dates) < turn.mark - LAG:
        following = None
    # A date later than the scan is of a wrong clock, here or at Plivo. The next scan must not end at it.
    newest = max((date for date in dates if date <= began), default=None)
    until_ledger_answers(lambda: plivo_list.page_done(ledger, turn, following, newest, page.total, counts))


@app.task(  # it comes every five seconds while a scan is under way: no events, as for the sweep
    name="ringproof.reconcile", shared=False, ignore_result=True, throws=(InvalidRequest,), send_events=False
)
def reconcile(kind: str = ListScan.RECONCILE, account: Any = None) -> None:
    """Go on with a scan of Plivo's list. If Plivo does not answer, the next message reads the same page."""
    if kind not in set(ListScan):
        raise InvalidRequest("kind", mask_value(kind), "only Ringproof sends it: " + ", ".join(ListScan))
    with work_of(account):
        _go_on(runtime.ledger(account), runtime.plivo(account), ListScan(kind))


def _go_on(ledger: Ledger, client: "PlivoClient", kind: ListScan) -> None:
    try:
        counts = scan_list(ledger, client, kind=kind)
    except RingproofError as error:
        _log.warning("Plivo's list was not read: %s", error)
        if isinstance(error, Unauthorized) and until_ledger_answers(lambda: leaves_work(ledger)):
            return  # another worker reads the page with the next message
        plivo_list.page_failed(ledger, kind, error.message)
        return
    if counts[Marked.RECORDED]:
        _log.info("verified at Plivo, and unknown here until now: %d", counts[Marked.RECORDED])


def start_list_scan(ledger: Ledger, kind: ListScan) -> None:
    """Start a scan of Plivo's list at once, or go on with the one that is under way."""
    plivo_list.request_scan(ledger, kind)
    if claim_tick(ledger, kind, EVERY):
        _send(ledger, kind)


def _send(ledger: Ledger, kind: ListScan) -> None:
    of = {} if ledger.keys.account is None else {"account": ledger.keys.account}
    app.send_task(reconcile.name, (kind,), of, queue=QUEUE, ignore_result=True)


def enqueue_list_scans(ledger: Ledger) -> None:
    """Send a message for each scan that is requested and has had none for some seconds."""
    for kind in ListScan:
        if (
            plivo_list.is_scan_requested(ledger, kind)
            and queue_length(runtime.ledger(), QUEUE) < LONGEST_QUEUE
            and claim_tick(ledger, kind, EVERY)
        ):
            _send(ledger, kind)

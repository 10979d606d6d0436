"""`ringproof.reconcile`: Plivo's list is read, for who confirmed elsewhere, or whole (`ringproof sync`)."""

import logging
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.errors import InvalidRequest, RingproofError
from ringproof.ledger import plivo_list
from ringproof.ledger.confirmation import Marked, Source, last_change, mark_verified
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.plivo_list import ListScan, ScanPage
from ringproof.ledger.queues import LONGEST_QUEUE, claim_tick, queue, queue_length
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask_value
from worker.celery import shutdown
from worker.sending.queries import ask_and_report
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.plivo.client import Page, PlivoClient

QUEUE: Final = queue(Lane.INTERACTIVE)
"""Who is always there: a list that does not answer must not hold up the sweep, whose worker has one child."""

EVERY: Final = timedelta(seconds=5)
SECONDS: Final = 4.0
"""How often a look goes on, and for how long: then its child is free again, and it is gone on with."""

LAG: Final = timedelta(seconds=5)
"""How late a number may appear in Plivo's list: a look ends as much before what the last one has seen."""

SOURCES: Final = {ListScan.RECONCILE: Source.CODE, ListScan.SYNC: Source.LIST}

SKIPPED: Final = "skipped"
"""What is listed without a number or a uuid."""

_log = logging.getLogger(__name__)


def look_on(
    ledger: Ledger, client: "PlivoClient", seconds: float = SECONDS, look: ListScan = ListScan.RECONCILE
) -> Counter[str]:
    """Go on with a look for so long, a page at each turn; return what became of the numbers on them."""
    until = time.monotonic() + seconds
    found: Counter[str] = Counter()
    while (turn := plivo_list.take_page(ledger, look)).wait is not None:
        if turn.page is None and time.monotonic() + turn.wait > until:
            break
        if not shutdown.sleep_unless_stopping(turn.wait):
            break
        if turn.page:
            page = ask_and_report(ledger, partial(client.list, offset=turn.page.offset))
            told = until_ledger_answers(partial(mark_verified, ledger, page.objects, source=SOURCES[look]))
            of_page = Counter(map(str, told)) + Counter({SKIPPED: page.skipped})
            found.update(of_page)
            _go_on(ledger, turn.page, page, of_page)
    return found


def _go_on(ledger: Ledger, turn: ScanPage, page: "Page", found: Counter[str]) -> None:
    """Tell where the next page begins; none does once there is something on this one that was seen before."""
    dates = [date for date in map(last_change, page.objects) if date]
    following = page.next
    if turn.total is not None and page.total is not None and page.total < turn.total:
        # Some were deleted meanwhile, so that those behind them have moved up: perhaps off this page.
        following = max(0, turn.offset - (turn.total - page.total))
    elif dates and min(dates) < turn.mark - LAG:
        following = None
    until_ledger_answers(
        lambda: plivo_list.page_done(ledger, turn, following, max(dates, default=None), page.total, found)
    )


@app.task(name="ringproof.reconcile", shared=False, ignore_result=True, throws=(InvalidRequest,))
def reconcile(look: str = ListScan.RECONCILE) -> None:
    """Go on with the look. If Plivo does not answer, the same page is anybody's turn again."""
    if look not in set(ListScan):
        raise InvalidRequest("look", mask_value(look), "it is Ringproof's own: " + ", ".join(ListScan))
    ledger = runtime.ledger()
    try:
        found = look_on(ledger, runtime.plivo(), look=ListScan(look))
    except RingproofError as error:
        _log.info("Plivo's list was not read: %s", error)
        plivo_list.page_failed(ledger, ListScan(look), str(error))
        return
    if found[Marked.VERIFIED]:
        _log.info("confirmed elsewhere: %d", found[Marked.VERIFIED])
    if found[Marked.RECORDED]:
        _log.info("verified at Plivo, and unknown here until now: %d", found[Marked.RECORDED])


def request_scan_of_list(ledger: Ledger, look: ListScan) -> None:
    """Have a look begun now, for whoever waits for it; or gone on with, if it is under way."""
    plivo_list.request_scan(ledger, look)
    if claim_tick(ledger, look, EVERY):
        app.send_task(reconcile.name, (look,), queue=QUEUE, ignore_result=True)


def enqueue_list_scan(ledger: Ledger) -> None:
    """Have each look gone on with that is wanted and was not told to just now."""
    for look in ListScan:
        if (
            plivo_list.is_scan_requested(ledger, look)
            and queue_length(ledger, QUEUE) < LONGEST_QUEUE
            and claim_tick(ledger, look, EVERY)
        ):
            app.send_task(reconcile.name, (look,), queue=QUEUE, ignore_result=True)

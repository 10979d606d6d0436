"""The feeder: it hands rows of the batches to the ledger, three seconds of pace ahead of the sending."""

import logging
import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ringproof import runtime
from ringproof.batches import feeding
from ringproof.batches.feeding import FeedingBatch
from ringproof.batches.model import BatchState, StoredRow
from ringproof.celery.app import app
from ringproof.celery.messages import send_chunk
from ringproof.errors import LedgerDamaged
from ringproof.ledger.control import SendingStatus, sending_status
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.policy import quiet_hours
from ringproof.ledger.queues import claim_tick
from ringproof.ledger.record import Lane
from ringproof.ledger.row_outcomes import LISTS
from ringproof.phone.quiet_hours import QuietHours
from ringproof.policy import Rate
from worker.celery.beat import FEED
from worker.celery.tick_notes import TickNotes

AHEAD_SECONDS: Final = 3.0
"""How many seconds of the pace the feeder is ahead of the sending: for one tick, for one that comes late, and for what
a lost host has in hand. The others go on at the full pace until the sweep sends its messages again.
"""

FEWEST_ROWS: Final = 5
MOST_ROWS: Final = 100
MESSAGE_SECONDS: Final = 0.5
"""Numbers in one message, and how much of the pace they are: so that each host gets its share of each second."""

MOST_ROWS_AHEAD: Final = 4000
"""Rows ahead at a very high pace: more than the workers of one machine can send in three seconds."""

TICK: Final = timedelta(milliseconds=800)

FEED_SECONDS: Final = 1.5
"""How long one tick feeds: where Redis is far away, a page takes most of a second."""

DAMAGED: Final = "batch %s waits until the record of one of its next numbers is repaired or erased: %s"

_log = logging.getLogger(__name__)
_notes = TickNotes("feed")


@dataclass(slots=True)
class Fed:
    """What one tick did: the rows it fed, the messages it sent, the numbers it notified of a resume or a cancel."""

    rows: int = 0
    messages: int = 0
    notified: int = 0

    @property
    def text(self) -> str:
        """What it did, for an operator: `200 rows fed, 3 numbers notified`; empty if nothing."""
        did = {"rows fed": self.rows, "numbers notified": self.notified}
        return ", ".join(f"{count} {what}" for what, count in did.items() if count)


@app.task(name=FEED, shared=False, ignore_result=True, send_events=False)  # as the sweep
def feed() -> None:
    """Feed the batches, unless another worker has taken this tick."""
    ledger = runtime.ledger()
    if ledger.generation.compare() or not claim_tick(ledger, "feed", TICK):
        return  # a Redis that has gone back may not know which rows were fed
    began = time.monotonic()
    fed = feed_once(ledger, quiet_hours(ledger))
    _notes.write(ledger, began, fed.text)
    if fed.rows or fed.notified:
        _log.debug("fed %d rows in %d messages; notified %d numbers", fed.rows, fed.messages, fed.notified)


def feed_once(ledger: Ledger, quiet: QuietHours | None = None) -> Fed:
    """Notify numbers of resumed and cancelled batches, feed the running ones, and log those that were completed."""
    ends = time.monotonic() + FEED_SECONDS
    batches = feeding.batches_to_feed(ledger)
    fed = Fed(notified=sum(_notify(ledger, batch) for batch in batches if batch.notify_from))
    running = [batch for batch in batches if batch.state is BatchState.RUNNING]
    if any(batch.left[channel] for batch in running for channel in LISTS):
        status = sending_status(ledger)
        for channel in LISTS:
            rate = Rate.parse(status.rate if channel == "sms" else status.call_rate)
            room, fewest = _room_ahead(status, rate, batches, channel)
            in_message = min(max(math.ceil(MESSAGE_SECONDS * 1e6 / rate.spacing_us), FEWEST_ROWS), MOST_ROWS)
            turn = _Turn(ledger, channel, running, room, fewest, in_message, ends, quiet, status.now, fed)
            turn.feed()
    for name in feeding.newly_completed(ledger):
        _log.info("batch %s is completed", name)
    return fed


def _notify(ledger: Ledger, batch: FeedingBatch) -> int:
    try:
        return feeding.notify_rows(ledger, batch)
    except LedgerDamaged as error:
        _log.error(DAMAGED, batch.name, error)
        return 0


def _room_ahead(status: SendingStatus, rate: Rate, batches: list[FeedingBatch], channel: str) -> tuple[int, int]:
    """Return how many rows may be fed now, and how many are the fewest for a page.

    While Plivo's answers pause all sending, a worker sends to a number now and then, as a probe. A few rows are fed for
    that.
    """
    pauses = [pause for pause in status.pauses if pause.lane in {None, Lane.BULK}]
    if any(not pause.sends_probes for pause in pauses):
        return 0, FEWEST_ROWS
    if pauses or status.closed_until:
        return FEWEST_ROWS - feeding.rows_ahead(batches, channel, with_paused=True), 1
    ahead = math.ceil(AHEAD_SECONDS * 1e6 / rate.spacing_us * status.share)
    room = min(max(ahead, FEWEST_ROWS), MOST_ROWS_AHEAD) - feeding.rows_ahead(batches, channel, with_paused=False)
    return room, FEWEST_ROWS


@dataclass(slots=True)
class _Turn:
    """The feeding of one channel in one tick: at most `room` rows, in pages of at least `fewest`, until `ends`.

    One page is fed even if it is late: if Redis is far away, the tick's own questions take as long as the tick.
    """

    ledger: Ledger
    channel: str
    batches: list[FeedingBatch]
    room: int
    fewest: int
    in_message: int
    ends: float
    quiet: QuietHours | None
    now: datetime
    fed: Fed

    def feed(self) -> None:
        """Give each batch its share, the one fed longest ago first; batches with more rows share what is left."""
        left = {batch.name: batch.left[self.channel] for batch in self.batches if batch.left[self.channel]}
        pages = 0
        while left and self.room > 0:
            share = min(MOST_ROWS, max(self.fewest, math.ceil(self.room / len(left))))
            for batch in [batch for batch in self.batches if batch.name in left]:
                most = min(share, self.room)
                if most < min(self.fewest, left[batch.name]) or (pages and time.monotonic() > self.ends):
                    return
                rows = self._feed_page(batch, most)
                pages += 1
                left[batch.name] -= rows
                if not rows or left[batch.name] <= 0:
                    del left[batch.name]

    def _feed_page(self, batch: FeedingBatch, most: int) -> int:
        """Feed the next rows of a batch, and send their messages; return how many rows there were.

        Numbers in quiet hours take no room: they wait, and are not sent at the pace now.
        """
        page = feeding.next_page(self.ledger, batch, self.channel, most)
        if not page.rows:
            return 0
        try:
            accepted = feeding.feed_page(self.ledger, batch, self.channel, page, self._quiet_until(page.rows))
        except LedgerDamaged as error:
            _log.error(DAMAGED, batch.name, error)
            return 0
        for start in range(0, len(accepted), self.in_message):
            some = accepted[start : start + self.in_message]
            requests = [(row.number, request) for row, request in some]
            send_chunk(requests, Lane.BULK, self.channel, self.ledger.keys.account)
            self.fed.messages += 1
        self.room -= len(accepted)
        self.fed.rows += len(page.rows)
        return len(page.rows)

    def _quiet_until(self, rows: tuple[StoredRow, ...]) -> dict[str, datetime]:
        """Return the numbers that are in their quiet hours now, each with the end of them."""
        if self.quiet is None:
            return {}
        ends = ((row.number, self.quiet.until(row.number, self.now)) for row in rows if row.number)
        return {number: end for number, end in ends if end}

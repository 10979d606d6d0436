"""The feeder: hands rows of batches to the ledger, two seconds of pace ahead, in turns, and sends messages."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ringproof import runtime
from ringproof.batches import feeding
from ringproof.batches.feeding import Fed
from ringproof.batches.model import BatchState, Packed
from ringproof.celery.app import app
from ringproof.celery.messages import send_chunk
from ringproof.ledger.control import SendingStatus, sending_status
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.ledger.row_outcomes import LISTS
from ringproof.phone.quiet_hours import QuietHours
from ringproof.policy import Rate
from worker.celery.beat import FEED

AHEAD_SECONDS: Final = 2.0
"""How much of the pace is with the ledger and not begun: a tick, and a late one."""

LEAST: Final = 5
MOST: Final = 100
"""Numbers in one message: fewer cost a message each, more would hold a child beyond its five seconds of booking."""

MOST_AHEAD: Final = 4000
"""Rows ahead at a pace that is out of reach: two seconds of what the workers of one machine can do, and more."""

TICK: Final = timedelta(milliseconds=800)
FEED_SECONDS: Final = 0.5
"""How long a tick feeds: the sweep's comes in between."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Done:
    """What a tick has done: rows handed to the ledger, messages sent, numbers told what a person said."""

    rows: int = 0
    messages: int = 0
    told: int = 0


@app.task(name=FEED, shared=False, ignore_result=True)
def feed() -> None:
    """Take the tick if nobody else has, and feed."""
    ledger = runtime.ledger()
    if not ledger.claim_tick("feed", TICK):
        return
    done = feed_once(ledger, runtime.settings().quiet_hours)
    if done.rows or done.told:
        _log.info("fed %d rows in %d messages; %d heard of a person's word", done.rows, done.messages, done.told)


def feed_once(ledger: Ledger, quiet: QuietHours | None = None) -> Done:
    """Feed each channel as far ahead as it may be; tell of batches that were completed."""
    done = Done()
    ends = time.monotonic() + FEED_SECONDS
    batches = feeding.fed(ledger)
    for batch in batches:
        if batch.heed:
            done.told += feeding.heed(ledger, batch)
    running = [batch for batch in batches if batch.state is BatchState.RUNNING]
    if any(batch.left[channel] for batch in running for channel in LISTS):
        now = sending_status(ledger)
        for channel in LISTS:
            room, least = _room(ledger, now, batches, channel)
            _feed_in_turns(ledger, running, channel, _Room(room, least, ends, quiet, now.now), done)
    for name in feeding.completed(ledger):
        _log.info("batch %s is completed", name)
    return done


@dataclass(slots=True)
class _Room:
    """How many rows may still be fed, from how many on it is worth a message, and until when."""

    rows: int
    least: int
    ends: float
    quiet: QuietHours | None
    now: datetime


def _room(ledger: Ledger, now: SendingStatus, batches: list[Fed], channel: str) -> tuple[int, int]:
    """Return how many rows may be fed, and how few are not worth a message yet.

    While Plivo's answers pause everybody one is sent to first, now and then: that there is one, a few are fed.
    """
    told = ledger.run("hgetall", ledger.keys.pauses)
    if {"person:all", f"person:{Lane.BULK}", "credentials"} & told.keys():
        return 0, LEAST
    if {"account", "suspect", "doubts"} & told.keys() or now.closed_until:
        return LEAST - feeding.ahead(batches, channel, paused=True), 1
    rate = Rate.parse(now.rate if channel == "sms" else now.call_rate)
    wanted = math.ceil(AHEAD_SECONDS * 1e6 / rate.spacing_us * now.share)
    return min(max(wanted, LEAST), MOST_AHEAD) - feeding.ahead(batches, channel, paused=False), LEAST


def _feed_in_turns(ledger: Ledger, running: list[Fed], channel: str, room: _Room, done: Done) -> None:
    """Give each batch its share, the one first that has waited longest, and what is left over to those with more."""
    left = {batch.name: batch.left[channel] for batch in running if batch.left[channel]}
    while left and room.rows > 0 and time.monotonic() < room.ends:
        share = min(MOST, max(room.least, math.ceil(room.rows / len(left))))
        for batch in [batch for batch in running if batch.name in left]:
            most = min(share, room.rows)
            if most < min(room.least, left[batch.name]) or time.monotonic() > room.ends:
                return
            fed = _feed_a_portion(ledger, batch, channel, most, room, done)
            left[batch.name] -= fed
            if not fed or left[batch.name] <= 0:
                del left[batch.name]


def _feed_a_portion(ledger: Ledger, batch: Fed, channel: str, most: int, room: _Room, done: Done) -> int:
    """Feed some rows of a batch; return how many there were. Those that sleep take no room."""
    portion = feeding.next_portion(ledger, batch, channel, most)
    if not portion.rows:
        return 0
    begin = feeding.feed(ledger, batch, channel, portion, _asleep(portion.rows, room))
    chunks: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for row, request in begin:
        chunks[row.subaccount].append((row.number, request))
    for requests in chunks.values():
        send_chunk(requests, Lane.BULK)
    room.rows -= len(begin)
    done.rows += len(portion.rows)
    done.messages += len(chunks)
    return len(portion.rows)


def _asleep(rows: tuple[Packed, ...], room: _Room) -> Mapping[str, datetime]:
    if room.quiet is None:
        return {}
    found = ((row.number, room.quiet.until(row.number, room.now)) for row in rows if row.number)
    return {number: until for number, until in found if until}

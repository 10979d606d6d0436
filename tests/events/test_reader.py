"""Readers on asyncio get each event as it comes, and go on where they stopped."""

import asyncio
import contextlib

import pytest
import redis.asyncio
from support.number_in_ledger import SENT, UUID, Book

from ringproof.events.event import EventKind
from ringproof.events.reader import follow_events, want_events


@pytest.fixture
def book(client):
    return Book(client)


@pytest.fixture
def with_events(book, redis_server):
    """Run a coroutine function on the events after an id, with readers' subscription in place."""

    async def run(use, after):
        async with redis.asyncio.Redis.from_url(redis_server.url, decode_responses=True, socket_timeout=3) as reading:
            await want_events(reading, book.keys)
            events = follow_events(reading, book.keys, after)
            async with contextlib.aclosing(events):
                return await use(events)

    return lambda use, after=None: asyncio.run(run(use, after))


async def first(events, count):
    found = []
    async for event in events:
        if event:
            found.append(event)
        if len(found) == count:
            return found
    return found


def test_a_reader_gets_events_as_they_come(book, with_events):
    async def read(events):
        assert await anext(events) is None, "nothing has happened yet"
        await asyncio.to_thread(book.bring, SENT)
        return await first(events, 1)

    (event,) = with_events(read)

    assert (event.kind, event.phone_number, event.verification_uuid) == (EventKind.CODE_SENT, book.number, UUID)
    assert event.verification_id == f"{book.number}/{book.record.request}"


def test_a_reader_goes_on_behind_the_last_event_that_it_got(book, with_events):
    with_events(anext)
    for _ in range(3):
        book.number = book.number[:-1] + str((int(book.number[-1]) + 1) % 10)
        book.bring(SENT)

    async def one(events):
        return await first(events, 1)

    (oldest,) = with_events(one, "nonsense")
    later = with_events(lambda events: first(events, 2), oldest.id)

    assert len({oldest.id, *(event.id for event in later)}) == 3


def test_an_id_that_is_none_leads_to_the_oldest_event(book, with_events):
    with_events(anext)
    book.bring(SENT)

    (event,) = with_events(lambda events: first(events, 1), "nonsense")

    assert event.kind is EventKind.CODE_SENT

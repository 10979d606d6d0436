"""A watch waits for a thousand keys with one connection and no thread, and outlives its Redis."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from support.harness import eventually, fresh_number

from ringproof.aio.connections import Connections
from ringproof.aio.ledger import AsyncLedger
from ringproof.aio.watch import REREAD_SECONDS, Watch
from ringproof.errors import LedgerDamaged, LedgerUnavailable
from ringproof.ledger.answers import Outcome, Settled, Settlement, Verdict
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from ringproof.policy import Policy, Rate
from ringproof.secret_str import SecretStr
from worker.local.processes.redis_server import RedisServer

SENT = Outcome(State.CODE_SENT, verification_uuid="11111111-2222-3333-4444-555555555555")
ACCEPTED = 1000


@pytest.fixture
def server():
    with RedisServer(appendfsync="always") as server:
        yield server


@pytest.fixture
def ledger(server):
    fast = Rate.parse("100000/1s")
    ledger = Ledger(connect(server.url), shown_url="redis://127.0.0.1")
    ledger.publish_policy(Policy(rate=fast, range_codes_per_hour=0, country_codes_per_hour=0))
    yield ledger
    ledger.client.close()


@asynccontextmanager
async def watch(server, ledger):
    """A watch, and the ledger in this event loop."""
    connections = Connections(SecretStr(server.url))
    here = AsyncLedger(ledger, connections, asyncio.Lock(), note_work=None)
    yield Watch(here), here
    await connections.close()


def accept(ledger):
    number = fresh_number()
    return number, ledger.accept(number, token=number).request


def send(ledger, *requests):
    left = list(requests)

    def begin_and_settle():
        begun = ledger.begin(left[:100])
        begins = [one for one in begun if one.verdict is Verdict.BEGUN]
        settled = ledger.settle_many(
            [Settlement(one.record.phone_number, one.record.request, one.fence, SENT, timedelta()) for one in begins]
        )
        assert {one.settled for one in settled} <= {Settled.SETTLED}
        sent = {one.record.phone_number for one in begins}
        left[:] = [one for one in left if one[0] not in sent]
        return not left

    eventually(begin_and_settle)


def is_sent(record):
    return record.state is State.CODE_SENT


async def until_heard(ledger, numbers):
    """Wait until Redis knows that the numbers are listened to."""
    channels = [ledger.keys.record(number) for number in numbers]
    await asyncio.to_thread(
        eventually, lambda: all(count for _, count in ledger.client.pubsub_numsub(*channels)), within=30
    )


def seen_after(server, ledger, change):
    """Change a record while it is watched; return it as the watch saw it, and how many seconds later."""

    async def run():
        async with watch(server, ledger) as (watching, here):
            number, request = accept(ledger)
            waits = asyncio.create_task(watching.record(here, number, request, is_sent, 30))
            await until_heard(ledger, [number])
            await asyncio.to_thread(change, number, request)
            changed = time.monotonic()
            record = await waits
            return record, time.monotonic() - changed

    return asyncio.run(run())


def test_a_change_is_seen_at_once(server, ledger):
    record, seconds = seen_after(server, ledger, lambda number, request: send(ledger, (number, request)))

    assert record.state is State.CODE_SENT
    assert seconds < REREAD_SECONDS / 2


def test_what_has_changed_before_is_seen_too_and_what_does_not_change_ends_in_time(server, ledger):
    async def run():
        async with watch(server, ledger) as (watching, here):
            sent, waiting = accept(ledger), accept(ledger)
            send(ledger, sent)
            seen = await watching.record(here, *sent, is_sent, 30)
            begun = time.monotonic()
            unchanged = await watching.record(here, *waiting, is_sent, 0.3)
            return seen, unchanged, time.monotonic() - begun

    seen, unchanged, seconds = asyncio.run(run())

    assert seen.state is State.CODE_SENT
    assert unchanged.state is State.QUEUED
    assert 0.3 <= seconds < 2


def test_an_unknown_number_and_a_replaced_request_do_not_wait(server, ledger):
    async def run():
        async with watch(server, ledger) as (watching, here):
            number, request = accept(ledger)
            begun = time.monotonic()
            found = [
                await watching.record(here, fresh_number(), 1, is_sent, 30),
                await watching.record(here, number, request - 1, is_sent, 30),
            ]
            return found, time.monotonic() - begun

    found, seconds = asyncio.run(run())

    assert found == [None, None]
    assert seconds < 5


def test_a_thousand_wait_with_one_connection_and_no_thread_each(server, ledger):
    async def run():
        async with watch(server, ledger) as (watching, here):
            requests = await asyncio.to_thread(lambda: [accept(ledger) for _ in range(ACCEPTED)])
            connections, threads = len(ledger.client.client_list()), threading.active_count()
            waits = [asyncio.create_task(watching.record(here, *one, is_sent, 60)) for one in requests]
            await until_heard(ledger, [number for number, _ in requests])
            more = len(ledger.client.client_list()) - connections, threading.active_count() - threads

            await asyncio.to_thread(send, ledger, *requests)
            return await asyncio.gather(*waits), more, watching._listening

    records, more, left = asyncio.run(run())

    assert {record.state for record in records} == {State.CODE_SENT}
    assert len({record.phone_number for record in records}) == ACCEPTED
    assert max(more) <= 6
    assert left is None


def test_a_change_whose_message_was_lost_is_seen_within_seconds(server, ledger):
    def change(number, _request):
        ledger.client.hset(ledger.keys.record(number), "state", "code_sent")

    record, seconds = seen_after(server, ledger, change)

    assert record.state is State.CODE_SENT
    assert seconds < 10 * REREAD_SECONDS


def test_a_restart_of_redis_loses_no_wait(server, ledger):
    async def run():
        async with watch(server, ledger) as (watching, here):
            number, request = accept(ledger)
            waits = asyncio.create_task(watching.record(here, number, request, is_sent, 60))
            await until_heard(ledger, [number])
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(REREAD_SECONDS)
            await asyncio.to_thread(server.restart)
            await until_heard(ledger, [number])
            await asyncio.to_thread(send, ledger, (number, request))
            record = await waits
            later = accept(ledger)
            again = asyncio.create_task(watching.record(here, *later, is_sent, 60))
            await until_heard(ledger, [later[0]])
            await asyncio.to_thread(send, ledger, later)
            return record, await again

    record, again = asyncio.run(run())

    assert record.state is again.state is State.CODE_SENT


def test_a_redis_that_is_away_all_the_time_is_named(server, ledger):
    async def run():
        async with watch(server, ledger) as (watching, here):
            await asyncio.to_thread(server.kill)
            with pytest.raises(LedgerUnavailable) as away:
                await watching.record(here, fresh_number(), 1, is_sent, 0.5)
            return str(away.value)

    assert "redis://127.0.0.1" in asyncio.run(run())


@pytest.mark.parametrize("damage", ["no hash", "junk in a field"])
def test_a_damaged_record_is_named_and_keeps_nobody_else_waiting(server, ledger, damage):
    def break_one_and_send_the_other(damaged, sound):
        with ledger.client.pipeline(transaction=True) as both:  # and without a message: all keys are read together
            if damage == "no hash":
                both.set(ledger.keys.record(damaged), "junk")
            else:
                both.hset(ledger.keys.record(damaged), "state", "?")
            both.hset(ledger.keys.record(sound), "state", "code_sent")
            both.execute()

    async def run():
        async with watch(server, ledger) as (watching, here):
            sound, damaged = accept(ledger), accept(ledger)
            waits = [asyncio.create_task(watching.record(here, *one, is_sent, 10)) for one in (sound, damaged)]
            await until_heard(ledger, [damaged[0], sound[0]])
            await asyncio.to_thread(break_one_and_send_the_other, damaged[0], sound[0])
            with pytest.raises(LedgerDamaged):
                await waits[1]
            return await waits[0]

    assert asyncio.run(run()).state is State.CODE_SENT


def test_a_fault_of_one_who_waits_is_its_own(server, ledger):
    async def run():
        async with watch(server, ledger) as (watching, here):
            number, request = accept(ledger)

            def fails(_record):
                raise RuntimeError("a fault")

            waits = asyncio.create_task(watching.record(here, number, request, is_sent, 60))
            with pytest.raises(RuntimeError, match="a fault"):
                await watching.record(here, number, request, fails, 30)
            await asyncio.to_thread(send, ledger, (number, request))
            return await waits

    assert asyncio.run(run()).state is State.CODE_SENT
    eventually(lambda: not ledger.client.pubsub_channels())

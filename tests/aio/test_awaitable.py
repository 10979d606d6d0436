"""The calls of a program on asyncio: the results and the errors of the blocking ones, without a thread."""

import asyncio
import contextlib
import gc
import json
import os
import threading
import time
import warnings
from contextlib import suppress

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError
from support.event_loops import stalls, until
from support.harness import eventually, fresh_number
from support.replicas import Replica
from support.two_accounts import TwoAccounts

from ringproof import ais_verified, confirm_verification, initiate_verification, runtime
from ringproof.aio import event_loop
from ringproof.aio.connections import MOST_CONNECTIONS
from ringproof.celery.app import app
from ringproof.errors import (
    Cancelled,
    CoolingDown,
    InvalidNumber,
    InvalidRequest,
    LedgerUnavailable,
    Superseded,
    TooFewReplicas,
    UnknownAccount,
    WrongCode,
)
from ringproof.ledger import last_accepts
from ringproof.ledger.answers import Outcome, Settled, Settlement, Verdict
from ringproof.ledger.bare_redis import SOCKET_SECONDS
from ringproof.ledger.record import State
from ringproof.policy import Policy, Rate
from ringproof.testing import eager
from worker.local.processes.redis_server import RedisServer

SENT = Outcome(State.CODE_SENT, verification_uuid="11111111-2222-3333-4444-555555555555")
FAST = Policy(rate=Rate.parse("100000/1s"), range_codes_per_hour=0, country_codes_per_hour=0, people_codes_per_day=0)
THOUSAND = 1000


@pytest.fixture(scope="module")
def own_server():
    with RedisServer(appendfsync="always", has_config=True) as server:
        yield server


@pytest.fixture
def elsewhere(monkeypatch):
    """Point this process at another Redis; without a worker, messages stay in its queues."""
    ledgers = []
    monkeypatch.setattr(last_accepts, "LOOK_SECONDS", 0.05)

    def point(url):
        monkeypatch.setenv("RINGPROOF_REDIS_URL", url)
        runtime._ledger.cache_clear()
        ledgers.append(runtime.ledger())
        ledgers[-1].publish_policy(FAST)
        return ledgers[-1]

    yield point
    for ledger in ledgers:
        close(ledger)
    runtime._ledger.cache_clear()


def close(ledger):
    """Close a ledger's connections, once no thread uses them for the accepts that it keeps."""
    with ledger.last_accepts._changed:
        ledger.last_accepts._kept.clear()
    eventually(lambda: not ledger.last_accepts._is_watched())
    ledger.client.close()


@pytest.fixture
def own(own_server, elsewhere):
    """The ledger in a Redis without a worker."""
    ledger = elsewhere(own_server.url)
    ledger.client.delete("ringproof.interactive")
    return ledger


def send(ledger, *requests):
    """Have codes sent, as a worker does."""
    left = [(one.phone_number, one.request) for one in requests]
    while left:
        begun = [one for one in ledger.begin(left[:100]) if one.verdict is Verdict.BEGUN]
        written = ledger.settle_many(
            [Settlement(one.record.phone_number, one.record.request, one.fence, SENT) for one in begun]
        )
        assert {one.settled for one in written} <= {Settled.SETTLED}
        sent = {one.record.phone_number for one in begun}
        left = [one for one in left if one[0] not in sent]


def is_idle(ledger):
    """Whether nobody listens at this Redis, and nobody has subscribed to anything."""
    listeners = [one for one in ledger.client.client_list() if int(one["sub"])]
    return not ledger.client.pubsub_channels() and not listeners


@pytest.mark.usefixtures("worker")
class TestWithAWorker:
    def test_a_code_is_sent_and_entered_without_a_thread(self, plivo):
        number = fresh_number()

        async def run():
            threads = threading.active_count()
            verification = await initiate_verification.adelay(number, alias="Front desk")
            sent = await verification.wait(timeout=60)
            state = await verification.astate()
            code = plivo.sends(number)[-1]["code"]
            entered = await confirm_verification.aconfirm(number, code, request=verification.id, timeout=60)
            return sent, state, entered, await ais_verified(number), threading.active_count() - threads

        sent, state, entered, is_verified, threads = asyncio.run(run())

        assert (sent["state"], sent["alias"], state) == ("code_sent", "Front desk", "SUCCESS")
        assert entered["state"] == "verified"
        assert entered.items() <= initiate_verification.AsyncResult(number).result.items()
        assert is_verified
        assert threads == 0

    def test_a_wrong_code_is_refused(self, plivo):
        number = fresh_number()

        async def run():
            verification = await initiate_verification.adelay(number)
            await verification.wait(timeout=60)
            code = plivo.sends(number)[-1]["code"]
            wrong = "".join(str(9 - int(digit)) for digit in code)
            with pytest.raises(WrongCode) as refused:
                await confirm_verification.aconfirm(number, wrong, timeout=60)
            return refused.value, await ais_verified(number)

        refused, is_verified = asyncio.run(run())

        assert refused.tries_left == 4
        assert not is_verified


class TestErrors:
    @pytest.mark.usefixtures("own")
    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"phone_number": "+1 415 555"}, InvalidNumber),
            ({"phone_number": "+14155550123", "channel": "fax"}, InvalidRequest),
            ({"phone_number": "+14155550123", "chanel": "sms"}, InvalidRequest),
            ({"phone_number": "+14155550123", "account": "nobody"}, InvalidRequest),
            ({}, InvalidRequest),
        ],
    )
    def test_are_those_of_delay(self, wrong, error):
        with pytest.raises(error) as blocking:
            initiate_verification.delay(**wrong)
        with pytest.raises(error) as awaited:
            asyncio.run(initiate_verification.adelay(**wrong))

        assert type(awaited.value) is type(blocking.value)
        assert str(awaited.value) == str(blocking.value)

    @pytest.mark.usefixtures("own")
    @pytest.mark.parametrize(
        ("args", "options"),
        [
            (("+14155550123", "12"), {}),
            (("+1415", "1234"), {}),
            (("+14155550123",), {}),
            (("+14155550123", "1234"), {"request": "1"}),
        ],
    )
    def test_are_those_of_a_confirmation(self, args, options):
        with pytest.raises(InvalidRequest) as blocking:
            confirm_verification.delay(*args, **options)
        with pytest.raises(InvalidRequest) as awaited:
            asyncio.run(confirm_verification.aconfirm(*args, **options))

        assert type(awaited.value) is type(blocking.value)
        assert str(awaited.value) == str(blocking.value)

    def test_a_resend_that_comes_too_early_is_refused(self, own):
        async def run():
            verification = await initiate_verification.adelay(fresh_number())
            send(own, verification)
            with pytest.raises(CoolingDown):
                await initiate_verification.adelay(verification.phone_number, resend=True)

        asyncio.run(run())

    def test_a_wait_ends_at_its_time_and_with_the_requests_own_error(self, own):
        async def run():
            verification = await initiate_verification.adelay(fresh_number())
            with pytest.raises(CeleryTimeoutError):
                await verification.wait(timeout=0)
            began = time.monotonic()
            with pytest.raises(CeleryTimeoutError):
                await verification.wait(timeout=0.2)
            took = time.monotonic() - began
            waits = asyncio.create_task(verification.wait(timeout=60))
            await until(own.client.pubsub_channels)
            verification.revoke()
            with pytest.raises(Cancelled):
                await waits
            with pytest.raises(Cancelled):
                await verification.wait(timeout=0)
            return took

        assert 0.2 <= asyncio.run(run()) < 10

    def test_a_request_that_a_newer_one_has_replaced_says_so(self, own):
        async def run():
            first = await initiate_verification.adelay(fresh_number())
            send(own, first)
            own.client.hset(own.keys.record(first.phone_number), "request", first.request + 5)  # its own is not kept
            with pytest.raises(Superseded):
                await first.wait(timeout=60)

        asyncio.run(run())

    def test_what_nobody_has_asked_for_is_waited_for(self, own):
        async def run():
            verification = initiate_verification.AsyncResult(fresh_number())
            states = [await verification.astate()]
            waits = asyncio.create_task(verification.wait(timeout=60))
            await until(own.client.pubsub_channels)
            send(own, await initiate_verification.adelay(verification.phone_number))
            return [*states, (await waits)["state"], await verification.astate()]

        assert asyncio.run(run()) == ["PENDING", "code_sent", "SUCCESS"]

    def test_anothers_request_shows_no_alias(self, own):
        async def run():
            first = await initiate_verification.adelay(fresh_number(), alias="Front desk")
            second = await initiate_verification.adelay(first.phone_number)
            send(own, first)
            return second.is_anothers, await first.wait(timeout=60), await second.wait(timeout=60)

        is_anothers, first, second = asyncio.run(run())

        assert is_anothers
        assert (first["alias"], second["alias"]) == ("Front desk", None)
        assert second["verification_uuid"] is None

    @pytest.mark.usefixtures("own")
    def test_a_confirmation_that_nobody_answers_ends_at_its_time(self):
        async def run():
            await confirm_verification.aconfirm(fresh_number(), "1234", timeout=0.3)

        with pytest.raises(CeleryTimeoutError):
            asyncio.run(run())


class TestMessages:
    def test_are_those_of_the_blocking_calls(self, own_server, own):
        numbers = [fresh_number(), fresh_number()]
        with app.connection_for_write(own_server.url) as broker:
            initiate_verification.apply_async((numbers[0],), {"requester": "user 7"}, connection=broker)
            confirm_verification.apply_async((numbers[0], "1234"), connection=broker)

        async def run():
            await initiate_verification.adelay(numbers[1], requester="user 7")
            with suppress(CeleryTimeoutError):
                await confirm_verification.aconfirm(numbers[1], "1234", timeout=0.01)

        asyncio.run(run())
        written = [json.loads(one) for one in own.client.lrange("ringproof.interactive", 0, -1)]

        assert len(written) == 4
        blocking, awaited = [*map(shape, written[3:1:-1])], [*map(shape, written[1::-1])]
        assert blocking == awaited

    def test_a_message_that_is_not_sent_is_the_sweeps_and_the_request_is_accepted(self, own, caplog):
        own.client.set("ringproof.interactive", "no list")

        async def run():
            return await initiate_verification.adelay(fresh_number())

        verification = asyncio.run(run())
        own.client.delete("ringproof.interactive")

        assert verification.state == "QUEUED"
        assert "the sweep sends it again" in caplog.text
        assert verification.phone_number not in caplog.text


OF_ONE_MESSAGE = {"id", "root_id", "origin", "delivery_tag", "correlation_id", "reply_to", "argsrepr", "kwargsrepr"}


def shape(message):
    """Return a message without what is another one each time."""
    headers, properties = message["headers"], message["properties"]
    return (
        {name: value for name, value in message.items() if name not in {"body", "headers", "properties"}},
        {name: value for name, value in headers.items() if name not in OF_ONE_MESSAGE},
        {name: value for name, value in properties.items() if name not in OF_ONE_MESSAGE},
        headers.keys() | properties.keys(),
    )


class TestAThousand:
    def test_wait_with_few_connections_and_no_thread_and_all_wake_at_once(self, own):
        async def run():
            connections, threads = len(own.client.client_list()), threading.active_count()
            requests = await asyncio.gather(*(initiate_verification.adelay(fresh_number()) for _ in range(THOUSAND)))
            waits = [asyncio.create_task(one.wait(timeout=100)) for one in requests]
            await until(lambda: len(own.client.pubsub_channels()) == THOUSAND)
            more = len(own.client.client_list()) - connections, threading.active_count() - threads
            await asyncio.to_thread(send, own, *requests)
            sent_at = time.monotonic()
            records = await asyncio.gather(*waits)
            return records, more, time.monotonic() - sent_at

        records, (connections, threads), seconds = asyncio.run(run())

        assert {record["state"] for record in records} == {"code_sent"}
        assert len({record["phone_number"] for record in records}) == THOUSAND
        assert connections <= MOST_CONNECTIONS + 1
        assert threads == 0
        assert seconds < 20

    def test_who_wakes_has_the_record_that_was_read_for_all(self, own):
        async def run():
            requests = [await initiate_verification.adelay(fresh_number()) for _ in range(21)]
            waits = [asyncio.create_task(one.wait(timeout=60)) for one in requests]
            await until(lambda: len(own.client.pubsub_channels()) == len(waits))
            before = own.client.info("stats")["total_connections_received"]
            send(own, *requests[1:])
            await asyncio.gather(*waits[1:])
            more = own.client.info("stats")["total_connections_received"] - before
            await until(lambda: own.client.pubsub_channels() == [own.keys.record(requests[0].phone_number)])
            waits[0].cancel()
            return more

        assert asyncio.run(run()) <= 2  # a read by each of them would take a connection each


class TestNothingIsLeft:
    def test_by_waits_that_are_cancelled(self, own):
        async def run():
            requests = [await initiate_verification.adelay(fresh_number()) for _ in range(50)]
            waits = [asyncio.create_task(one.wait()) for one in requests]
            waits += [asyncio.create_task(confirm_verification.aconfirm(fresh_number(), "1234"))]
            await until(lambda: len(own.client.pubsub_channels()) == len(waits))
            for one in waits:
                one.cancel()
            ended = await asyncio.gather(*waits, return_exceptions=True)
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})  # a look of a moment may be under way
            return ended

        ended = asyncio.run(run())

        assert {type(one) for one in ended} == {asyncio.CancelledError}
        eventually(lambda: is_idle(own))

    def test_by_waits_that_are_cancelled_again_at_each_step_until_they_end(self, own):
        """As anyio does, and so Starlette."""

        async def run():
            for steps in range(100):
                wait = asyncio.create_task(initiate_verification.AsyncResult(fresh_number()).wait())
                for _ in range(steps):
                    await asyncio.sleep(0)
                while not wait.done():
                    wait.cancel()
                    await asyncio.sleep(0)
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

        asyncio.run(run())

        eventually(lambda: is_idle(own))

    @pytest.mark.timeout(60)  # it would hang
    def test_by_a_loop_that_ends_while_cancelled_waits_end(self, own):
        async def run(steps):
            wait = asyncio.create_task(initiate_verification.AsyncResult(fresh_number()).wait())
            for _ in range(steps):
                await asyncio.sleep(0)
            for _ in range(2):
                wait.cancel()
                await asyncio.sleep(0)

        for steps in range(100):
            asyncio.run(run(steps))

        eventually(lambda: is_idle(own))

    def test_by_calls_that_are_cancelled_at_any_step(self, own):
        async def run():
            for steps in range(30):
                number = fresh_number()
                call = asyncio.create_task(initiate_verification.adelay(number))
                for _ in range(steps):
                    await asyncio.sleep(0)
                call.cancel()
                with suppress(asyncio.CancelledError):
                    await call
            verification = await initiate_verification.adelay(fresh_number())
            send(own, verification)
            state = (await verification.wait(timeout=60))["state"]
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})  # a look of a moment may be under way
            return state

        assert asyncio.run(run()) == "code_sent"

    def test_by_loops_one_after_the_other(self, own):
        before = len(own.client.client_list())

        async def run():
            verification = await initiate_verification.adelay(fresh_number())
            send(own, verification)
            return (await verification.wait(timeout=60))["state"]

        states = [asyncio.run(run()) for _ in range(3)]
        gc.collect()

        assert states == ["code_sent"] * 3
        assert not event_loop._by_loop
        eventually(lambda: len(own.client.client_list()) <= before + 1)  # the thread that keeps the accepts has one

    def test_by_loops_of_several_threads(self, own):
        states = []

        async def run():
            verification = await initiate_verification.adelay(fresh_number())
            send(own, verification)
            states.append((await verification.wait(timeout=60))["state"])

        threads = [threading.Thread(target=lambda: asyncio.run(run())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert states == ["code_sent"] * 4
        assert not event_loop._by_loop

    @pytest.mark.usefixtures("own")
    def test_for_a_child_process_that_the_parent_has_open(self):
        async def ask():
            verification = await initiate_verification.adelay(fresh_number())
            return await verification.astate()

        async def run():
            first = await ask()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # other threads run, and the child uses none
                child = os.fork()
            if not child:
                state = ""
                with suppress(BaseException):
                    state = asyncio.run(ask())
                os._exit(0 if state == "QUEUED" else 1)
            status = await until(lambda: os.waitpid(child, os.WNOHANG)[0] == child and [True])
            return first, await ask(), status

        first, after, _ = asyncio.run(run())

        assert (first, after) == ("QUEUED", "QUEUED")


class TestARedisThatIsAway:
    def test_a_wait_outlives_a_restart(self, own_server, own):
        async def run():
            verification = await initiate_verification.adelay(fresh_number())
            waits = asyncio.create_task(verification.wait(timeout=100))
            await until(own.client.pubsub_channels)
            await asyncio.to_thread(own_server.kill)
            with pytest.raises(LedgerUnavailable):
                await initiate_verification.adelay(fresh_number())
            with pytest.raises(LedgerUnavailable):
                await verification.astate()
            with pytest.raises(CeleryTimeoutError):
                await verification.wait(timeout=0.5)
            with pytest.raises(LedgerUnavailable):
                await confirm_verification.aconfirm(fresh_number(), "1234", timeout=0.5)
            await asyncio.to_thread(own_server.restart)
            await asyncio.to_thread(eventually, own.now)
            own.client.hset(own.keys.record(verification.phone_number), "state", "code_sent")  # by another process
            return (await waits)["state"]

        assert asyncio.run(run()) == "code_sent"

    @pytest.mark.usefixtures("own")
    def test_one_that_hangs_blocks_no_loop_and_all_who_ask_learn_of_it_in_time(self, own_server):
        async def call():
            began = time.monotonic()
            with pytest.raises(LedgerUnavailable):
                await initiate_verification.adelay(fresh_number())
            return time.monotonic() - began

        async def run():
            await initiate_verification.adelay(fresh_number())  # what a first call loads is loaded
            await asyncio.to_thread(own_server.freeze)
            try:
                async with stalls() as longest:
                    took = await asyncio.gather(*(call() for _ in range(200)))
            finally:
                await asyncio.to_thread(own_server.thaw)
            return took, longest

        took, (longest,) = asyncio.run(run())

        assert max(took) < 2 * SOCKET_SECONDS
        assert longest < SOCKET_SECONDS / 2

    def test_a_request_that_it_has_forgotten_is_accepted_again(self, own_server, own):
        async def run():
            threads = threading.active_count()
            verification = await initiate_verification.adelay(fresh_number())
            await until(lambda: own.last_accepts._known)
            more = threading.active_count() - threads
            own.client.flushall()
            await asyncio.to_thread(own_server.restart)
            return (
                verification,
                more,
                await asyncio.to_thread(eventually, lambda: suppressed(lambda: own.read(verification.phone_number))),
            )

        verification, threads, record = asyncio.run(run())
        own.publish_policy(FAST)

        assert record.request == verification.request
        assert threads <= 0

    def test_a_look_that_fails_leaves_what_is_kept_to_the_thread(self, own, monkeypatch, caplog):
        """Such as one whose connection is closed meanwhile: redis-py raises an AttributeError."""

        def fail(_):
            raise AttributeError

        async def run():
            await initiate_verification.adelay(fresh_number())
            await until(lambda: own.last_accepts._known)  # which the thread has read: no look of the loop has

        monkeypatch.setattr("ringproof.aio.last_accepts.generation_of", fail)
        asyncio.run(run())

        assert "a thread looks after what this process keeps" in caplog.text

    def test_what_a_closed_loop_has_kept_is_still_accepted_again(self, own_server, own):
        async def run():
            return await initiate_verification.adelay(fresh_number())

        verification = asyncio.run(run())
        eventually(lambda: own.last_accepts._known)
        own.client.flushall()
        own_server.restart()

        record = eventually(lambda: suppressed(lambda: own.read(verification.phone_number)))
        own.publish_policy(FAST)
        assert record.request == verification.request


def suppressed(call):
    with suppress(LedgerUnavailable):
        return call()


class TestReplicas:
    def test_confirm_a_request_before_it_is_returned(self, own_server, own, monkeypatch):
        monkeypatch.setenv("RINGPROOF_REPLICAS", "1")
        runtime._ledger.cache_clear()

        async def run():
            with pytest.raises(TooFewReplicas, match="nothing is accepted"):
                await initiate_verification.adelay(fresh_number())
            with Replica(own_server) as replica:
                verification = await initiate_verification.adelay(fresh_number())
                at_replica = replica.client.hget(own.keys.record(verification.phone_number), "request")
                replica.hold_up()
                with pytest.raises(TooFewReplicas, match="of 1 replicas confirmed it"):
                    await initiate_verification.adelay(fresh_number())
                replica.let_go()
            return verification, at_replica

        verification, at_replica = asyncio.run(run())

        assert at_replica == str(verification.request)


class TestAccounts:
    def test_have_their_own_requests_and_the_crowd_gets_one_message(self, tmp_path, monkeypatch):
        with contextlib.closing(TwoAccounts(tmp_path)) as accounts:
            for name, value in accounts.environ.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setattr(last_accepts, "LOOK_SECONDS", 0.05)
            runtime._ledger.cache_clear()
            home = accounts.ledgers[None]

            async def run():
                ids = {}
                for name in ("acme", "globex"):
                    numbers = [fresh_number() for _ in range(3)]
                    asked = [await initiate_verification.adelay(number, account=name) for number in numbers]
                    waits = asyncio.create_task(asked[0].wait(timeout=60))
                    await until(accounts.ledgers[name].client.pubsub_channels)
                    accounts.send(name, asked[0].phone_number, asked[0].request)
                    assert (await waits)["state"] == "code_sent"
                    ids[name] = [one.id for one in asked]
                    assert await ais_verified(numbers[0], account=name) is False
                with pytest.raises(UnknownAccount):
                    await initiate_verification.adelay(fresh_number(), account="initech")
                return ids

            ids = asyncio.run(run())
            messages = home.client.llen("ringproof.interactive")
            noted = home.client.zrange(home.keys.accounts, 0, -1)
            for name in ("acme", "globex"):
                close(runtime.ledger(name))
            close(runtime.ledger())
            runtime._ledger.cache_clear()

        assert all(one.startswith(f"{name}:+1") for name, own in ids.items() for one in own)
        assert messages == 2
        assert sorted(noted) == ["acme", "globex"]


class TestEagerMode:
    def test_needs_no_redis_and_waits_for_nothing(self):
        async def run(sent):
            verification = await initiate_verification.adelay("+14155550123", alias="Front desk")
            record = await verification.wait()
            state = await verification.astate()
            entered = await confirm_verification.aconfirm("+14155550123", sent[-1].code, request=verification.id)
            with pytest.raises(CeleryTimeoutError):
                await initiate_verification.AsyncResult("+14155550124").wait(timeout=60)
            verified = await ais_verified("+14155550123"), await ais_verified(verification.id)
            with pytest.raises(InvalidRequest, match="account"):
                await ais_verified(f"acme:{verification.id}")
            return record["state"], state, entered["state"], verified

        for _ in range(2):  # each block has an empty ledger
            with eager() as sent:
                assert asyncio.run(run(sent)) == ("code_sent", "SUCCESS", "verified", (True, True))

    def test_has_test_numbers_and_the_errors_of_a_confirmation(self, monkeypatch):
        monkeypatch.setenv("RINGPROOF_TEST_NUMBERS", "+15005550006=123456")

        async def run():
            verification = await initiate_verification.adelay("+15005550006")
            await verification.wait(timeout=10)
            with pytest.raises(WrongCode):
                await confirm_verification.aconfirm("+15005550006", "654321", request=verification.id)
            return (await confirm_verification.aconfirm("+15005550006", "123456", request=verification.id))["state"]

        with eager() as sent:
            assert asyncio.run(run()) == "verified"
        assert not sent

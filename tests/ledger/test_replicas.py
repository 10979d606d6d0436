"""What a failover must not forget is confirmed by replicas first, or nothing is done with it."""

import socket
import threading
import time

import pytest
from support.harness import eventually, fresh_number
from support.number_in_ledger import SENT, Book
from support.replicas import Replica

from ringproof.batches.importing import begin_import
from ringproof.errors import TooFewReplicas
from ringproof.ledger import control, replication
from ringproof.ledger.acceptance import Disposition
from ringproof.ledger.answers import Settled, Verdict
from ringproof.ledger.confirmation import Marked, Source, mark_verified
from ringproof.ledger.connection import connect
from ringproof.ledger.keys import FOLLOWED
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from ringproof.plivo.client import VerifiedNumber
from worker.local.processes.redis_server import RedisServer


@pytest.fixture(scope="module")
def primary():
    with RedisServer(has_config=True) as primary:
        yield primary


@pytest.fixture
def replica(primary):
    with Replica(primary) as replica:
        yield replica


@pytest.fixture
def a_book(primary, monkeypatch):
    """Makes books on the primary; their replicas get 0.2 s, and are looked at with each call."""
    monkeypatch.setattr(replication, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(replication, "LOOK_SECONDS", 0.0)
    with connect(primary.url) as client:
        yield lambda **options: Book(client, **options)


def commands(client):
    """How often Redis has run each command that matters here."""
    stats = client.info("commandstats")
    return {
        name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "wait", "publish", "info")
    }


def test_a_back_up_is_no_replica(primary, a_book):
    book = a_book(replicas=None)
    password = book.client.connection_pool.connection_kwargs["password"]
    with socket.create_connection(("127.0.0.1", primary.port)) as backup:  # as `redis-cli --rdb` does
        backup.sendall(f"AUTH {password}\r\n".encode())
        assert backup.recv(1 << 16) == b"+OK\r\n"
        backup.sendall(b"SYNC\r\n")
        reader = threading.Thread(target=lambda: [*iter(lambda: backup.recv(1 << 16), b"")], daemon=True)
        reader.start()
        listed = eventually(lambda: book.client.info("replication").get("slave0"))
        eventually(lambda: book.client.info("replication")["slave0"]["state"] in {"online", "send_bulk"})
        begun = book.begin(book.accept().request)
        backup.shutdown(socket.SHUT_RDWR)
        reader.join()

    assert listed["port"] == 0
    assert begun.verdict is Verdict.BEGUN
    assert commands(book.client)["wait"] == 0


class TestWithAReplica:
    def test_begin_and_accept_wait_for_it(self, replica, a_book):
        book = a_book(replicas=None)
        before = commands(book.client)
        begun = book.begin(book.accept().request)

        assert begun.verdict is Verdict.BEGUN
        assert commands(book.client)["wait"] - before["wait"] >= 2
        assert replica.client.hget(book.keys.record(book.number), "state") == "sending", "at once, with no wait here"

    def test_what_was_begun_and_is_not_confirmed_is_queued_again(self, replica, a_book):
        book = a_book(replicas=None)
        request = book.accept().request
        replica.hold_up()
        with pytest.raises(TooFewReplicas, match="0 of 1 replicas confirmed it within 0 s; nothing is sent"):
            book.begin(request, fence="f" * 16)

        assert book.record.state is State.QUEUED
        assert book.record.attempts == 0
        assert not book.record.live_until, "no code can be out"
        replica.let_go()
        begun = eventually(lambda: begun_if_confirmed(book, request))
        assert begun.verdict is Verdict.BEGUN
        assert book.settle(begun, SENT) is Settled.SETTLED

    def test_an_accept_that_is_not_confirmed_is_one_request_when_it_is_repeated(self, replica, a_book):
        book = a_book(replicas=1)
        replica.hold_up()
        with pytest.raises(TooFewReplicas, match="it is done, and a failover could forget it"):
            book.accept(token="order 17")
        with pytest.raises(TooFewReplicas, match="0 of 1 replicas confirmed"):
            book.accept(token="order 17")
        request = book.record.request
        replica.let_go()

        accepted = eventually(lambda: accepted_if_confirmed(book, token="order 17"))
        assert (accepted.disposition, accepted.request) == (Disposition.ACCEPTED, request)
        assert len(book.record.history) == 1

    @pytest.mark.usefixtures("replica")
    def test_a_repeated_call_writes_and_so_waits_for_all_before_it(self, a_book):
        """From Redis 7.2 on, WAIT counts from the last write of its connection. A repeated script writes nothing."""
        book = a_book(replicas=1)
        book.accept(token="order 17")
        offset = book.client.info("replication")["master_repl_offset"]
        sent = commands(book.client)
        book.accept(token="order 17")

        assert book.client.info("replication")["master_repl_offset"] > offset
        assert commands(book.client)["publish"] > sent["publish"]

    def test_an_operators_pause_is_made_and_what_is_missing_is_said(self, replica, a_book):
        book = a_book(replicas=1)
        replica.hold_up()
        with pytest.raises(TooFewReplicas, match="it is done, and a failover could forget it"):
            control.pause(book.ledger)

        assert control.sending_status(book.ledger).pauses
        replica.let_go()
        eventually(lambda: not book.ledger.replication.look() or confirmed(lambda: control.resume(book.ledger)))

    def test_one_cancelled_request_waits_for_it_so_that_no_code_is_sent_after_a_failover(self, replica, a_book):
        book = a_book(replicas=None)
        request = book.accept().request
        replica.hold_up()
        with pytest.raises(TooFewReplicas, match="it is done, and a failover could forget it"):
            book.ledger.cancel(book.number, request)
        replica.let_go()
        eventually(lambda: confirmed(lambda: book.ledger.cancel(book.number, request)))
        replica.hold_up()  # what else is written does not reach it

        assert replica.client.hget(book.keys.record(book.number), "state") == "cancelled"

    def test_a_verified_number_waits_for_it_and_counts_without_it(self, replica, a_book):
        book = a_book(replicas=None)
        book.bring(SENT)
        plivos = VerifiedNumber(book.number, "", "US", None, None, "", book.record.verification_uuid)
        before = commands(book.client)["wait"]
        replica.hold_up()

        assert mark_verified(book.ledger, [plivos], "a handle") == [Marked.VERIFIED]
        with_handle = commands(book.client)["wait"]
        mark_verified(book.ledger, [plivos], source=Source.NUMBER)

        assert with_handle > before
        assert commands(book.client)["wait"] == with_handle, "a look-up can be made again"
        assert book.record.state is State.VERIFIED

    @pytest.mark.usefixtures("replica")
    def test_an_import_is_finished_once_it_is_confirmed(self, a_book):
        book = a_book(replicas=1)
        before = commands(book.client)["wait"]
        with begin_import(book.ledger, "spring", fingerprint=None) as importing:
            importing.finish()

        assert commands(book.client)["wait"] > before

    def test_a_slot_is_given_for_the_moment_at_which_its_caller_may_send(self, primary, a_book):
        with Replica(primary, round_trip_ms=60):
            book = a_book(replicas=1)
            for _ in range(6):
                book.number = fresh_number()
                begun_if_confirmed(book, book.accept().request)

            assert 0.04 < book.ledger.slot_clock.reach < 0.4


class TestWithoutAReplica:
    def test_nothing_is_waited_for(self, a_book):
        book = a_book(replicas=None)
        before = commands(book.client)
        book.bring(SENT)

        assert commands(book.client)["wait"] == before["wait"]

    @pytest.mark.parametrize("replicas", [None, 0])
    def test_nothing_costs_more(self, a_book, monkeypatch, replicas):
        """A process looks every two seconds, in a call that it makes anyway."""
        monkeypatch.setattr(replication, "LOOK_SECONDS", 2.0)
        book = a_book(replicas=replicas)
        book.bring(SENT)
        before = commands(book.client)
        began = time.monotonic()
        for _ in range(20):
            book.number = fresh_number()
            book.settle(book.begin(book.accept().request), SENT)

        made = {name: count - before[name] for name, count in commands(book.client).items()}
        looks = 1 + (time.monotonic() - began) // 2 if replicas is None else 0
        assert made["evalsha"] == 60
        assert made["wait"] == 0
        assert made["info"] <= 20 + looks + 1, "begin's script asks for the server's id, and one is the test's own"

    def test_with_one_wanted_nothing_is_accepted_or_begun(self, a_book):
        """An operator's pause is made all the same."""
        book = a_book(replicas=0)
        request = book.accept().request
        strict = a_book(replicas=1)
        strict.ledger.keys, strict.number = book.keys, book.number
        before = commands(book.client)["wait"]
        with pytest.raises(TooFewReplicas, match="0 of 1 replicas follow; nothing is accepted or sent"):
            strict.begin(request)
        with pytest.raises(TooFewReplicas, match="0 of 1 replicas follow; nothing is accepted or sent"):
            strict.accept()

        assert book.record.state is State.QUEUED
        assert commands(book.client)["wait"] == before, "nobody waits for a replica that is not there"
        with pytest.raises(TooFewReplicas, match="it is done"):
            control.pause(strict.ledger)
        assert control.sending_status(book.ledger).pauses

    def test_one_that_has_just_gone_still_has_to_confirm(self, primary, a_book, monkeypatch):
        """It may be the primary now, and what is written here lost."""
        book = a_book(replicas=None)
        with Replica(primary):
            request = book.accept().request
        eventually(lambda: not book.ledger.replication.look().following)
        for _ in range(2):
            with pytest.raises(TooFewReplicas, match="0 of 1 replicas"):
                book.begin(request)
        monkeypatch.setattr(replication, "LOST_SECONDS", 0.0)

        assert book.begin(request).verdict is Verdict.BEGUN

    def test_a_new_process_goes_by_what_a_worker_has_seen(self, primary, a_book):
        """It has not seen the replica itself, which may be the primary now."""
        with Replica(primary):
            book = a_book(replicas=None)
            book.client.set(FOLLOWED, book.ledger.replication.look().history)
        newcomer = connect(primary.url)
        with newcomer:
            eventually(lambda: not book.ledger.replication.look().following)
            with pytest.raises(TooFewReplicas, match="0 of 1 replicas follow"):
                Ledger(newcomer, replicas=None).accept(book.number, token="order 17")
            book.client.set(FOLLOWED, "another history")
        with connect(primary.url) as newcomer:
            assert Ledger(newcomer, replicas=None).accept(book.number, token="order 18").request

    def test_the_new_primary_needs_none_that_followed_the_old_one(self, primary, a_book):
        book = a_book(replicas=None)
        with Replica(primary) as replica:
            request = book.accept().request
            replica.promote()
            with connect(replica.server.url) as other:
                book.ledger.replication._reference = lambda: other  # as behind a Sentinel
                assert not book.ledger.replication.look().following
                assert book.ledger.replication.needed(book.ledger.replication.look()) == 0
        assert request


def begun_if_confirmed(book, request):
    """Begin as a worker does, which repeats it until it is confirmed."""
    try:
        return book.begin(request, fence="f" * 16)
    except TooFewReplicas:
        return None


def accepted_if_confirmed(book, **options):
    try:
        return book.accept(**options)
    except TooFewReplicas:
        return None


def confirmed(call):
    try:
        call()
    except TooFewReplicas:
        return False
    return True


def test_a_primary_that_becomes_a_replica_meanwhile_has_confirmed_nothing(primary, a_book, monkeypatch):
    monkeypatch.setattr(replication, "WAIT_SECONDS", 20.0)
    book = a_book(replicas=1)
    with Replica(primary) as replica:
        request = book.accept().request
        replica.hold_up()
        demotion = threading.Thread(target=demote_once_it_waits, args=(book.client, replica))
        demotion.start()
        try:
            with pytest.raises(TooFewReplicas):
                book.begin(request)
        finally:
            demotion.join()
            book.client.execute_command("REPLICAOF", "NO", "ONE")


def demote_once_it_waits(client, replica):
    eventually(lambda: any(one["cmd"] == "wait" for one in client.client_list()))
    client.execute_command("REPLICAOF", "127.0.0.1", replica.server.port)

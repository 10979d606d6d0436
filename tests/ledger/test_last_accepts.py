"""A program repeats its accepts of the last minute if Redis has forgotten them."""

import os
from functools import partial

import pytest
from support.harness import eventually
from support.number_in_ledger import SENT, Book

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import last_accepts
from ringproof.ledger.acceptance import Disposition
from ringproof.ledger.connection import connect
from ringproof.ledger.record import State
from worker.local.processes.redis_server import RedisServer


@pytest.fixture
def server():
    with RedisServer(has_config=True) as server:
        yield server


@pytest.fixture
def book(server):
    with connect(server.url) as client:
        yield Book(client)


class TestAccepting:
    def test_a_forgotten_request_gets_its_number_again(self, book):
        accepted = book.accept(token="order 17")
        book.client.flushall()
        again = book.accept(token="order 17", request=accepted.request - 30)  # as if that was half a minute ago

        assert (again.disposition, again.request) == (Disposition.ACCEPTED, accepted.request - 30)
        assert book.record.request == accepted.request - 30
        assert book.record.state is State.QUEUED

    def test_one_that_is_known_is_not_changed(self, book):
        accepted = book.accept(token="order 17")
        book.settle(book.begin(accepted.request), SENT)
        book.client.delete(book.keys.token("order 17"))
        before = book.record
        again = book.accept(token="order 17", request=accepted.request)

        assert (again.disposition, again.request) == (Disposition.ACCEPTED, accepted.request)
        assert book.record == before

    def test_a_newer_one_stays(self, book):
        accepted = book.accept(token="order 17")
        book.client.flushall()
        newer = book.accept(token="another", request=accepted.request + 5)
        again = book.accept(token="order 17", request=accepted.request)

        assert again.disposition is Disposition.GONE
        assert book.record.request == newer.request

    def test_one_of_an_older_code_that_lives_is_not_accepted(self, book):
        """Redis has gone back to a time when another code was out: then no second one is sent."""
        accepted = book.accept(token="first")
        book.settle(book.begin(accepted.request), SENT)
        again = book.accept(token="order 17", request=accepted.request + 5)

        assert again.disposition is Disposition.RETURNED
        assert book.record.request == accepted.request


class TestKeeping:
    def test_all_are_repeated_once_redis_has_gone_back(self, server, book):
        accepted = book.accept(token="order 17")
        kept = book.ledger.last_accepts
        kept.keep(partial(book.accept, token="order 17", request=accepted.request))
        eventually(lambda: kept._known)
        book.client.flushall()
        server.restart()
        record = eventually(lambda: book.record)

        assert record.request == accepted.request
        assert kept.look() == 0, "they are repeated once"

    def test_a_call_that_fails_ends_no_looking(self, server, book, monkeypatch, caplog):
        """Such as one whose connection another thread closes meanwhile: redis-py raises an AttributeError."""
        monkeypatch.setattr(last_accepts, "LOOK_SECONDS", 0.01)
        calls = []

        def fail_first():
            calls.append(1)
            if len(calls) == 1:
                raise AttributeError

        kept = book.ledger.last_accepts
        kept.keep(fail_first)
        eventually(lambda: kept._known)
        book.client.flushall()
        server.restart()
        eventually(lambda: len(calls) == 2)

        assert "an error of Ringproof's own" in caplog.text

    def test_none_is_repeated_while_redis_has_them(self, book):
        calls = []
        kept = book.ledger.last_accepts
        kept.keep(lambda: calls.append(1))
        kept.look()

        assert kept.look() == 0
        assert not calls

    def test_they_are_kept_for_a_minute_and_then_nobody_looks(self, book, monkeypatch):
        kept = book.ledger.last_accepts
        monkeypatch.setattr(last_accepts, "LOOK_SECONDS", 0.01)
        kept.keep(lambda: None)
        assert len(kept) == 1
        now = boot_clock()
        monkeypatch.setattr(last_accepts, "boot_clock", lambda: now + 61)

        eventually(lambda: not kept._is_watched())
        assert len(kept) == 0

    def test_while_redis_is_away_none_gets_too_old(self, server, book, monkeypatch):
        kept = book.ledger.last_accepts
        kept.keep(lambda: None)
        eventually(lambda: kept._known)
        server.kill()
        now = boot_clock()
        monkeypatch.setattr(last_accepts, "boot_clock", lambda: now + 61)
        with pytest.raises(LedgerUnavailable):
            kept.look()

        assert len(kept) == 1

    def test_there_are_at_most_ten_thousand(self, book):
        kept = book.ledger.last_accepts
        for _ in range(last_accepts.MOST_KEPT + 5):
            kept.keep(int)

        assert len(kept) == last_accepts.MOST_KEPT

    def test_a_child_process_begins_without_any(self, book):
        kept = book.ledger.last_accepts
        kept.keep(int)
        child = os.fork()
        if not child:
            kept.keep(int)
            os._exit(len(kept))

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1

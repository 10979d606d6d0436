"""One attempt: it sends when it is its turn and there is time, tells the ledger, and otherwise sends nothing."""

import logging
from datetime import timedelta

import pytest
from book import Book
from harness import AUTH_ID, AUTH_TOKEN
from pydantic import SecretStr

from tasks.attempt import attempt, insist
from worker.errors import LedgerUnavailable
from worker.ledger import Durations
from worker.plivo import PlivoClient
from worker.record import Reason, State


@pytest.fixture
def to_plivo(plivo):
    client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), plivo.base_url)
    yield client
    client.close()


def test_whose_turn_it_is_sends_and_tells(client, plivo, to_plivo):
    book = Book(client)
    attempt(book.ledger, to_plivo, book.number, book.accept(alias="Front desk", channel="call").request)

    (send,) = plivo.sends(book.number)
    assert (send["alias"], send["channel"]) == ("Front desk", "call")
    assert book.record.verification_uuid == send["verification_uuid"]


def test_whose_turn_it_is_not_sends_nothing(client, plivo, to_plivo, caplog):
    caplog.set_level(logging.INFO)
    book = Book(client)
    request = book.accept().request
    book.begin(request)
    attempt(book.ledger, to_plivo, book.number, request)

    assert plivo.sends(book.number) == []
    assert "nothing to send" in caplog.text


def test_the_last_look_sends_nothing_once_the_slot_is_too_long_ago(client, plivo, to_plivo):
    book = Book(client, durations=Durations(first_byte=timedelta(milliseconds=-1)))
    attempt(book.ledger, to_plivo, book.number, book.accept().request)

    assert plivo.sends(book.number) == []
    assert (book.record.state, book.record.reason, book.record.attempts) == (State.WAITING, Reason.PACE, 0)
    assert book.record.live_until is None
    assert book.record.due_at <= book.record.updated_at, "due at once"


def test_the_ledger_is_asked_until_it_answers():
    answers = [LedgerUnavailable("redis://", "away"), LedgerUnavailable("redis://", "away"), "told"]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert insist(ask) == "told"


def test_or_for_as_long_as_it_makes_sense():
    def ask():
        raise LedgerUnavailable("redis://", "away")

    with pytest.raises(LedgerUnavailable):
        insist(ask, seconds=0.1)

"""One attempt: it sends when it is its turn and there is time, tells the ledger, and otherwise sends nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr
from support.harness import AUTH_ID, AUTH_TOKEN
from support.number_in_ledger import Book

from ringproof.batches.erasure import erase_number
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.durations import Durations
from ringproof.ledger.pace import replace_slot, reserve_slot
from ringproof.ledger.record import Reason, State
from ringproof.plivo.client import PlivoClient
from ringproof.policy import Policy, Rate
from worker.celery import shutdown
from worker.sending.attempt import attempt
from worker.sending.retry import until_ledger_answers


@pytest.fixture
def to_plivo(plivo):
    client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), plivo.base_url)
    yield client
    client.close()


def attempted(book, to_plivo, **options):
    asked_at = boot_clock()
    return attempt(book.ledger, to_plivo, book.begin(book.accept(**options).request), asked_at)


def test_whose_turn_it_is_sends_and_tells(client, plivo, to_plivo):
    book = Book(client)
    attempted(book, to_plivo, alias="Front desk", channel="call")

    (send,) = plivo.sends(book.number)
    assert (send["alias"], send["channel"]) == ("Front desk", "call")
    assert book.record.verification_uuid == send["verification_uuid"]


def test_whose_slot_holds_no_longer_goes_back_and_sends_nothing(client, plivo, to_plivo, monkeypatch):
    monkeypatch.setattr(shutdown, "sleep_unless_stopping", lambda _: True)
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("1/4s")))
    client.delete(book.keys.pace)  # so that the first window is spent: the slot is far away
    begun = book.begin(book.accept().request)
    book.hold()

    assert attempt(book.ledger, to_plivo, begun, boot_clock()) is False
    assert plivo.sends(book.number) == []
    assert (book.record.state, book.record.attempts) == (State.QUEUED, 0)


def test_a_slot_that_was_missed_is_booked_anew(client, plivo, to_plivo):
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("10/1s")))
    late = replace(book.begin(book.accept().request), at=boot_clock() - 1)
    slots = book.slots()

    assert attempt(book.ledger, to_plivo, late, boot_clock()) is True
    assert len(plivo.sends(book.number)) == 1
    assert book.slots() >= slots + 106_000, "it has paid for another"


def test_a_slot_that_was_missed_is_not_booked_anew_in_a_pause(client, plivo, to_plivo):
    book = Book(client)
    late = replace(book.begin(book.accept().request), at=boot_clock() - 1)
    book.hold()
    slots = book.slots()

    assert attempt(book.ledger, to_plivo, late, boot_clock()) is True
    assert plivo.sends(book.number) == []
    assert (book.record.state, book.record.reason, book.record.attempts) == (State.WAITING, Reason.PACE, 0)
    assert book.slots() == slots


def test_nor_for_a_number_that_was_erased(client):
    book = Book(client)
    begun = book.begin(book.accept().request)
    erase_number(book.ledger, book.number)
    slots = book.slots()

    assert replace_slot(book.ledger, begun.record) is None
    assert book.slots() == slots


def test_nor_is_one_that_was_booked_anew_used_in_a_pause(client, plivo, to_plivo, monkeypatch):
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("1/2s")))
    begun = book.begin(book.accept().request)
    reserve_slot(book.ledger)  # so that the next one is seconds away
    monkeypatch.setattr(shutdown, "sleep_unless_stopping", lambda seconds: seconds <= 0 or book.hold() or True)

    assert attempt(book.ledger, to_plivo, replace(begun, at=boot_clock() - 1), boot_clock()) is False
    assert plivo.sends(book.number) == []
    assert (book.record.state, book.record.attempts) == (State.QUEUED, 0)


def test_the_last_look_sends_nothing_once_the_slot_is_too_long_ago(client, plivo, to_plivo):
    book = Book(client, durations=Durations(first_byte=timedelta(milliseconds=-1)))
    attempted(book, to_plivo)

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

    assert until_ledger_answers(ask) == "told"


def test_or_for_as_long_as_it_makes_sense(monkeypatch):
    def ask():
        raise LedgerUnavailable("redis://", "away")

    with pytest.raises(LedgerUnavailable):
        until_ledger_answers(ask, seconds=0.1)
    monkeypatch.setattr(shutdown, "_told_here", True)
    with pytest.raises(LedgerUnavailable):
        until_ledger_answers(ask, ends_with_worker=True)

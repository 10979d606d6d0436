"""Sends that have missed their slots: those that come together get others in one call, and none waits for good."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.harness import eventually, fresh_number
from support.number_in_ledger import Book

from ringproof.errors import LeaseOver, LedgerDamaged
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from worker.sending import late_sends
from worker.sending.late_sends import LateSends


@pytest.fixture
def ledger(client):
    return Book(client).ledger


@pytest.fixture
def late(client, ledger):
    """Return sends that were begun, and have missed their slots."""
    book, begun = Book(client), []
    book.ledger, book.keys = ledger, ledger.keys
    for _ in range(late_sends.MOST_AT_ONCE + 2):
        book.number = fresh_number()
        begun.append(book.begin(book.accept().request))
    return begun


def replaced_at_once(sends, late):
    """Have a thread for each send ask for another slot; return what each gets, or its error."""

    def replace(begun):
        try:
            return sends.replace(begun.record, begun.at_us, 0.0)
        except Exception as error:  # noqa: BLE001  # it is what the test looks at
            return error

    with ThreadPoolExecutor(len(late)) as pool:
        return list(pool.map(replace, late))


def damage(client, ledger, begun):
    client.delete(ledger.keys.record(begun.record.phone_number))
    client.set(ledger.keys.record(begun.record.phone_number), "junk")


def test_those_that_come_together_get_their_slots_in_one_call(ledger, late, monkeypatch):
    sends, calls, goes_on = LateSends(ledger), [], threading.Event()
    usual = late_sends.replace_slots

    def replace_slots(ledger, some, lead):
        calls.append(len(some))
        goes_on.wait(30)
        return usual(ledger, some, lead)

    monkeypatch.setattr(late_sends, "replace_slots", replace_slots)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(replaced_at_once, sends, late)
        eventually(lambda: len(sends._waiting) == len(late) - 1)
        goes_on.set()
        slots = asked.result()

    assert calls == [1, late_sends.MOST_AT_ONCE, len(late) - 1 - late_sends.MOST_AT_ONCE]
    assert len({slot.at_us for slot in slots}) == len(late), "each has one of its own"


def test_a_damaged_record_keeps_no_slot_from_the_others(ledger, late, client):
    damage(client, ledger, late[3])
    answers = replaced_at_once(LateSends(ledger), late)

    assert isinstance(answers.pop(3), LeaseOver)
    assert all(answer.at_us for answer in answers)


def test_a_redis_that_is_away_ends_their_leases(late):
    sends = LateSends(Ledger(connect("redis://127.0.0.1:1/0"), prefix="away"))

    assert {type(answer) for answer in replaced_at_once(sends, late)} == {LeaseOver}


def test_an_error_of_our_own_rises_in_each_thread(ledger, late, monkeypatch):
    def replace_slots(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(late_sends, "replace_slots", replace_slots)

    assert {type(one) for one in replaced_at_once(LateSends(ledger), late)} == {ZeroDivisionError}


def test_a_send_alone_with_a_damaged_record_sends_nothing(ledger, late, client):
    damage(client, ledger, late[0])
    (answer,) = replaced_at_once(LateSends(ledger), late[:1])

    assert isinstance(answer, LeaseOver)
    assert isinstance(answer.__cause__, LedgerDamaged)

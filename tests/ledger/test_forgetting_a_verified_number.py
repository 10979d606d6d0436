"""What the ledger forgets when a program has had Plivo remove a number."""

import pytest
from support.number_in_ledger import SENT, Book

from ringproof.ledger import reverification
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.confirmation import mark_verified
from ringproof.ledger.record import Reason, State
from ringproof.ledger.removal import forget_verified
from ringproof.plivo.client import VerifiedNumber


@pytest.fixture
def book(client):
    book = Book(client)
    book.bring(SENT, reverify_after_days=30)
    uuid = book.record.verification_uuid
    handle = "h" * 16
    book.client.hset(book.keys.record(book.number), mapping={"confirm": handle, "tries": 1})
    mark_verified(book.ledger, [VerifiedNumber(book.number, "", "US", None, None, "", uuid)], handle)
    assert book.record.state is State.VERIFIED
    assert reverification.next_date(book.ledger, book.number)
    return book


def test_a_verified_number_is_forgotten_with_its_schedule_and_can_have_a_code(book):
    assert forget_verified(book.ledger, book.number)
    assert (book.record.state, book.record.reason) == (State.EXPIRED, Reason.REMOVED)
    assert not book.record.is_verified
    assert reverification.next_date(book.ledger, book.number) is None
    assert not forget_verified(book.ledger, book.number)
    assert book.accept().disposition is Disposition.ACCEPTED


def test_a_resend_that_is_under_way_goes_on(book):
    book.move(book.ledger.durations.code)
    book.bring(SENT, kind=RequestKind.RESEND)

    assert forget_verified(book.ledger, book.number)
    assert book.record.state is State.CODE_SENT
    assert not book.record.is_verified
    assert reverification.next_date(book.ledger, book.number) is None


def test_an_unknown_number_is_nothing_to_forget(client):
    book = Book(client)

    assert not forget_verified(book.ledger, book.number)
    assert book.record is None

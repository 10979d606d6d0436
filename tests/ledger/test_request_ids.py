"""Opaque ids: the same one for the same caller, no number in them, and gone with the number."""

import uuid
from datetime import timedelta

import pytest
from support.harness import fresh_number

from ringproof.batches.erasure import erase_number
from ringproof.ledger.request_ids import IdentifiedRequest, identified, identify

KEEP = timedelta(minutes=1)
OWNER, OTHER = "MAOWNER0000000000000", "MAOTHER0000000000000"


@pytest.fixture
def own():
    return IdentifiedRequest(fresh_number(), 1764374400, OWNER, is_own=True)


def of(request, owner=OWNER, *, is_own=False):
    return IdentifiedRequest(request.number, request.request, owner, is_own)


def test_an_id_stands_for_its_request(ledger, own):
    request_id = identify(ledger, own, keep=KEEP)

    assert identified(ledger, request_id, keep=KEEP) == own


def test_an_id_is_a_uuid_and_shows_no_digits_of_the_number(ledger, own):
    request_id = identify(ledger, own, keep=KEEP)

    assert uuid.UUID(request_id).version == 8
    assert own.number[-7:] not in request_id


def test_the_same_request_has_one_id_for_one_caller_and_another_for_each_other_one(ledger, own):
    ids = [
        identify(ledger, own, keep=KEEP),
        identify(ledger, own, keep=KEEP),
        identify(ledger, own, asker="user 17", keep=KEEP),
        identify(ledger, of(own, OTHER), keep=KEEP),
    ]

    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_request_that_is_the_callers_own_stays_so(ledger, own):
    identify(ledger, own, keep=KEEP)
    repeated = identify(ledger, of(own), keep=KEEP)
    others = identify(ledger, of(own, OTHER), keep=KEEP)

    assert identified(ledger, repeated, keep=KEEP).is_own
    assert not identified(ledger, others, keep=KEEP).is_own


def test_an_unknown_id_stands_for_nothing(ledger):
    assert identified(ledger, str(uuid.uuid4()), keep=KEEP) is None


def test_using_an_id_keeps_it(ledger, own):
    request_id = identify(ledger, own, keep=timedelta(seconds=1))
    identified(ledger, request_id, keep=KEEP)

    assert ledger.run("pttl", ledger.keys.request_id(request_id)) > 30_000


def test_erasing_a_number_deletes_its_ids_and_no_others(ledger, own):
    another = of(IdentifiedRequest(fresh_number(), 1764374400, OWNER, is_own=True), is_own=True)
    erased = [identify(ledger, own, asker=asker, keep=KEEP) for asker in ("", "user 17")]
    kept = identify(ledger, another, keep=KEEP)
    erase_number(ledger, own.number)

    assert [identified(ledger, one, keep=KEEP) for one in erased] == [None, None]
    assert identified(ledger, kept, keep=KEEP) == another


def test_a_repr_does_not_show_the_number(own):
    assert own.number[-7:] not in repr(own)

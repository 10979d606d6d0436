"""An erased number leaves no trace except a tombstone: of a live code, and of what counts for its caps."""

import json
import secrets
from contextlib import suppress

import pytest
from support.harness import fresh_number
from support.number_in_ledger import MINUTES, SENT, Book
from support.roster_of_batch import Batches, import_rows

from ringproof.batches import feeding, operations
from ringproof.batches.erasure import erase_number
from ringproof.batches.importing import begin_import
from ringproof.batches.model import BatchState
from ringproof.batches.rows import batch_rows
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Outcome, Settled, Verdict
from ringproof.ledger.confirmation import NextStep, Source, check_code, mark_verified, store_code, take_code
from ringproof.ledger.record import Lane, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy
from ringproof.rosters.roster import roster_of


@pytest.fixture
def book(client):
    return Book(client)


def traces(book, number=None):
    """Return all keys of the ledger with the number or its digits in the key or in the value."""
    digits = (number or book.number)[1:]
    keys = []
    for key in book.client.scan_iter(f"{book.prefix}:*", count=1000):
        kind = book.client.type(key)
        value = {
            "hash": book.client.hgetall,
            "string": book.client.get,
            "zset": lambda one: book.client.zrange(one, 0, -1),
            "set": lambda one: sorted(book.client.smembers(one)),
            "list": lambda one: book.client.lrange(one, 0, -1),
        }[kind](key)
        if digits in key + json.dumps(value):
            keys.append(key)
    return keys


def hmacs(book):
    return list(book.client.scan_iter(f"{book.prefix}:erased:*"))


@pytest.mark.parametrize("state", [*State, None])
def test_nothing_of_a_number_is_left_whatever_its_state_was(book, state):
    if state:
        request = book.accept(token=f"message:{secrets.token_hex(4)}:{book.number}", alias="Front desk").request
        if state not in {State.QUEUED, State.CANCELLED}:
            begun = book.begin(request)
            if state is State.WAITING:
                book.settle(begun, Outcome(State.WAITING, wait=MINUTES))
            elif state is not State.SENDING:
                book.settle(begun, Outcome(state, verification_uuid="u", api_id="a"))
        if state is State.CANCELLED:
            book.ledger.cancel(book.number, request)
        if state is not State.QUEUED:
            book.move(2 * MINUTES)
            book.accept(RequestKind.RESEND)
        assert traces(book)

    assert erase_number(book.ledger, book.number) == (state is not None)
    assert traces(book) == []
    assert book.record is None


def test_a_number_with_a_live_code_gets_no_second_one_and_its_tombstone_expires(book, client):
    book.bring(SENT)
    erase_number(book.ledger, book.number)
    (left,) = hmacs(book)
    assert 86_300 < client.ttl(left) <= 86_400, "the code counts for a day"
    assert 0 < client.ttl(book.keys.erased) <= 86_400

    answer = book.accept()
    assert answer.disposition is Disposition.RETURNED
    assert (book.record.state, book.record.verification_uuid, hmacs(book)) == (State.EXPIRED, None, [])
    assert book.ledger.read(book.number, answer.request).state is State.EXPIRED, "its result is there at once"
    assert client.ttl(book.keys.record(book.number)) > 0
    book.move(16 * MINUTES)
    assert book.accept().disposition is Disposition.ACCEPTED


@pytest.mark.parametrize(
    ("kind", "disposition"),
    [
        (RequestKind.PERSON, Disposition.RETURNED),
        (RequestKind.ROSTER, Disposition.LIVE),
        (RequestKind.RESEND, Disposition.COOLING_DOWN),
    ],
)
def test_a_new_request_is_answered_as_for_an_expired_number_with_a_live_code(book, kind, disposition):
    book.bring(SENT)
    erase_number(book.ledger, book.number)

    assert book.accept(kind).disposition is disposition


def test_a_resend_is_accepted_when_the_cooldown_is_over(book):
    book.bring(SENT)
    erase_number(book.ledger, book.number)
    book.move(2 * MINUTES)

    assert book.accept(RequestKind.RESEND).disposition is Disposition.ACCEPTED


def test_the_cooldown_goes_on_after_a_sync_has_brought_the_verified_number_back(book):
    book.bring(SENT)
    uuid = book.record.verification_uuid
    listed = VerifiedNumber(book.number, "", "US", None, None, "", uuid)
    mark_verified(book.ledger, [listed], "h" * 16)
    erase_number(book.ledger, book.number)
    for _ in range(2):
        mark_verified(book.ledger, [listed], source=Source.LIST)

    record = book.record
    assert (record.state, record.verification_uuid) == (State.VERIFIED, uuid)
    assert book.accept(RequestKind.RESEND).disposition is Disposition.COOLING_DOWN
    book.move(2 * MINUTES)
    assert book.accept(RequestKind.RESEND).disposition is Disposition.ACCEPTED


def test_no_tombstone_is_left_of_a_number_that_got_no_code_in_a_day(book):
    book.bring(SENT)
    book.move(24 * 60 * MINUTES)
    erase_number(book.ledger, book.number)

    assert hmacs(book) == []
    assert book.accept().disposition is Disposition.ACCEPTED


def test_an_attempt_in_flight_is_not_recorded_and_gets_no_second_code(book):
    begun = book.begin(book.accept().request)
    erase_number(book.ledger, book.number)

    assert book.settle(begun, SENT) is Settled.STALE
    answer = book.accept()
    assert answer.disposition is Disposition.RETURNED
    assert answer.request > begun.record.request


def test_a_queued_request_is_not_sent(book):
    request = book.accept().request
    erase_number(book.ledger, book.number)

    assert book.begin(request).verdict is Verdict.NOTHING
    assert work_off_agenda(book.ledger, 10, dict.fromkeys(Lane, "test.queue")) == []


def test_its_code_cannot_be_entered_any_more(book):
    book.bring(SENT)
    erase_number(book.ledger, book.number)

    handle = store_code(book.ledger, check_code("1234"))
    assert take_code(book.ledger, book.number, handle).step is NextStep.NOTHING


def test_another_number_is_not_taken_for_it(book):
    book.bring(SENT)
    erase_number(book.ledger, book.number)
    book.number = fresh_number()

    assert book.accept().disposition is Disposition.ACCEPTED


def test_the_counter_of_its_range_stays(client):
    book = Book(client)
    book.ledger.publish_policy(Policy(range_codes_per_hour=1))
    book.begin(book.accept().request)
    erase_number(book.ledger, book.number)
    other = book.number[:-1] + str((int(book.number[-1]) + 1) % 10)

    assert book.ledger.accept(other, token="t").disposition is Disposition.CAPPED


def test_the_date_of_the_next_verification_and_the_lapsed_mark_are_deleted(book):
    book.ledger.publish_policy(Policy(reverify_ms=90 * 86_400_000, range_codes_per_hour=0))
    book.bring(SENT)
    book.client.hset(book.keys.record(book.number), "verified_at", 1)
    known = VerifiedNumber(book.number, "", "US", book.now(), book.now(), "", SENT.verification_uuid)
    mark_verified(book.ledger, [known])
    book.client.zadd(book.keys.lapsed, {book.number: 1})
    assert book.keys.renewals in traces(book)
    erase_number(book.ledger, book.number)

    assert traces(book) == []


class TestARow:
    """A row of an erased number keeps its country and its outcome, which are counted."""

    @pytest.fixture
    def world(self, client, monkeypatch):
        return Batches(client, monkeypatch)

    def test_with_an_outcome_stays_counted(self, world):
        number = world.roster("spring", 3)[1]
        world.until_empty()
        import_rows(world.ledger, "summer", [{"phone": number, "alias": "Front desk"}])
        world.until_empty()
        assert len(traces(world, number)) >= 3

        assert erase_number(world.ledger, number)
        assert traces(world, number) == []
        assert world.summary("spring").outcomes == {"code_sent": 3}
        assert world.summary("summer").outcomes == {"live": 1}
        assert [row.number for row in batch_rows(world.ledger, "summer")] == [""]
        assert [row.alias for row in batch_rows(world.ledger, "summer")] == [None]

    def test_without_an_outcome_becomes_erased(self, world):
        number = world.roster("spring", 3)[1]
        world.feed()
        erase_number(world.ledger, number)

        assert number not in world.until_empty()
        assert world.summary("spring").outcomes == {"code_sent": 2, "erased": 1}
        assert world.summary("spring").state is BatchState.COMPLETED
        assert traces(world, number) == []

    def test_that_is_pending_is_skipped_by_the_feeder(self, world):
        number = world.roster("spring", 3)[1]
        assert erase_number(world.ledger, number)
        assert world.summary("spring").outcomes == {"pending": 3}

        assert len(world.until_empty()) == 2
        assert world.summary("spring").outcomes == {"code_sent": 2, "erased": 1}
        assert world.summary("spring").state is BatchState.COMPLETED

    def test_that_the_feeder_has_read_already_is_skipped_too(self, world):
        number = world.roster("spring", 3)[1]
        (batch,) = feeding.batches_to_feed(world.ledger)
        portion = feeding.next_page(world.ledger, batch, "sms", 10)
        erase_number(world.ledger, number)

        assert len(feeding.feed_page(world.ledger, batch, "sms", portion, {})) == 2
        assert traces(world, number) == []

    def test_that_failed_is_not_retried(self, world):
        number = world.roster("spring", 3)[1]
        world.until_empty(Outcome(State.FAILED, "rejected"))
        erase_number(world.ledger, number)

        assert operations.retry(world.ledger, "spring", ["rejected"]) == 2
        assert number not in world.until_empty()
        assert world.summary("spring").outcomes == {"code_sent": 2, "failed:rejected": 1}

    def test_that_is_pending_is_cancelled_with_its_batch(self, world):
        number = world.roster("spring", 3)[1]
        erase_number(world.ledger, number)
        operations.cancel(world.ledger, "spring")

        assert world.summary("spring").outcomes == {"cancelled": 3}

    def test_that_is_being_imported_is_erased_and_the_import_can_continue(self, world):
        numbers = [fresh_number() for _ in range(2000)]
        rows = [{"phone": number} for number in numbers]
        with suppress(ConnectionError), begin_import(world.ledger, "spring", fingerprint="f") as importing:
            for row in list(roster_of(rows))[:1500]:
                importing.add(row)
            raise ConnectionError
        erase_number(world.ledger, numbers[7])
        with begin_import(world.ledger, "spring", fingerprint="f") as importing:
            for row in roster_of(rows):
                importing.add(row)
            importing.finish()

        assert len(world.until_empty()) == 1999
        assert world.summary("spring").outcomes == {"code_sent": 1999, "erased": 1}

    def test_of_an_expired_batch_is_no_row_of_the_next_batch_of_that_name(self, world, client):
        number, _ = world.roster("spring", 2)
        world.until_empty()
        client.delete(*client.scan_iter(f"{world.prefix}:batch:spring*"))
        world.pass_(90 * 86_400)
        others = world.roster("spring", 2)
        import_rows(world.ledger, "summer", [number])
        erase_number(world.ledger, number)

        assert [row.number for row in batch_rows(world.ledger, "spring")] == others
        assert world.summary("spring").outcomes == {"pending": 2}

    def test_is_erased_even_if_an_earlier_batch_had_the_number_at_the_same_place(self, world, client):
        numbers = world.roster("spring", 2)
        world.until_empty()
        client.delete(*client.scan_iter(f"{world.prefix}:batch:spring*"))
        world.pass_(10)
        import_rows(world.ledger, "spring", numbers)
        erase_number(world.ledger, numbers[0])

        assert not any(numbers[0] in row for row in client.lrange(world.ledger.keys.batch("spring").lists[0], 0, -1))

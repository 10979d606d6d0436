"""What is erased leaves no trace, but for a code that lives: that is not doubled."""

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
from ringproof.ledger.acceptance import Disposition, Requester
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Outcome, Settled, Verdict
from ringproof.ledger.confirmation import NextStep, check_code, mark_verified, store_code, take_code
from ringproof.ledger.record import Lane, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy
from ringproof.rosters.roster import roster_of


@pytest.fixture
def book(client):
    return Book(client)


def traces(book, number=None):
    """All keys and values of the book's ledger in which the number or its digits are."""
    digits = (number or book.number)[1:]
    found = []
    for key in book.client.scan_iter(f"{book.prefix}:*", count=1000):
        kind = book.client.type(key)
        told = {
            "hash": book.client.hgetall,
            "string": book.client.get,
            "zset": lambda one: book.client.zrange(one, 0, -1),
            "set": lambda one: sorted(book.client.smembers(one)),
            "list": lambda one: book.client.lrange(one, 0, -1),
        }[kind](key)
        if digits in key + json.dumps(told):
            found.append(key)
    return found


def hmacs(book):
    return list(book.client.scan_iter(f"{book.prefix}:erased:*"))


@pytest.mark.parametrize("state", [*State, None])
def test_nothing_of_a_number_is_left_in_any_state(book, state):
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
            book.accept(Requester.RESEND)
        assert traces(book)

    assert erase_number(book.ledger, book.number) == (state is not None)
    assert traces(book) == []
    assert book.record is None


def test_a_code_that_lives_is_not_doubled_and_then_nothing_is_left(book, client):
    book.bring(SENT)
    erase_number(book.ledger, book.number)
    (left,) = hmacs(book)
    assert 0 < client.ttl(left) <= 15 * 60
    assert 0 < client.ttl(book.keys.erased) <= 15 * 60

    asked = book.accept()
    assert asked.disposition is Disposition.RETURNED
    assert (book.record.state, book.record.verification_uuid, hmacs(book)) == (State.EXPIRED, None, [])
    assert book.ledger.read(book.number, asked.request).state is State.EXPIRED, "its result is there at once"
    assert client.ttl(book.keys.record(book.number)) > 0
    book.move(15 * MINUTES)
    assert book.accept().disposition is Disposition.ACCEPTED


@pytest.mark.parametrize(
    ("requester", "disposition"),
    [
        (Requester.PERSON, Disposition.RETURNED),
        (Requester.ROSTER, Disposition.LIVE),
        (Requester.RESEND, Disposition.COOLING_DOWN),
    ],
)
def test_whoever_asks_is_told_as_of_an_expired_number_whose_code_lives(book, requester, disposition):
    book.bring(SENT)
    erase_number(book.ledger, book.number)

    assert book.accept(requester).disposition is disposition


def test_a_resend_is_accepted_when_the_cooldown_is_over(book):
    book.bring(SENT)
    erase_number(book.ledger, book.number)
    book.move(2 * MINUTES)

    assert book.accept(Requester.RESEND).disposition is Disposition.ACCEPTED


def test_without_a_code_that_may_live_nothing_at_all_is_left(book):
    book.bring(SENT)
    book.move(16 * MINUTES)
    erase_number(book.ledger, book.number)

    assert hmacs(book) == []
    assert book.accept().disposition is Disposition.ACCEPTED


def test_what_is_being_sent_then_is_told_to_nobody_and_not_doubled(book):
    begun = book.begin(book.accept().request)
    erase_number(book.ledger, book.number)

    assert book.settle(begun, SENT) is Settled.STALE
    asked = book.accept()
    assert asked.disposition is Disposition.RETURNED
    assert asked.request > begun.record.request


def test_what_was_queued_is_not_sent(book):
    request = book.accept().request
    erase_number(book.ledger, book.number)

    assert book.begin(request).verdict is Verdict.NOTHING
    assert work_off_agenda(book.ledger, 10, dict.fromkeys(Lane, "nobody")) == []


def test_its_code_cannot_be_entered_any_more(book):
    book.bring(SENT)
    erase_number(book.ledger, book.number)

    handle = store_code(book.ledger, check_code("1234"))
    assert take_code(book.ledger, book.number, handle).step is NextStep.NOTHING


def test_another_number_is_not_held_for_it(book):
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


def test_nothing_is_left_of_when_it_was_to_be_verified_again_and_that_it_had_lapsed(book):
    book.ledger.publish_policy(Policy(reverify_ms=90 * 86_400_000, range_codes_per_hour=0))
    book.bring(SENT)
    book.client.hset(book.keys.record(book.number), "verified_at", 1)
    known = VerifiedNumber(book.number, "", "US", book.now(), book.now(), "", SENT.verification_uuid)
    mark_verified(book.ledger, [known])
    book.client.sadd(book.keys.lapsed, book.number)
    assert book.keys.renewals in traces(book)
    erase_number(book.ledger, book.number)

    assert traces(book) == []


class TestARow:
    """What is left of a number that is in batches: its country and what became of it, to be counted."""

    @pytest.fixture
    def world(self, client, monkeypatch):
        return Batches(client, monkeypatch)

    def test_that_was_sent_to_stays_counted(self, world):
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

    def test_that_waited_is_erased_which_is_an_outcome(self, world):
        number = world.roster("spring", 3)[1]
        world.feed()
        erase_number(world.ledger, number)

        assert number not in world.until_empty()
        assert world.summary("spring").outcomes == {"code_sent": 2, "erased": 1}
        assert world.summary("spring").state is BatchState.COMPLETED
        assert traces(world, number) == []

    def test_whose_turn_has_not_come_is_passed_over(self, world):
        number = world.roster("spring", 3)[1]
        assert erase_number(world.ledger, number)
        assert world.summary("spring").outcomes == {"pending": 3}

        assert len(world.until_empty()) == 2
        assert world.summary("spring").outcomes == {"code_sent": 2, "erased": 1}
        assert world.summary("spring").state is BatchState.COMPLETED

    def test_that_is_in_the_feeders_hands_is_passed_over_as_well(self, world):
        number = world.roster("spring", 3)[1]
        (batch,) = feeding.batches_to_feed(world.ledger)
        portion = feeding.next_page(world.ledger, batch, "sms", 10)
        erase_number(world.ledger, number)

        assert len(feeding.feed_page(world.ledger, batch, "sms", portion, {})) == 2
        assert traces(world, number) == []

    def test_that_had_failed_is_not_asked_for_again(self, world):
        number = world.roster("spring", 3)[1]
        world.until_empty(Outcome(State.FAILED, "rejected"))
        erase_number(world.ledger, number)

        assert operations.retry(world.ledger, "spring", ["rejected"]) == 2
        assert number not in world.until_empty()
        assert world.summary("spring").outcomes == {"code_sent": 2, "failed:rejected": 1}

    def test_of_a_batch_that_is_cancelled_is_cancelled(self, world):
        number = world.roster("spring", 3)[1]
        erase_number(world.ledger, number)
        operations.cancel(world.ledger, "spring")

        assert world.summary("spring").outcomes == {"cancelled": 3}

    def test_that_is_being_imported_is_forgotten_and_the_import_goes_on(self, world):
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

    def test_of_a_batch_that_is_forgotten_is_no_row_of_the_next_of_that_name(self, world, client):
        number, _ = world.roster("spring", 2)
        world.until_empty()
        client.delete(*client.scan_iter(f"{world.prefix}:batch:spring*"))
        world.pass_(90 * 86_400)
        others = world.roster("spring", 2)
        import_rows(world.ledger, "summer", [number])
        erase_number(world.ledger, number)

        assert [row.number for row in batch_rows(world.ledger, "spring")] == others
        assert world.summary("spring").outcomes == {"pending": 2}

    def test_that_an_earlier_batch_had_at_the_same_place_is_forgotten(self, world, client):
        numbers = world.roster("spring", 2)
        world.until_empty()
        client.delete(*client.scan_iter(f"{world.prefix}:batch:spring*"))
        world.pass_(10)
        import_rows(world.ledger, "spring", numbers)
        erase_number(world.ledger, numbers[0])

        assert not any(numbers[0] in row for row in client.lrange(world.ledger.keys.batch("spring").lists[0], 0, -1))

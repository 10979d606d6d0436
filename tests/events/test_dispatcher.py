"""The dispatcher: every event at least once, those of a number in their order, whatever fails."""

import secrets
import threading
from datetime import timedelta

import pytest
from support.harness import fresh_number
from support.number_in_ledger import SENT, Book
from support.receivers import Notebook

from ringproof.batches.erasure import erase_number, rewrite_append_only_file
from ringproof.events import outbox
from ringproof.events.delivery_status import deliveries, given_up_events, taken_events
from ringproof.events.dispatcher import GIVEN_UP_AFTER, LEFT_TO_NEWER, SCHEDULE, dispatch
from ringproof.events.event import EventKind
from ringproof.events.outbox import LEASE, Consumer
from ringproof.events.receiver import Receipt
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.answers import Outcome
from ringproof.ledger.record import Reason, State

FAILS = Receipt("answered 500")
HOUR = timedelta(hours=1)
REJECTED = Outcome(State.FAILED, Reason.REJECTED, "400")


@pytest.fixture
def book(client):
    book = Book(client)
    outbox.subscribe(book.ledger, Consumer.WEBHOOKS)
    return book


def happen(book, *outcomes, number=None):
    """Bring a number to these outcomes, one request after the other; return the number."""
    book.number = number or fresh_number()
    for outcome in outcomes:
        book.bring(outcome)
    return book.number


def delivery(book):
    return deliveries(book.ledger)[0]


def are_due(book):
    return outbox.due_consumers(book.ledger) == [Consumer.WEBHOOKS]


def test_each_event_is_delivered_once_if_nothing_fails(book):
    numbers = [happen(book, REJECTED, SENT) for _ in range(20)]
    receiver = Notebook()

    assert dispatch(book.ledger, receiver) == 40
    assert all(receiver.kinds(number) == [EventKind.FAILED, EventKind.CODE_SENT] for number in numbers)
    assert not are_due(book)
    assert delivery(book).behind == delivery(book).waiting == 0


def test_an_event_that_fails_holds_up_its_own_number_alone(book):
    bad, good = happen(book, REJECTED, SENT), happen(book, REJECTED, SENT)
    receiver = Notebook(lambda event: FAILS if event.phone_number == bad else Receipt())
    dispatch(book.ledger, receiver)

    assert receiver.kinds(good) == [EventKind.FAILED, EventKind.CODE_SENT]
    assert [event.kind for event in receiver.tried if event.phone_number == bad] == [EventKind.FAILED]
    assert delivery(book).waiting == 2


def test_a_later_event_waits_behind_an_earlier_one_of_its_number(book):
    number = happen(book, REJECTED)
    receiver = Notebook(lambda _: FAILS)
    dispatch(book.ledger, receiver)
    happen(book, SENT, number=number)
    dispatch(book.ledger, receiver)

    assert [event.kind for event in receiver.tried] == [EventKind.FAILED]
    receiver.fails = lambda _: Receipt()
    book.move(SCHEDULE[0] * 2)
    dispatch(book.ledger, receiver)
    assert receiver.kinds(number) == [EventKind.FAILED, EventKind.CODE_SENT]
    assert receiver.got[-1].code_sent_at == book.record.code_sent_at


def test_the_waits_are_those_of_the_schedule(book):
    happen(book, SENT)
    receiver = Notebook(lambda _: FAILS)
    dispatch(book.ledger, receiver)
    waits = []
    for wait in SCHEDULE[:3]:
        tried = len(receiver.tried)
        book.move(wait * 0.9)
        dispatch(book.ledger, receiver)
        assert len(receiver.tried) == tried, "it is too early"
        book.move(wait * 0.3)
        dispatch(book.ledger, receiver)
        waits.append(len(receiver.tried) - tried)

    assert waits == [1, 1, 1]


def test_a_receiver_may_ask_for_a_longer_wait(book):
    happen(book, SENT)
    receiver = Notebook(lambda _: Receipt("answered 429", HOUR))
    dispatch(book.ledger, receiver)
    book.move(HOUR * 0.9)
    assert not are_due(book)
    book.move(HOUR * 0.2)
    assert are_due(book)


def test_after_three_days_an_event_is_given_up_and_the_next_one_of_its_number_delivered(book):
    number = happen(book, REJECTED)
    receiver = Notebook(lambda event: FAILS if event.kind is EventKind.FAILED else Receipt())
    dispatch(book.ledger, receiver)
    happen(book, SENT, number=number)
    dispatch(book.ledger, receiver)
    book.move(GIVEN_UP_AFTER)
    dispatch(book.ledger, receiver)

    assert receiver.kinds(number) == [EventKind.CODE_SENT]
    assert delivery(book).given_up == 1
    ((entry_id, _, why),) = given_up_events(book.ledger, Consumer.WEBHOOKS, 10)
    assert why == "answered 500"
    assert entry_id == receiver.tried[0].entry_id


class TestAReceiverThatIsAway:
    def test_gets_a_single_event_now_and_then(self, book):
        for _ in range(30):
            happen(book, SENT)
        receiver = Notebook(lambda _: FAILS, threads=1)
        dispatch(book.ledger, receiver)
        assert len(receiver.tried) == 5

        for _ in range(20):
            book.move(timedelta(minutes=6))
            dispatch(book.ledger, receiver)
        assert len(receiver.tried) == 25
        assert delivery(book).behind == 0 or delivery(book).behind + delivery(book).waiting == 30

    def test_gets_everything_in_order_when_it_is_back(self, book):
        numbers = [happen(book, REJECTED, SENT) for _ in range(30)]
        receiver = Notebook(lambda _: FAILS)
        for _ in range(10):
            dispatch(book.ledger, receiver)
            book.move(timedelta(minutes=6))
        receiver.fails = lambda _: Receipt()
        dispatch(book.ledger, receiver)

        assert all(receiver.kinds(number) == [EventKind.FAILED, EventKind.CODE_SENT] for number in numbers)
        assert not are_due(book)
        assert delivery(book).failures == 0

    def test_gets_at_once_what_was_to_wait_for_longer(self, book):
        for _ in range(6):
            happen(book, SENT)
        receiver = Notebook(lambda _: Receipt("answered 503", HOUR), threads=1)
        dispatch(book.ledger, receiver)
        receiver.fails = lambda _: Receipt()
        book.move(timedelta(minutes=6))
        dispatch(book.ledger, receiver)

        assert len(receiver.got) == 6

    def test_is_not_taken_to_be_away_for_one_number_that_always_fails(self, book):
        bad = happen(book, SENT)
        receiver = Notebook(lambda event: FAILS if event.phone_number == bad else Receipt(), threads=1)
        for _ in range(8):
            dispatch(book.ledger, receiver)
            happen(book, SENT)
            book.move(timedelta(minutes=40))
        dispatch(book.ledger, receiver)

        assert len(receiver.got) == 8

    def test_is_tried_by_new_events_too_if_only_bad_ones_wait(self, book):
        bad = {happen(book, SENT) for _ in range(6)}
        receiver = Notebook(lambda event: FAILS if event.phone_number in bad else Receipt(), threads=1)
        for _ in range(4):
            dispatch(book.ledger, receiver)
            book.move(timedelta(minutes=6))
        good = happen(book, SENT)
        dispatch(book.ledger, receiver)

        assert receiver.kinds(good) == [EventKind.CODE_SENT]

    def test_for_days_gets_all_that_the_outbox_still_has(self, book):
        for _ in range(12):
            happen(book, SENT)
        receiver = Notebook(lambda _: FAILS, threads=1)
        dispatch(book.ledger, receiver)
        book.move(GIVEN_UP_AFTER)
        happen(book, SENT)
        receiver.fails = lambda _: Receipt()
        dispatch(book.ledger, receiver)

        assert len(receiver.got) == 13


def test_a_receiver_that_is_gone_gets_nothing_more_until_its_address_is_another_one(book):
    happen(book, SENT)
    happen(book, SENT)
    receiver = Notebook(lambda _: Receipt("answered 410", is_gone=True), threads=1)
    dispatch(book.ledger, receiver)
    book.move(HOUR)
    dispatch(book.ledger, receiver)

    assert len(receiver.tried) == 1
    assert not are_due(book)
    outbox.subscribe(book.ledger, Consumer.WEBHOOKS, receiver.address)
    assert delivery(book).is_gone
    outbox.subscribe(book.ledger, Consumer.WEBHOOKS, "elsewhere")
    receiver.fails = lambda _: Receipt()
    dispatch(book.ledger, receiver)
    assert len(receiver.got) == 2


def test_what_a_dispatcher_had_in_hand_when_it_died_is_delivered_by_the_next_one(book):
    number = happen(book, REJECTED, SENT)
    assert outbox.take_page(book.ledger, Consumer.WEBHOOKS, outbox.new_fence(), 100).chains
    receiver = Notebook()

    assert dispatch(book.ledger, receiver) == 0, "the lease of the dead one lasts"
    assert not are_due(book)
    book.move(LEASE * 1.1)
    assert dispatch(book.ledger, receiver) == 2
    assert receiver.kinds(number) == [EventKind.FAILED, EventKind.CODE_SENT]


def test_a_dispatcher_that_was_frozen_for_longer_than_its_lease_changes_nothing(book):
    happen(book, SENT)
    frozen = outbox.new_fence()
    page = outbox.take_page(book.ledger, Consumer.WEBHOOKS, frozen, 100)
    book.move(LEASE * 1.1)
    receiver = Notebook()
    dispatch(book.ledger, receiver)
    happen(book, SENT)
    other = outbox.new_fence()
    outbox.take_page(book.ledger, Consumer.WEBHOOKS, other, 100)

    late = outbox.PageResult(page.cursor, [], 7)
    assert not outbox.save_page(book.ledger, Consumer.WEBHOOKS, frozen, late)
    outbox.release(book.ledger, Consumer.WEBHOOKS, frozen)
    assert delivery(book).failures == 0
    assert dispatch(book.ledger, receiver) == 0, "the other one still has the lease"


def test_two_dispatchers_at_once_deliver_each_event_once(book):
    for _ in range(40):
        happen(book, SENT)
    receiver = Notebook()
    threads = [threading.Thread(target=dispatch, args=(book.ledger, receiver)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(receiver.got) == len({event.id for event in receiver.got}) == 40


def test_a_worker_that_stops_begins_no_further_event(book):
    number = happen(book, REJECTED, SENT)
    receiver = Notebook(threads=1)
    dispatch(book.ledger, receiver, lambda: bool(receiver.tried))

    assert receiver.kinds(number) == [EventKind.FAILED]
    assert are_due(book), "the next worker goes on at once"
    dispatch(book.ledger, receiver)
    assert receiver.kinds(number) == [EventKind.FAILED, EventKind.CODE_SENT]


def test_an_erased_number_has_no_events(book):
    waits, new = happen(book, SENT), happen(book, SENT)
    receiver = Notebook(lambda _: FAILS)
    dispatch(book.ledger, receiver)
    happen(book, REJECTED, number=fresh_number())
    for number in (waits, new):
        erase_number(book.ledger, number)
    book.move(HOUR)
    receiver.fails = lambda _: Receipt()
    dispatch(book.ledger, receiver)

    assert {event.phone_number for event in receiver.got} == {book.number}
    kept = str(book.client.xrange(book.keys.outbox)) + str(book.client.hgetall(book.keys.outbox_of("webhooks")[0]))
    assert waits not in kept
    assert new not in kept


def bytes_of(book):
    """Return the outbox as Redis keeps it in memory."""
    book.client.config_set("rdbcompression", "no")
    try:
        return book.client.dump(book.keys.outbox)
    finally:
        book.client.config_set("rdbcompression", "yes")


def test_with_a_rewrite_not_even_the_bytes_of_an_erased_numbers_events_are_left(book, monkeypatch):
    monkeypatch.setattr(outbox, "ENTRIES_AT_ONCE", 4)
    number, *others = [happen(book, REJECTED, SENT) for _ in range(6)]
    before = book.client.xrange(book.keys.outbox)
    erase_number(book.ledger, number)
    assert number.encode() in bytes_of(book)
    rewrite_append_only_file(book.ledger)

    assert number.encode() not in bytes_of(book)
    assert all(other.encode() in bytes_of(book) for other in others)
    assert book.client.xrange(book.keys.outbox) == [entry for entry in before if number not in entry[1]["e"]]
    assert book.client.ttl(book.keys.outbox) == -1
    assert not book.client.exists(book.keys.outbox_copy)
    dispatch(book.ledger, receiver := Notebook())
    assert len(receiver.got) == 10


def test_a_number_that_is_erased_while_its_event_is_delivered_stays_erased(book):
    number = happen(book, SENT)

    def erase(_):
        erase_number(book.ledger, number)
        return FAILS

    dispatch(book.ledger, Notebook(erase))

    assert delivery(book).waiting == 0


def test_events_are_delivered_once_more_behind_those_that_wait(book):
    number = happen(book, REJECTED, SENT)
    receiver = Notebook()
    dispatch(book.ledger, receiver)
    events = list(taken_events(book.ledger, Consumer.WEBHOOKS))

    assert outbox.replay(book.ledger, Consumer.WEBHOOKS, events) == 2
    assert outbox.replay(book.ledger, Consumer.WEBHOOKS, events) == 0, "they wait already"
    dispatch(book.ledger, receiver)
    assert receiver.kinds(number) == [EventKind.FAILED, EventKind.CODE_SENT] * 2
    assert receiver.got[:2] == receiver.got[2:], "they are the same events"


class TestTheOutboxIsTrimmed:
    def test_to_its_bound_and_says_who_has_lost_events(self, book):
        for _ in range(5):
            happen(book, SENT)
        dispatch(book.ledger, Notebook())
        for _ in range(5):
            happen(book, SENT)

        assert outbox.trim(book.ledger, most=3) == 7
        assert (delivery(book).trimmed, delivery(book).behind) == (2, 3)

    def test_of_what_is_too_old(self, book):
        happen(book, SENT)
        book.move(outbox.KEPT)
        outbox.subscribe(book.ledger, Consumer.WEBHOOKS)
        happen(book, SENT)

        assert outbox.trim(book.ledger) == 1
        assert delivery(book).trimmed == 1

    def test_of_a_consumer_that_has_given_no_sign_for_days(self, book):
        happen(book, SENT)
        book.move(outbox.FORGOTTEN_AFTER * 1.01)
        outbox.trim(book.ledger)

        assert not deliveries(book.ledger)
        happen(book, SENT)
        assert not list(book.client.scan_iter(f"{book.prefix}:outbox*"))

    def test_and_an_event_that_waited_until_then_counts_as_trimmed(self, book):
        happen(book, SENT)
        receiver = Notebook(lambda _: FAILS)
        dispatch(book.ledger, receiver)
        book.move(HOUR)
        outbox.trim(book.ledger, most=0)
        dispatch(book.ledger, receiver)

        assert len(receiver.tried) == 1
        assert (delivery(book).trimmed, delivery(book).waiting) == (1, 0)


def test_without_a_consumer_nothing_is_kept(client):
    book = Book(client)
    happen(book, SENT)

    assert not list(client.scan_iter(f"{book.prefix}:outbox*"))


def test_a_consumer_gets_the_events_from_its_first_sign_on(client):
    book = Book(client)
    happen(book, SENT)
    outbox.subscribe(book.ledger, Consumer.WEBHOOKS)
    number = happen(book, SENT)
    receiver = Notebook()
    dispatch(book.ledger, receiver)

    assert [event.phone_number for event in receiver.got] == [number]


def test_a_person_who_takes_over_a_row_makes_no_event_of_its_own(book):
    book.accept(RequestKind.ROSTER, token=secrets.token_hex(4))
    book.accept()
    dispatch(book.ledger, receiver := Notebook())

    assert not receiver.got


NEWER_EVENTS = (
    "z- {at} {number} 1764376800 i sms 1 3fa85f64-5717 - -",
    "v- {at} {number} 1764376800 x sms 1 3fa85f64-5717 - -",
    "v- later {number} 1764376800 i sms 1 3fa85f64-5717 - -",
    "moved {at} {number}",
)


@pytest.mark.parametrize("text", NEWER_EVENTS)
def test_an_event_that_only_a_newer_version_can_read_waits_for_its_dispatcher(book, text):
    newer, other = fresh_number(), happen(book, REJECTED)
    book.client.xadd(book.keys.outbox, {"e": text.format(at=1764376884123, number=newer)})
    happen(book, SENT, number=newer)
    receiver = Notebook()
    dispatch(book.ledger, receiver)

    assert receiver.kinds(other) == [EventKind.FAILED]
    assert receiver.kinds(newer) == [], "the events of a number come in their order"
    assert (delivery(book).waiting, delivery(book).failures) == (2, 0)
    for _ in range(5):
        book.move(LEFT_TO_NEWER * 2)
        assert are_due(book)
        dispatch(book.ledger, receiver)
    assert receiver.kinds(newer) == []
    assert len(list(taken_events(book.ledger, Consumer.WEBHOOKS))) == 3
    assert erase_number(book.ledger, newer)
    assert delivery(book).waiting == 0


def test_an_entry_of_another_form_keeps_no_event_waiting(book):
    book.client.xadd(book.keys.outbox, {"e2": "what nobody knows"})
    book.client.xadd(book.keys.outbox, {"e": ""})
    other = happen(book, REJECTED)
    receiver = Notebook()
    dispatch(book.ledger, receiver)

    assert receiver.kinds(other) == [EventKind.FAILED]
    assert book.client.xlen(book.keys.outbox) == 3

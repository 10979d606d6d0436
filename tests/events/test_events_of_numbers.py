"""Which events there are: one for each piece of news about a number or a batch, with what it says."""

from datetime import timedelta

import pytest
from support.harness import eventually, fresh_number
from support.number_in_ledger import MINUTES, SENT, UUID, Book
from support.receivers import Notebook
from support.roster_of_batch import import_rows

from ringproof.batches import feeding, operations
from ringproof.batches.erasure import erase_number
from ringproof.events import outbox
from ringproof.events.dispatcher import dispatch
from ringproof.events.event import Event, EventKind, entry_id_of
from ringproof.events.outbox import Consumer
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Outcome, Verdict
from ringproof.ledger.confirmation import Source, mark_verified
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Reason, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.results import verification_record

QUEUES = {lane: queue(lane) for lane in Lane}
K = EventKind
ANOTHER = Outcome(State.CODE_SENT, verification_uuid="another", api_id="1")


@pytest.fixture
def book(client):
    book = Book(client)
    outbox.subscribe(book.ledger, Consumer.WEBHOOKS)
    return book


def events(book):
    """Return the events since the last call."""
    receiver = Notebook(threads=1)
    dispatch(book.ledger, receiver)
    return receiver.got


def kinds(book):
    return [event.kind for event in events(book)]


def times(event):
    return event.code_sent_at, event.expires_at, event.verified_at


def enter_code(book, uuid=UUID):
    mark_verified(book.ledger, [VerifiedNumber(book.number, "", "US", None, None, "", uuid)], "a handle")


def expire(book):
    """Let the last code die; a scan of Plivo's list shows that nobody entered it."""
    book.move(16 * MINUTES)
    book.finish_scan()
    work_off_agenda(book.ledger, 100, QUEUES)


def test_a_code_that_is_sent_and_entered(book):
    request = book.bring(SENT).record.request
    enter_code(book)

    sent, verified = events(book)
    assert (sent.kind, sent.state, sent.is_verified) == (K.CODE_SENT, State.CODE_SENT, False)
    assert (verified.kind, verified.is_verified, verified.request) == (K.VERIFIED, True, request)
    assert sent.verification_uuid == verified.verification_uuid == UUID
    assert sent.at <= verified.at
    assert entry_id_of(sent.id) < entry_id_of(verified.id)


def test_a_request_that_fails_names_no_uuid_of_an_earlier_code(book):
    book.bring(SENT)
    expire(book)
    book.bring(Outcome(State.FAILED, Reason.REJECTED, "400"))

    *_, failed = events(book)
    assert (failed.kind, failed.reason, failed.verification_uuid) == (K.FAILED, Reason.REJECTED, None)
    assert times(failed) == (None, None, None)


def test_what_an_event_shares_with_the_record_is_what_the_record_says(book):
    book.bring(SENT)
    records = [verification_record(book.record)]
    enter_code(book)
    records.append(verification_record(book.record))

    for event, record in zip(events(book), records, strict=True):
        said = event.data()
        assert said["code_sent_at"] == record["code_sent_at"] is not None
        assert said == said | {name: record[name] for name in said.keys() & record.keys()}


def test_the_times_of_a_code_that_another_one_has_followed_are_unknown(book):
    book.bring(SENT)
    book.move(2 * MINUTES)
    book.bring(ANOTHER, kind=RequestKind.RESEND)
    enter_code(book)

    *_, verified = events(book)
    assert verified.verification_uuid == UUID
    assert times(verified) == (None, None, book.record.verified_at)


def test_the_times_of_a_code_that_was_in_doubt_are_unknown(book):
    book.bring(SENT)
    expire(book)
    book.bring(Outcome(State.IN_DOUBT, detail="timed out"))
    enter_code(book, "another")

    *_, doubt, verified = events(book)
    assert times(doubt) == (None, None, None)
    assert verified.verification_uuid == "another"
    assert times(verified) == (None, None, book.record.verified_at)


def test_older_versions_read_what_they_know_of_an_entry_in_its_first_field(book):
    book.bring(SENT)

    ((_, fields),) = book.client.xrange(book.keys.outbox)
    name, packed = next(iter(fields.items()))
    assert name == "e"
    assert packed.endswith(f" i sms - {UUID} - -")
    assert len(packed.split(" ")) == 10


@pytest.mark.parametrize("packed", [None, "", "- - -", "x 900000 1e3", "² 1.5 9999999999999 1"])
def test_an_entry_without_times_that_this_version_can_read_has_none(packed):
    fields = {"e": f"c- 1764376884123 +14155550123 1764376800 i sms - {UUID} - -"}
    fields |= {} if packed is None else {"t": packed}
    event = Event.unpack("1764376884123-0", fields)

    assert (event.kind, event.verification_uuid) == (K.CODE_SENT, UUID)
    assert times(event) == (None, None, None)


def test_a_doubt_and_its_end(book):
    begun = book.bring(Outcome(State.IN_DOUBT, detail="timed out"))
    book.settle(begun, SENT)

    assert kinds(book) == [K.IN_DOUBT, K.CODE_SENT]


def test_a_worker_that_is_lost(book):
    book.begin(book.accept().request)
    book.move(2 * MINUTES)
    work_off_agenda(book.ledger, 100, QUEUES)

    (doubt,) = events(book)
    assert (doubt.kind, doubt.reason) == (K.IN_DOUBT, Reason.WORKER_LOST)


def test_a_code_that_nobody_enters(book):
    book.bring(SENT)
    expire(book)

    assert kinds(book) == [K.CODE_SENT, K.EXPIRED]


def test_a_resend_that_nobody_enters_is_expired_though_the_number_stays_verified(book):
    book.bring(SENT)
    enter_code(book)
    book.move(2 * MINUTES)
    resend = book.bring(ANOTHER, kind=RequestKind.RESEND)
    expire(book)

    *_, last = events(book)
    assert book.record.state is State.VERIFIED
    assert (last.kind, last.is_verified, last.request) == (K.EXPIRED, True, resend.record.request)
    assert times(last) == (book.record.code_sent_at, book.record.expires_at, None)


def test_a_code_of_an_earlier_request_names_that_request(book):
    first = book.bring(SENT).record.request
    book.move(16 * MINUTES)
    book.finish_scan()
    work_off_agenda(book.ledger, 100, QUEUES)
    newer = book.accept().request
    enter_code(book)

    *_, verified = events(book)
    assert newer != first
    assert (verified.kind, verified.request) == (K.VERIFIED, first)


def test_what_plivo_has_and_nobody_asked_for_is_no_news(book):
    mark_verified(
        book.ledger, [VerifiedNumber(fresh_number(), "", "US", book.now(), book.now(), "", UUID)], source=Source.LIST
    )

    assert not events(book)


def test_a_number_that_an_erasure_brings_back_is_no_news(book):
    book.bring(SENT)
    events(book)
    erase_number(book.ledger, book.number)
    book.accept()

    assert book.record.state is State.EXPIRED
    assert not events(book)


def test_two_re_verifications_without_an_answer(book):
    book.bring(SENT)
    enter_code(book)
    for _ in range(2):
        book.move(timedelta(days=2))
        accepted = book.ledger.accept(
            book.number, token=str(book.now()), kind=RequestKind.REVERIFICATION, lane=Lane.SCHEDULED
        )
        begun = book.begin(accepted.request)
        book.settle(begun, Outcome(State.CODE_SENT, verification_uuid=str(book.now())[:40], api_id="1"))
        expire(book)

    assert kinds(book)[-3:] == [K.EXPIRED, K.CODE_SENT, K.LAPSED]


def has_begun(book, request):
    begun = book.begin(request)
    return begun.verdict is Verdict.BEGUN and begun


def test_a_batch_whose_last_row_has_its_outcome(book):
    numbers = [fresh_number(), fresh_number()]
    import_rows(book.ledger, "spring 2026", numbers)
    (batch,) = feeding.batches_to_feed(book.ledger)
    page = feeding.next_page(book.ledger, batch, "sms", 10)
    for row, request in feeding.feed_page(book.ledger, batch, "sms", page, {}):
        book.number = row.number
        begun = eventually(lambda request=request: has_begun(book, request))
        book.settle(begun, SENT)

    *sent, completed = events(book)
    assert {(event.kind, event.batch, event.lane) for event in sent} == {(K.CODE_SENT, "spring 2026", Lane.BULK)}
    assert (completed.kind, completed.batch, completed.phone_number) == (K.BATCH_COMPLETED, "spring 2026", None)
    assert '"type":"batch.completed"' in completed.as_json()
    assert '"data":{"batch":"spring 2026"}' in completed.as_json()


def test_a_batch_without_a_usable_row_is_completed_too(book):
    import_rows(book.ledger, "empty", ["12"])

    assert kinds(book) == [K.BATCH_COMPLETED]


def test_a_cancelled_batch_is_not_completed(book):
    import_rows(book.ledger, "spring", [fresh_number()])
    operations.cancel(book.ledger, "spring")

    assert not events(book)

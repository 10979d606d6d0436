"""The agenda: what time changes, which process changes it, and that no number is left behind."""

import itertools
from datetime import timedelta
from functools import partial

import pytest
from support.harness import LONG, fresh_number
from support.number_in_ledger import MINUTES, SENT, Book, near

from ringproof.errors import TooLate
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.agenda import repair_agenda, work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, Settled, Verdict
from ringproof.ledger.failures import failure_of
from ringproof.ledger.pace import reserve_slot
from ringproof.ledger.queues import LONGEST_QUEUE, claim_tick, queue
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Rate

SECOND = timedelta(seconds=1)
LINES = 100_000 if LONG else 10_000
QUEUES = {lane: queue(lane) for lane in Lane}


@pytest.fixture
def book(client):
    """A number with a stopped clock, because many tests come within a second of a moment at which something changes."""
    book = Book(client)
    book.stop()
    return book


@pytest.fixture
def queues(book):
    """Queues of this test alone."""
    return book.queues


@pytest.fixture
def due(book, queues):
    """Return a function that works off the agenda and returns the actions."""

    def work(limit=100):
        return [worked.action for worked in work_off_agenda(book.ledger, limit, queues)]

    return work


def test_nothing_is_due_before_its_time(book, due):
    book.accept()

    assert due() == []
    book.move(9 * SECOND)
    assert due() == []


def test_a_queued_number_is_enqueued_again_at_growing_intervals(book, due):
    book.accept(RequestKind.ROSTER)
    looked = []
    for second in range(3600):
        book.move(SECOND)
        if due() == [AgendaAction.ENQUEUE]:
            looked.append(second + 1)

    assert looked[:4] == pytest.approx([10, 20, 40, 80], rel=0.1)
    assert len(looked) <= 12
    assert all(later - earlier <= 602 for earlier, later in itertools.pairwise(looked))
    assert book.record.state is State.QUEUED


def test_a_request_fails_as_too_late_after_its_deadline_and_leaves_the_agenda(book, due):
    book.accept()
    book.move(15 * MINUTES + SECOND)

    assert due() == [AgendaAction.TOO_LATE]
    assert (book.record.state, book.record.reason) == (State.FAILED, Reason.TOO_LATE)
    assert book.agenda() is None


def test_a_request_that_never_reached_plivo_fails_as_unreachable_at_its_deadline(book, due):
    book.bring(Outcome(State.WAITING, Reason.UNREACHABLE, "refused", 14 * MINUTES))
    book.move(15 * MINUTES + SECOND)

    assert due() == [AgendaAction.TOO_LATE]
    assert (book.record.state, book.record.reason) == (State.FAILED, Reason.UNREACHABLE)
    assert type(failure_of(book.record)) is TooLate


def test_a_waiting_request_is_queued_again_when_it_is_due(book, due):
    book.bring(Outcome(State.WAITING, Reason.UNREACHABLE, "refused", MINUTES))
    book.move(59 * SECOND)
    assert due() == []
    book.move(2 * SECOND)

    assert due() == [AgendaAction.ENQUEUE]
    assert (book.record.state, book.record.reason, book.record.due_at) == (State.QUEUED, None, None)
    assert near(book.agenda(), book.now() + 10 * SECOND)
    assert book.begin(book.record.request).verdict is Verdict.BEGUN


def test_a_request_that_waits_beyond_its_deadline_fails_at_the_deadline(book, due):
    book.bring(Outcome(State.WAITING, Reason.UNREACHABLE, "refused", 60 * MINUTES))
    book.move(15 * MINUTES + SECOND)

    assert due() == [AgendaAction.TOO_LATE]


def test_a_lease_that_ends_leaves_a_doubt_until_the_last_possible_code_has_died(book, due):
    begun = book.begin(book.accept().request)
    book.move(44 * SECOND)
    assert due() == []
    book.move(2 * SECOND)

    assert due() == [AgendaAction.DOUBTED]
    assert (book.record.state, book.record.reason) == (State.IN_DOUBT, Reason.WORKER_LOST)
    assert book.agenda() == book.record.live_until == begun.record.lease_until + 15 * MINUTES


def test_a_slow_worker_may_settle_after_its_lease_has_ended(book, due):
    begun = book.begin(book.accept().request)
    book.move(46 * SECOND)
    due()

    assert book.settle(begun, SENT) is Settled.SETTLED
    assert (book.record.state, book.record.reason) == (State.CODE_SENT, None)
    assert book.agenda() == book.record.expires_at


def test_a_code_that_was_not_entered_expires_after_a_scan_of_plivos_list(book, due):
    book.bring(SENT)
    book.move(14 * MINUTES)
    book.finish_scan()
    book.move(MINUTES + SECOND)
    assert due() == [AgendaAction.LIST]
    assert book.record.state is State.CODE_SENT
    assert due() == []
    book.finish_scan()
    book.move(4 * SECOND)

    assert due() == [AgendaAction.EXPIRED]
    assert book.record.state is State.EXPIRED
    assert book.agenda() is None
    assert book.client.ttl(book.keys.record(book.number)) > 0


def test_a_code_expires_in_the_end_even_if_plivos_list_cannot_be_read(book, due):
    book.bring(SENT)
    book.move(3 * 24 * 60 * MINUTES)  # without a beat: no scan was requested before
    looks = 0
    while due() == [AgendaAction.LIST]:
        looks += 1
        book.move(60 * SECOND)

    assert looks == 15
    assert book.record.state is State.EXPIRED


def test_a_doubt_is_looked_up_each_minute_after_the_last_code_has_died_until_it_is_settled(book, due):
    book.bring(Outcome(State.IN_DOUBT, detail="504"))
    book.move(14 * MINUTES)
    assert due() == []
    book.move(2 * MINUTES)

    assert due() == [AgendaAction.LOOK_UP]
    assert due() == []
    book.move(61 * SECOND)
    assert due() == [AgendaAction.LOOK_UP]
    assert book.record.state is State.IN_DOUBT


def test_a_doubt_that_no_look_up_ends_is_looked_up_at_growing_intervals_and_fails_within_a_day(book, due):
    book.bring(Outcome(State.IN_DOUBT, detail="504"), kind=RequestKind.ROSTER)
    began, looks = book.now(), []
    while (last := due()) != [AgendaAction.UNDECIDED]:
        looks += last
        assert book.now() - began < timedelta(days=1)
        book.move(MINUTES)

    assert (book.record.state, book.record.reason, book.agenda()) == (State.FAILED, Reason.IN_DOUBT, None)
    assert set(looks) == {AgendaAction.LOOK_UP}
    assert 100 < len(looks) < 200


def test_a_doubt_is_looked_up_although_no_worker_ran_for_days(book, due):
    book.bring(Outcome(State.IN_DOUBT, detail="504"), kind=RequestKind.ROSTER)
    book.move(timedelta(days=3))

    assert due() == [AgendaAction.LOOK_UP]


def test_a_look_up_is_not_enqueued_while_the_queue_is_long(book, due, queues):
    book.bring(Outcome(State.IN_DOUBT, detail="504"), kind=RequestKind.ROSTER)
    book.client.rpush(queues[Lane.BULK], *range(LONGEST_QUEUE))
    book.move(17 * MINUTES)
    held = due()
    book.client.delete(queues[Lane.BULK])
    book.move(MINUTES)

    assert held == [AgendaAction.HELD]
    assert due() == [AgendaAction.LOOK_UP]


def test_an_entry_that_is_too_early_gets_its_right_time(book, due):
    for outcome in (SENT, Outcome(State.IN_DOUBT), Outcome(State.WAITING, Reason.PACE, wait=MINUTES)):
        book = Book(book.client)
        book.bring(outcome)
        when = book.agenda()
        book.client.zadd(book.keys.agenda, {book.number: 1})

        worked = work_off_agenda(book.ledger, 10, QUEUES)

        assert [entry.action for entry in worked] == [AgendaAction.KEPT]
        assert book.agenda() == when


def test_an_entry_without_a_record_is_removed(book, due):
    book.client.zadd(book.keys.agenda, {fresh_number(): 1})

    assert due() == [AgendaAction.GONE]
    assert book.client.zcard(book.keys.agenda) == 0


def test_due_entries_are_worked_off_in_order_and_in_portions(book, due):
    numbers = [fresh_number() for _ in range(50)]
    for number in numbers:
        book.ledger.accept(number, token=number)
        book.move(timedelta(milliseconds=5))
    book.move(40 * SECOND)

    order = [worked.phone_number for _ in range(5) for worked in work_off_agenda(book.ledger, 10, QUEUES)]

    assert order == numbers


def test_thousands_of_queued_numbers_and_no_worker_for_an_hour_make_a_thousand_messages(book, queues, client):
    agenda, records = book.keys.agenda, book.keys.record("")
    accepted = book.accept(RequestKind.ROSTER)
    packed = client.hgetall(records + book.number)
    with client.pipeline(transaction=False) as pipeline:
        for line in range(LINES):
            number = f"+1415{line:07d}"
            pipeline.hset(records + number, mapping=packed)
            pipeline.zadd(agenda, {number: int((book.now() + 30 * SECOND).timestamp() * 1000)})
        pipeline.execute()

    messages = 0
    for _ in range(60):
        book.move(MINUTES)
        while worked := work_off_agenda(book.ledger, 5000, queues):
            enqueued = [entry for entry in worked if entry.action is AgendaAction.ENQUEUE]
            messages += len(enqueued)
            if enqueued:  # what the sweep does: their messages, which no worker takes
                client.rpush(queues[Lane.BULK], *(entry.phone_number for entry in enqueued))

    assert accepted.request
    assert messages == 1000
    assert client.zcard(agenda) == LINES + 1


def test_three_days_without_a_beat_are_caught_up(client, due):
    def bring(outcome=None, begin=True):
        book = Book(client)
        request = book.accept(RequestKind.ROSTER).request
        begun = book.begin(request) if begin else None
        if outcome:
            book.settle(begun, outcome)
        return book

    books = {
        AgendaAction.TOO_LATE: [bring(begin=False), bring(Outcome(State.WAITING, Reason.UNREACHABLE, wait=MINUTES))],
        AgendaAction.EXPIRED: [bring(SENT)],
        AgendaAction.LOOK_UP: [bring(), bring(Outcome(State.IN_DOUBT))],
    }
    books[AgendaAction.TOO_LATE][0].move(timedelta(days=3))
    for last, found in books.items():
        for book in found:
            book.finish_scan()
            done = []
            while worked := work_off_agenda(book.ledger, 10, QUEUES):
                done += [entry.action for entry in worked]
            assert done[-1] is last
            assert len(done) <= 2


def test_the_agenda_repair_puts_lost_entries_back_and_nothing_else(client):
    book = Book(client)
    unfinished, final = [fresh_number() for _ in range(30)], [fresh_number() for _ in range(30)]
    for number in (*unfinished, *final):
        request = book.ledger.accept(number, token=number).request
        if number in final:
            book.ledger.cancel(number, request)
    client.delete(book.keys.agenda)

    mended = 0
    for _ in range(10_000):
        mended += repair_agenda(book.ledger, 500)
        if client.get(book.keys.repair_cursor) == "0":
            break

    assert mended == 30
    assert set(client.zrange(book.keys.agenda, 0, -1)) == set(unfinished)


def test_the_agenda_repair_rests_between_its_walks(client):
    book = Book(client)
    book.accept()
    walk = partial(repair_agenda, book.ledger, 1_000_000, every=MINUTES)
    walk()
    client.delete(book.keys.agenda)

    assert walk() == 0
    book.move(61 * SECOND)
    assert walk() == 1


def test_only_one_process_claims_a_tick(book):
    taken = [claim_tick(book.ledger, "sweep", MINUTES) for _ in range(10)]

    assert list(map(bool, taken)) == [True] + [False] * 9


def test_a_request_that_sends_no_code_can_reserve_a_slot(book):
    request = book.accept().request
    begun = book.begin(request)
    bucket = book.slots()
    at = reserve_slot(book.ledger)

    assert at > begun.at - 0.1
    assert book.slots() == bucket + Rate.parse("1000/0.1s").spacing_us


def test_each_entry_says_what_the_record_says_after_it(book, queues):
    book.bring(Outcome(State.IN_DOUBT))
    book.client.hset(book.keys.record(book.number), mapping={"batch": "spring", "row": "sms:17:US"})
    book.move(30 * MINUTES)
    book.client.hset(book.keys.record(book.number), "look_ups_from", 1)

    (entry,) = work_off_agenda(book.ledger, 10, queues)

    assert (entry.action, entry.state, entry.reason) == (AgendaAction.UNDECIDED, State.FAILED, Reason.IN_DOUBT)
    assert (entry.batch, entry.row) == ("spring", "sms:17:US")

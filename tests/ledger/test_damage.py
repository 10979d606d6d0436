"""Records that a person or another program has damaged: nobody else waits because of them, and they can be erased."""

from datetime import UTC, datetime

import pytest
from support.harness import fresh_number
from support.number_in_ledger import MINUTES, SENT, UUID, Book

from ringproof.batches.erasure import erase_number
from ringproof.errors import LedgerDamaged
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.agenda import release_refused, repair_agenda, work_off_agenda
from ringproof.ledger.answers import AgendaAction, Verdict
from ringproof.ledger.confirmation import Marked, mark_verified
from ringproof.ledger.record import State
from ringproof.plivo.client import VerifiedNumber

NO_HASH = "no hash"
"""In place of a field that has junk: there is a text under the record's key."""

FIELDS = {
    "request": "1764374400",
    "lane": "bulk",
    "channel": "sms",
    "country": "US",
    "batch": "spring",
    "row": "sms:0:US",
    "joined_by": "summer/autumn",
    "attempts": "1",
    "fence": "9f86d081884c7d65",
    "reason": "pace",
    "history": "q-t6i0l1s-t6i0l2",
    "updated_at": "1764374400000",
    "code_sent_at": "1764374400000",
    "verified_at": "1764374400000",
    "counted_at": "1764374400000",
    "ends_at": "1764374400000",
    "due_at": "1764374400000",
    "lease_until": "1764374400000",
    "live_until": "1764374400000",
    "live_before": "1764374400000",
    "expires_at": "1764374400000",
    "look_ups_from": "1764374400000",
    "codes": "t6i0l1",
    "tries": "1",
    "wrong": "1",
    "reverify_after": "30",
}
"""A record's fields, other than its state, as a script may have written them."""


@pytest.fixture
def book(client):
    book = Book(client)
    book.stop()
    book.run_batch("spring")
    return book


@pytest.fixture
def queues(book):
    return book.queues


@pytest.fixture
def damaged(book):
    """Write a damaged record; return its number. What is damaged in the end is removed."""
    numbers = []

    def write(state, where, **fields):
        numbers.append(number := fresh_number())
        key = book.keys.record(number)
        if where == NO_HASH:
            book.client.set(key, NO_HASH)
        else:
            book.client.hset(key, mapping={"state": state} | FIELDS | fields | {where: "Junk!"})
        return number

    yield write
    for number in numbers:
        book.client.delete(book.keys.record(number))


@pytest.mark.parametrize("state", [*State, "Junk!"])
def test_it_keeps_no_other_number_from_being_worked_off(book, queues, damaged, state):
    numbers = {where: damaged(state, where) for where in ("state", NO_HASH, *FIELDS)}
    book.client.zadd(book.keys.agenda, dict.fromkeys(numbers.values(), 1))
    book.accept(RequestKind.ROSTER)
    book.move(MINUTES)
    worked = {}
    while some := work_off_agenda(book.ledger, 10, queues):
        worked |= {one.phone_number: one.action for one in some}

    assert worked[book.number] is AgendaAction.ENQUEUE
    assert worked.keys() == {book.number, *numbers.values()}
    unusable = ("state", NO_HASH, "request", "lane")
    assert {worked[numbers[where]] for where in unusable} == {AgendaAction.DAMAGED}, "no message can be made of it"


@pytest.mark.parametrize("where", [NO_HASH, "request", "due_at"])
def test_it_keeps_nobody_behind_it_in_the_line_of_people(book, queues, damaged, where):
    number = damaged(State.WAITING, where, lane="interactive")
    book.client.zadd(book.keys.line("sms"), {number: 1})
    book.accept()
    book.client.hset(book.keys.record(book.number), mapping={"state": "waiting", "reason": "pace"})
    book.client.zadd(book.keys.line("sms"), {book.number: 2})
    worked = {one.phone_number: one.action for one in work_off_agenda(book.ledger, 10, queues)}

    assert worked[book.number] is AgendaAction.ENQUEUE
    assert book.client.zrange(book.keys.line("sms"), 0, -1) == []


@pytest.mark.parametrize("where", [NO_HASH, "request", "row"])
def test_it_keeps_nobody_waiting_for_a_destination_that_is_open_again(book, damaged, where):
    number = damaged(State.WAITING, where, reason="refused", ends_at="9" * 13)
    book.accept(RequestKind.ROSTER, country="US")
    changes = {"state": "waiting", "reason": "refused"}
    book.client.hset(book.keys.record(book.number), mapping=changes)
    waiting = book.keys.destinations_waiting
    book.client.zadd(waiting, {f"US/0/{number}": 0, f"US/1/{book.number}": 0})
    release_refused(book.ledger, 10)

    assert book.record.state is State.QUEUED
    assert book.client.zrange(waiting, 0, -1) == []
    assert book.client.zscore(book.keys.agenda, number) is not None, "it is looked at again"


def test_it_keeps_no_entry_from_being_put_back_on_the_agenda(book, damaged):
    numbers = [damaged(State.QUEUED, where) for where in (NO_HASH, *FIELDS)]
    book.accept()
    book.client.delete(book.keys.agenda)
    for _ in range(10_000):
        repair_agenda(book.ledger, 500)
        if book.client.get(book.keys.repair_cursor) == "0":
            break

    assert book.agenda() is not None
    assert book.client.get(book.keys.record(numbers[0])) == NO_HASH


@pytest.mark.parametrize("where", ["state", NO_HASH, *FIELDS])
def test_begin_refuses_a_portion_as_a_whole_or_begins_the_others(book, damaged, where):
    number = damaged(State.QUEUED, where, lane="interactive", ends_at="9" * 13, live_until="1")
    request = book.accept().request
    portion = [(number, int(FIELDS["request"])), (book.number, request)]
    try:
        _, begun = book.ledger.begin(portion)
    except LedgerDamaged:
        assert book.record.state is State.QUEUED
    else:
        assert begun.verdict is Verdict.BEGUN


@pytest.mark.parametrize("where", ["state", NO_HASH, "request", "lane", "due_at", "history", "attempts"])
def test_reading_it_says_what_to_do_and_not_which_number_it_is(book, damaged, where):
    number = damaged(State.QUEUED, where)
    with pytest.raises(LedgerDamaged, match="ringproof erase NUMBER") as raised:
        book.ledger.read(number)
    with pytest.raises(LedgerDamaged):
        book.ledger.read_many([(number, None)])

    assert number[2:-2] not in str(raised.value)


@pytest.mark.parametrize("where", ["state", NO_HASH, *FIELDS])
def test_it_can_be_erased(book, damaged, where):
    number = damaged(State.QUEUED, where)
    book.client.zadd(book.keys.agenda, {number: 1})

    assert erase_number(book.ledger, number)
    assert not book.client.exists(book.keys.record(number))
    assert book.client.zscore(book.keys.agenda, number) is None


def test_it_keeps_no_other_number_of_plivos_list_from_being_marked(book, damaged):
    request = book.accept().request
    book.settle(book.begin(request), SENT)
    now = datetime.now(UTC)
    numbers = [damaged(State.CODE_SENT, NO_HASH), book.number]
    found = [VerifiedNumber(number, "", "US", now, now, "", UUID) for number in numbers]

    assert mark_verified(book.ledger, found) == [Marked.GONE, Marked.VERIFIED]

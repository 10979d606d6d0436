"""The scan of Plivo's list: how far it reads, how often it asks, and that it misses no change in the meantime."""

import contextlib
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from support.harness import fresh_number
from support.number_in_ledger import MINUTES, Book, near

from ringproof.batches.erasure import erase_number
from ringproof.clock import boot_clock
from ringproof.errors import Unauthorized, Unreachable
from ringproof.ledger import plivo_list
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome
from ringproof.ledger.confirmation import Marked
from ringproof.ledger.pace import report_answer, reserve_slot
from ringproof.ledger.plivo_list import ListScan
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, State
from ringproof.plivo.client import Page, VerifiedNumber
from ringproof.policy import Policy, Rate
from tasks.plivo_list import scan_list

QUEUES = {lane: queue(lane) for lane in Lane}


class PlivoList:
    """Plivo's list: newest first, 20 a page."""

    def __init__(self):
        self.found, self.asked, self.meanwhile = [], [], lambda: None

    def add(self, number, when, uuid="of-another-time"):
        self.found.insert(0, VerifiedNumber(number, "", "US", when, when, "", uuid))

    def list(self, *, offset, before_first_byte):
        before_first_byte()
        self.asked.append(offset)
        page = tuple(self.found[offset : offset + 20])
        beyond = offset + 20 < len(self.found)
        answer = Page(page, offset + 20 if beyond else None, len(self.found), 0)
        self.meanwhile()
        return answer


class LedgerWithList(Book):
    """A ledger beside Plivo's list."""

    def __init__(self, client):
        super().__init__(client)
        self.plivo = PlivoList()
        reserve_slot(self.ledger)
        self.move(timedelta(seconds=1))  # past the first window

    def others(self, count, ago):
        """Add numbers of other programs, verified a second apart, the last one so long `ago`."""
        for n in range(count, 0, -1):
            self.plivo.add(fresh_number(), self.now() - ago - n * timedelta(seconds=1))

    def sent(self):
        """Send a code to a new number; return the number and the uuid."""
        number, uuid = fresh_number(), f"uuid-{fresh_number()[-7:]}"
        begun = self.ledger.begin([(number, self.ledger.accept(number, token=number).request)])[0]
        outcome = Outcome(State.CODE_SENT, verification_uuid=uuid, api_id=uuid)
        self.ledger.settle(number, begun.record.request, begun.fence, outcome)
        return number, uuid

    def due(self):
        return Counter(worked.action for worked in work_off_agenda(self.ledger, 1000, QUEUES))

    def scan(self, seconds=2.0):
        return scan_list(self.ledger, self.plivo, seconds)

    def state(self, number):
        return self.ledger.read(number).state


@pytest.fixture
def book(client):
    return LedgerWithList(client)


def test_the_list_is_not_read_while_no_code_has_died(book):
    book.sent()
    book.move(14 * MINUTES)

    assert book.due() == Counter()
    assert not plivo_list.is_scan_requested(book.ledger, ListScan.RECONCILE)
    assert book.scan() == Counter()
    assert book.plivo.asked == []


def test_a_number_on_the_list_is_verified_and_another_one_expires(book):
    (here, uuid), (away, _) = book.sent(), book.sent()
    book.move(MINUTES)
    book.plivo.add(here, book.now(), uuid)
    book.move(15 * MINUTES)
    assert book.due() == Counter({AgendaAction.LIST: 2})
    assert plivo_list.is_scan_requested(book.ledger, ListScan.RECONCILE)

    assert book.scan() == Counter({Marked.VERIFIED: 1})
    assert not plivo_list.is_scan_requested(book.ledger, ListScan.RECONCILE)
    book.move(timedelta(seconds=4))
    assert book.due() == Counter({AgendaAction.EXPIRED: 1})
    assert (book.state(here), book.state(away)) == (State.VERIFIED, State.EXPIRED)


def test_a_scan_that_began_before_a_codes_end_does_not_let_it_expire(book):
    book.sent()
    book.move(MINUTES)
    later, _ = book.sent()
    book.move(14 * MINUTES + timedelta(seconds=5))
    book.due()
    book.scan()
    book.move(MINUTES)

    assert book.due() == Counter({AgendaAction.EXPIRED: 1, AgendaAction.LIST: 1})
    assert book.state(later) is State.CODE_SENT


def test_a_scan_ends_where_the_last_one_began(book):
    book.others(100, ago=timedelta(hours=2))
    for asked in (5, 1):
        book.sent()
        book.move(16 * MINUTES)
        book.due()
        book.plivo.asked.clear()
        book.scan()
        assert len(book.plivo.asked) == asked, "the first one goes back a day"
    book.sent()
    book.move(16 * MINUTES)
    book.due()
    book.others(50, ago=timedelta())
    book.plivo.asked.clear()
    book.scan()

    assert book.plivo.asked == [0, 20, 40]


def test_a_date_in_the_future_does_not_end_the_next_scan_early(book):
    book.others(20, ago=timedelta(hours=2))
    book.plivo.add(fresh_number(), book.now() + timedelta(days=365))
    for new in (0, 50):
        book.sent()
        book.move(16 * MINUTES)
        book.due()
        book.others(new, ago=timedelta())
        book.plivo.asked.clear()
        book.scan()

    assert book.plivo.asked == [0, 20, 40]


def test_the_first_scan_goes_back_only_a_day(book):
    book.others(100, ago=timedelta(days=30))
    book.sent()
    book.move(16 * MINUTES)
    book.due()
    book.scan()

    assert book.plivo.asked == [0]


def test_numbers_that_are_added_or_deleted_during_a_scan_hide_no_other(book):
    book.others(30, ago=MINUTES)
    number, uuid = book.sent()
    book.plivo.add(number, book.now(), uuid)
    book.others(20, ago=timedelta())  # it is the first of the second page
    book.move(16 * MINUTES)
    book.due()

    def meanwhile():
        if len(book.plivo.asked) == 1:
            del book.plivo.found[3]  # and with that, the last of the first
        elif len(book.plivo.asked) == 3:
            book.plivo.add(fresh_number(), book.now())

    book.plivo.meanwhile = meanwhile
    book.scan()

    assert book.state(number) is State.VERIFIED
    assert not plivo_list.is_scan_requested(book.ledger, ListScan.RECONCILE)


def test_a_scan_uses_a_tenth_of_the_pace_and_a_slot_for_each_page(client, monkeypatch):
    book = LedgerWithList(client)
    book.stop()
    slept = [0.0]

    def sleep(seconds):
        slept[0] += max(seconds, 0.0)
        book.move(timedelta(seconds=max(seconds, 0.0)))
        return True

    began = boot_clock()
    for module in ("tasks.plivo_list", "ringproof.ledger.plivo_list", "worker.sending.final_check"):
        monkeypatch.setattr(f"{module}.boot_clock", lambda: began + slept[0])
    monkeypatch.setattr("tasks.plivo_list.shutdown.sleep_unless_stopping", sleep)
    book.ledger.publish_policy(Policy(rate=Rate.parse("100/1s"), range_codes_per_hour=0))
    book.move(timedelta(seconds=2))
    book.others(200, ago=MINUTES)
    book.sent()
    book.move(16 * MINUTES)
    book.due()
    spacing, before = Rate.parse("100/1s").spacing_us, book.slots()
    book.scan(seconds=0.5)
    first = len(book.plivo.asked)
    while plivo_list.is_scan_requested(book.ledger, ListScan.RECONCILE):
        book.scan(seconds=0.5)

    assert first == 5, "one at once, and one each 106 ms"
    assert sorted(set(book.plivo.asked)) == list(range(0, 200, 20))
    assert book.slots() > before + 10 * 9 * spacing


def test_two_workers_read_no_page_twice(book):
    book.stop()
    book.others(100, ago=MINUTES)
    book.sent()
    book.move(16 * MINUTES)
    book.due()
    turns = [plivo_list.take_page(book.ledger, ListScan.RECONCILE) for _ in range(2)]
    assert [turn.page is not None for turn in turns] == [True, False]
    page = turns[0].page

    assert plivo_list.page_done(book.ledger, page, 20, None, 100, {})
    assert not plivo_list.page_done(book.ledger, page, 20, None, 100, {})


@pytest.mark.parametrize("error", [Unreachable("refused"), Unauthorized("401")])
def test_a_page_without_an_answer_is_read_again_and_a_401_pauses_all(book, error):
    number, uuid = book.sent()
    book.plivo.add(number, book.now() + MINUTES, uuid)
    book.move(16 * MINUTES)
    book.due()

    def refuse():
        raise error

    book.plivo.meanwhile = refuse
    with pytest.raises(type(error)):
        book.scan()
    book.plivo.meanwhile = lambda: None
    if isinstance(error, Unauthorized):
        assert book.scan() == Counter(), "until Plivo knows the credentials again"
        report_answer(book.ledger, "known")

    assert book.scan() == Counter({Marked.VERIFIED: 1})
    assert not plivo_list.is_scan_requested(book.ledger, ListScan.RECONCILE)


def test_an_entry_of_last_year_does_not_verify_todays_doubt(book):
    number = fresh_number()
    request = book.ledger.accept(number, token=number).request
    begun = book.ledger.begin([(number, request)])[0]
    book.ledger.settle(number, request, begun.fence, Outcome(State.IN_DOUBT))
    book.plivo.add(number, datetime.now(UTC) - timedelta(days=365), "of-last-year")
    book.sent()
    book.move(16 * MINUTES)
    book.due()

    assert book.scan() == Counter({Marked.STALE: 1})
    assert book.state(number) is State.IN_DOUBT


class TestSync:
    """A sync reads the whole list, although it changes in the meantime."""

    def sync(self, book):
        plivo_list.request_scan(book.ledger, ListScan.SYNC)
        for _ in range(50):
            if not plivo_list.is_scan_requested(book.ledger, ListScan.SYNC):
                return plivo_list.scan_progress(book.ledger, ListScan.SYNC)
            with contextlib.suppress(Unreachable):
                scan_list(book.ledger, book.plivo, 0.5, ListScan.SYNC)
        raise AssertionError

    def test_a_sync_records_all_numbers_although_pages_fail_and_entries_come_and_go(self, book):
        book.others(200, ago=MINUTES)
        numbers = [one.phone_number for one in book.plivo.found]
        chosen = random.Random(4)
        deleted = set()

        def meanwhile():
            for _ in range(chosen.randrange(4)):
                book.plivo.add(fresh_number(), book.now())
            for _ in range(chosen.randrange(4)):
                deleted.add(book.plivo.found.pop(chosen.randrange(len(book.plivo.found))).phone_number)
            if chosen.random() < 0.3:
                raise Unreachable("503")

        book.plivo.meanwhile = meanwhile
        self.sync(book)
        left = [number for number in numbers if number not in deleted]

        assert len(left) > 100
        assert {book.state(number) for number in left if book.ledger.read(number)} == {State.VERIFIED}
        assert [number for number in left if not book.ledger.read(number)] == []

    def test_a_sync_notes_a_verified_number_while_a_resend_is_queued(self, book):
        number = fresh_number()
        book.plivo.add(number, book.now())
        self.sync(book)
        book.move(2 * MINUTES)
        book.ledger.accept(number, token="t", kind=RequestKind.RESEND)
        before = book.now() - MINUTES
        self.sync(book)

        assert book.state(number) is State.QUEUED
        assert book.ledger.read(number).checked_at > before

    @pytest.mark.parametrize("country", ["us", "US", "", "?"])
    def test_a_country_is_in_upper_case_and_the_numbers_own_if_plivo_has_none(self, book, country):
        number = fresh_number()
        book.plivo.found.append(VerifiedNumber(number, "", country, book.now(), book.now(), "", "uuid"))
        self.sync(book)

        assert book.ledger.read(number).country == "US"

    def test_a_sync_verifies_an_expired_number_by_plivos_word_and_not_by_its_code(self, book):
        number, _ = book.sent()
        book.move(16 * MINUTES)
        book.finish_scan()
        book.due()
        assert book.state(number) is State.EXPIRED
        book.plivo.add(number, book.now() - timedelta(days=365), "of-last-year")
        self.sync(book)

        record = book.ledger.read(number)
        assert (record.state, record.verified_uuid) == (State.VERIFIED, "of-last-year")
        assert not record.is_code_used

    def test_a_number_that_was_erased_while_its_code_is_live_gets_no_second_code(self, book):
        number, _ = book.sent()
        erase_number(book.ledger, number)
        book.move(timedelta(seconds=6))
        book.plivo.add(number, book.now() - timedelta(days=365))
        live_until = book.now() + timedelta(minutes=15, seconds=30) - timedelta(seconds=6)
        assert self.sync(book).counts == {Marked.RECORDED: 1}
        resend = book.ledger.accept(number, token="t", kind=RequestKind.RESEND)

        assert resend.disposition is Disposition.COOLING_DOWN
        assert near(book.ledger.read(number).live_until, live_until)

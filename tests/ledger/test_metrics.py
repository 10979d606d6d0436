"""The counts of the metrics: each thing is counted once, by the script that makes it so, with bounded labels."""

from collections import Counter
from datetime import timedelta

import pytest
from support.harness import fresh_number
from support.number_in_ledger import SENT, UUID, Book

from ringproof.batches.erasure import erase_number
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Outcome, PlivoSignal, Settled
from ringproof.ledger.confirmation import check_code, end_try, mark_verified, store_code, take_code
from ringproof.ledger.metrics import HTTP, Count, Histogram, add_counts, read_counts, unpack
from ringproof.ledger.pace import replace_slots, reserve_slot
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Reason, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy, Rate

REJECTED = Outcome(State.FAILED, Reason.REJECTED, "400", plivo_signal=PlivoSignal.ANSWERED)
DOUBTFUL = Outcome(State.IN_DOUBT, plivo_signal=PlivoSignal.DOUBTFUL)
FAST = Rate.parse("1000/0.1s")


@pytest.fixture
def book(client):
    return Book(client)


def counts(book, name):
    """Return the counts of a name, by their country and labels."""
    return {(one.country, *one.labels): one.count for one in read_counts(book.ledger) if one.name == name}


def in_doubt(book):
    return book.client.zrange(book.keys.in_doubt, 0, -1)


def enter_code(book, *, is_right):
    handle = store_code(book.ledger, check_code("123456"))
    take_code(book.ledger, book.number, handle)
    if is_right:
        mark_verified(book.ledger, [VerifiedNumber(book.number, "", "US", None, None, "", UUID)], handle)
    else:
        end_try(book.ledger, book.number, handle)
    return handle


def test_a_request_and_its_outcome_are_counted_once_each(book):
    begun = book.bring(SENT, country="US", channel="call")

    assert book.settle(begun, SENT) is Settled.ALREADY
    assert counts(book, "accepted") == {("US", "call", "interactive"): 1}
    assert counts(book, "outcome") == {("US", "code_sent", "-", "call", "interactive"): 1}


def test_a_request_that_is_not_accepted_counts_as_none(book):
    book.bring(SENT, country="US")

    assert book.accept(country="US").disposition is Disposition.RETURNED
    assert counts(book, "accepted") == {("US", "sms", "interactive"): 1}


def test_an_outcome_has_its_reason_and_its_lane(book):
    book.bring(REJECTED, country="GB", kind=RequestKind.ROSTER)

    assert counts(book, "outcome") == {("GB", "failed", "rejected", "sms", "bulk"): 1}


def test_an_outcome_is_what_the_script_decided_and_not_what_its_caller_proposed(book):
    book.bring(
        Outcome(State.FAILED, Reason.FORBIDDEN, "402", plivo_signal=PlivoSignal.NO_CREDIT),
        country="US",
        kind=RequestKind.ROSTER,
    )

    assert counts(book, "outcome") == {("US", "waiting", "refused", "sms", "bulk"): 1}


def test_an_expired_code_counts_also_if_its_number_stays_verified(book):
    book.bring(SENT, country="US")
    enter_code(book, is_right=True)
    book.move(timedelta(minutes=2))
    book.bring(SENT, country="US", kind=RequestKind.RESEND)
    book.move(timedelta(minutes=16))
    book.finish_scan()
    work_off_agenda(book.ledger, 10, {lane: queue(lane) for lane in Lane})

    assert book.record.state is State.VERIFIED
    assert counts(book, "outcome")["US", "expired", "-", "sms", "interactive"] == 1


def test_codes_that_were_entered_and_wrong_ones_are_counted_by_country(book):
    book.bring(SENT, country="US")
    enter_code(book, is_right=False)
    end_try(book.ledger, book.number, enter_code(book, is_right=False))
    handle = enter_code(book, is_right=True)
    mark_verified(book.ledger, [VerifiedNumber(book.number, "", "US", None, None, "", UUID)], handle)

    assert counts(book, "wrong_code") == {("US",): 2}
    assert counts(book, "entered") == {("US", "sms", "interactive"): 1}


def test_a_slot_is_counted_for_who_got_it(book):
    begun = book.begin(book.accept(country="US").request)
    replace_slots(book.ledger, [(begun.record, begun.at_us)])
    reserve_slot(book.ledger)
    book.number = fresh_number()
    book.begin(book.accept(RequestKind.ROSTER, channel="call").request)

    assert counts(book, "slot") == {
        ("-", "interactive", "sms"): 1,
        ("-", "again", "sms"): 1,
        ("-", "question", "sms"): 1,
        ("-", "bulk", "call"): 1,
    }


@pytest.mark.parametrize("ending", ["an answer", "a newer request", "an erasure"])
def test_a_doubt_is_listed_until_it_ends(book, ending):
    begun = book.bring(DOUBTFUL)
    assert in_doubt(book) == [book.number]

    if ending == "an answer":
        book.settle(begun, SENT)
    elif ending == "a newer request":
        book.move(timedelta(minutes=2))
        book.accept(RequestKind.RESEND)
    else:
        erase_number(book.ledger, book.number)
    assert in_doubt(book) == []


def test_a_country_that_gets_no_codes_has_no_count_of_its_own(book):
    book.ledger.publish_policy(Policy(rate=FAST, call_rate=FAST, countries=("US", "CA")))
    for country in ("US", "US"):
        book.number = fresh_number()
        book.bring(SENT, country=country)
    book.client.hset(book.keys.record(book.number), "country", "FR")
    enter_code(book, is_right=True)
    enter_code(book, is_right=False)

    assert counts(book, "outcome") == {
        ("US", "code_sent", "-", "sms", "interactive"): 2,
        ("other", "verified", "-", "sms", "interactive"): 1,
    }
    assert counts(book, "entered") == {("other", "sms", "interactive"): 1}


def test_there_are_no_more_counts_than_a_scrape_can_read(book):
    book.client.hset(book.keys.metrics, mapping={f"junk {nth}": 1 for nth in range(4000)})
    book.bring(SENT, country="US")
    book.number = fresh_number()
    book.bring(SENT, country="US")

    assert counts(book, "outcome") == {("other", "code_sent", "-", "sms", "interactive"): 2}


def test_counts_that_redis_refuses_cost_no_result(book):
    book.client.set(book.keys.metrics, "no hash")
    book.bring(SENT)

    assert book.record.state is State.CODE_SENT


def test_what_a_process_adds_counts_once_for_each_token(book):
    fields = Counter(dict(HTTP.fields(("send", "taken"), 0.07)))

    assert add_counts(book.ledger, fields, "first")
    assert not add_counts(book.ledger, fields, "first")
    assert add_counts(book.ledger, fields, "second")
    assert counts(book, "http") == {("-", "send", "taken", "0.1"): 2}
    assert counts(book, "http_ms") == {("-", "send", "taken"): 140}


def test_a_histogram_gives_its_buckets_as_prometheus_wants_them():
    histogram = Histogram("http", (0.1, 1.0))
    fields = Counter()
    for seconds in (0.05, 0.1, 0.5, 30.0):
        fields.update(dict(histogram.fields(("send", "taken"), seconds)))

    assert histogram.of(unpack({name: str(count) for name, count in fields.items()})) == {
        ("send", "taken"): ([("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)], 30.65)
    }


def test_what_is_no_count_is_left_out():
    fields = {
        "accepted US sms bulk": "3",
        "accepted \x1b[2J sms bulk": "3",
        "accepted US sms bulk a b c": "3",
        "accepted US sms": "-1",
        "accepted GB sms": "9" * 400,
    }

    assert unpack(fields) == [Count("accepted", "US", ("sms", "bulk"), 3)]

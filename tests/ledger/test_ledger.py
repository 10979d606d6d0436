"""The ledger: which worker may send, once; the answer to a new request; the size of a record."""

import itertools
import secrets
import time
from datetime import UTC, datetime, timedelta
from inspect import cleandoc
from textwrap import dedent

import pytest
import redis
from support.harness import fresh_number
from support.number_in_ledger import MINUTES, SENT, UUID, Book, near

from ringproof.clock import epoch_ms
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import acceptance, answers, control
from ringproof.ledger.acceptance import TABLE, Disposition, RequestKind
from ringproof.ledger.answers import Outcome, PlivoSignal, Settled, Settlement, Verdict, Written
from ringproof.ledger.durations import Durations
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import reserve_slot
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import Policy, Rate

DOUBTFUL = Outcome(State.IN_DOUBT, plivo_signal=PlivoSignal.DOUBTFUL)


@pytest.fixture
def book(client):
    return Book(client)


def test_a_request_is_accepted_begun_and_settled(book):
    accepted = book.accept(alias="Front desk", channel="call", country="US")
    begun = book.begin(accepted.request)
    settled = book.settle(begun, SENT)

    assert (accepted.disposition, begun.verdict, settled) == (
        Disposition.ACCEPTED,
        Verdict.BEGUN,
        Settled.SETTLED,
    )
    record = book.record
    assert (record.state, record.alias, record.channel, record.country) == (
        State.CODE_SENT,
        "Front desk",
        "call",
        "US",
    )
    assert record.verification_uuid == record.api_id == UUID
    assert record.attempts == 1
    assert near(record.code_sent_at, book.now())
    assert record.expires_at - record.code_sent_at == 15 * MINUTES
    assert record.live_until - record.expires_at == timedelta(seconds=30)
    assert [change.state for change in record.history] == [State.QUEUED, State.SENDING, State.CODE_SENT]


def test_the_example_in_the_ledgers_docstring_is_true(client):
    _, _, example = cleandoc(Ledger.__doc__).partition(":\n\n")
    ledger = Ledger(client, prefix=f"t{secrets.token_hex(4)}", policy=Policy(rate=Rate.parse("1000/0.1s")))

    exec(  # noqa: S102  # our own text
        dedent(example), {**vars(answers), **vars(acceptance), "time": time, "ledger": ledger}
    )

    assert "assert" in example


def test_a_number_is_sending_before_any_byte_goes_to_plivo(book):
    begun = book.begin(book.accept().request)

    assert book.record.state is State.SENDING
    assert near(book.record.lease_until, book.now() + timedelta(seconds=45) + begun.wait)
    assert book.record.live_until == book.record.lease_until + 15 * MINUTES


def test_only_one_of_many_callers_begins_a_number(book):
    request = book.accept().request

    verdicts = [book.begin(request).verdict for _ in range(5)]

    assert verdicts == [Verdict.BEGUN] + [Verdict.NOTHING] * 4


def test_a_replaced_request_begins_nothing(book):
    older = book.bring(Outcome(State.FAILED, Reason.REJECTED)).record.request
    newer = book.accept().request

    assert newer > older
    assert book.begin(older).verdict is Verdict.NOTHING
    assert book.begin(newer).verdict is Verdict.BEGUN


def test_an_unknown_number_begins_nothing(book):
    begun = book.begin(1)

    assert (begun.verdict, begun.record) == (Verdict.NOTHING, None)


def test_a_request_is_not_sent_after_its_deadline(book):
    accepted = book.accept()
    book.move(16 * MINUTES)

    assert book.begin(accepted.request).verdict is Verdict.ENDED
    assert (book.record.state, book.record.reason) == (State.FAILED, Reason.TOO_LATE)
    assert book.agenda() is None


def test_bulk_requests_have_a_deadline_of_a_day(book):
    accepted = book.accept(RequestKind.ROSTER)
    book.move(23 * 60 * MINUTES)

    assert book.begin(accepted.request).verdict is Verdict.BEGUN


def test_a_slot_after_the_deadline_is_not_reserved(client):
    book = Book(client)
    request = book.accept().request
    book.ledger.publish_policy(Policy(rate=Rate.parse("1/1200s")))

    assert book.begin(request).verdict is Verdict.ENDED
    assert book.record.reason is Reason.TOO_LATE


def test_a_late_settle_dates_the_code_from_plivos_answer(book):
    begun = book.begin(book.accept().request)
    book.move(10 * MINUTES)
    book.ledger.settle(book.number, begun.record.request, begun.fence, SENT, ago=9 * MINUTES)

    assert near(book.record.code_sent_at, book.now() - 9 * MINUTES)
    assert near(book.record.expires_at, book.now() + 6 * MINUTES)


def test_request_numbers_start_at_redis_seconds_so_that_an_erased_one_never_returns(book):
    first = book.accept().request
    book.client.delete(book.keys.record(book.number))
    book.move(timedelta(seconds=1))

    assert abs(first - book.now().timestamp()) < 5
    assert book.accept().request > first


SENDS = {State.CODE_SENT: SENT, State.EXPIRED: SENT, State.VERIFIED: SENT, State.IN_DOUBT: Outcome(State.IN_DOUBT)}
FAILS = {
    State.FAILED: Outcome(State.FAILED, Reason.REJECTED),
    State.WAITING: Outcome(State.WAITING, Reason.UNREACHABLE, wait=10 * MINUTES),
}


def bring_to(book, state, live):
    """Bring the number to a state, with or without a code that may be live."""
    if state is None:
        return
    before = live and state not in SENDS  # these states have no code of their own
    if before:
        book.bring(SENT)
        book.move(2 * MINUTES)
    request = book.accept(RequestKind.RESEND if before else RequestKind.PERSON).request
    if state is State.CANCELLED:
        book.ledger.cancel(book.number, request)
    elif state is not State.QUEUED:
        begun = book.begin(request)
        if state is not State.SENDING:
            book.settle(begun, (SENDS | FAILS)[state])
    if state in {State.EXPIRED, State.VERIFIED}:  # with a live code: of an erased number, or a newer code
        book.client.hset(book.keys.record(book.number), "state", state)
    if state in SENDS:
        book.move((2 if live else 17) * MINUTES)


@pytest.mark.parametrize(("situation", "kind"), list(itertools.product(TABLE, RequestKind)))
def test_each_kind_of_request_gets_the_answer_of_the_table(book, situation, kind):
    state, live = situation
    bring_to(book, state, live)
    before = book.record
    assert (before and before.state) == state
    assert (bool(before and before.live_until and before.live_until > book.now())) == (live or state is State.SENDING)

    answer = book.accept(kind)

    assert answer.disposition is TABLE[situation][kind]
    if answer.disposition is Disposition.ACCEPTED:
        assert book.record.state is State.QUEUED
        assert answer.request > (before.request if before else 0)
    else:
        assert book.record == before
        assert answer.request == (before.request if before else 0)
    if answer.disposition is Disposition.IN_DOUBT:
        assert answer.until == before.live_until


def test_the_table_has_every_state():
    assert {state for state, _ in TABLE} == {None, *State}


def test_a_person_takes_over_a_request_of_bulk(book):
    bulk = book.accept(RequestKind.ROSTER, alias="Row 17", channel="call").request
    person = book.accept(alias="Front desk", channel="sms")

    assert (person.disposition, person.promoted, person.request) == (Disposition.SAME, True, bulk)
    assert (book.record.lane, book.record.alias, book.record.channel) == (
        Lane.INTERACTIVE,
        "Front desk",
        "sms",
    )
    assert near(book.record.ends_at, book.now() + 15 * MINUTES)


def test_a_promoted_request_is_due_at_the_persons_deadline(book):
    book.bring(Outcome(State.WAITING, Reason.UNREACHABLE, wait=120 * MINUTES), kind=RequestKind.ROSTER)
    book.accept()

    assert book.agenda() == book.record.ends_at


@pytest.mark.parametrize(
    ("asked", "alias", "subaccount"),
    [
        ({}, "R" * 200, "SA-of-the-row"),
        ({"alias": "Front desk"}, "Front desk", "SA-of-the-row"),
        ({"alias": "P" * 100, "subaccount": "SA-of-the-person"}, "P" * 100, "SA-of-the-row"),
        ({"subaccount": "SA-of-the-person"}, "R" * 200, "SA-of-the-row"),
    ],
)
def test_a_promoted_request_keeps_the_rows_subaccount_and_its_alias_unless_one_is_given(book, asked, alias, subaccount):
    book.accept(RequestKind.ROSTER, alias="R" * 200, subaccount="SA-of-the-row")
    assert book.accept(**asked).promoted

    assert (book.record.alias, book.record.subaccount) == (alias, subaccount)


def test_a_person_gives_a_subaccount_to_a_row_without_one(book):
    book.accept(RequestKind.ROSTER)
    book.accept(subaccount="SA-of-the-person")

    assert book.record.subaccount == "SA-of-the-person"


def test_bulk_does_not_take_over_a_persons_request(book):
    book.accept(alias="Front desk")
    bulk = book.accept(RequestKind.ROSTER, alias="Row 17")

    assert (bulk.disposition, bulk.promoted) == (Disposition.JOINED, False)
    assert (book.record.lane, book.record.alias) == (Lane.INTERACTIVE, "Front desk")


def test_a_resend_within_the_cooldown_is_refused(book):
    book.bring(SENT)
    early = book.accept(RequestKind.RESEND)
    book.move(timedelta(seconds=61))
    late = book.accept(RequestKind.RESEND)

    assert early.disposition is Disposition.COOLING_DOWN
    assert early.until == datetime.fromtimestamp(early.until.timestamp(), UTC)
    assert near(early.until, book.now())
    assert late.disposition is Disposition.ACCEPTED


def test_the_cooldown_after_a_doubt_starts_at_the_last_moment_at_which_plivo_may_have_sent(book):
    book.bring(Outcome(State.IN_DOUBT))

    assert book.accept(RequestKind.RESEND).disposition is Disposition.COOLING_DOWN
    book.move(timedelta(seconds=45 + 60 + 1))
    assert book.accept(RequestKind.RESEND).disposition is Disposition.ACCEPTED


def test_the_workers_policy_sets_the_cooldown(book):
    book.ledger.publish_policy(Policy(rate=Rate.parse("1000/0.1s"), cooldown_ms=0))
    book.bring(SENT)

    assert book.accept(RequestKind.RESEND).disposition is Disposition.ACCEPTED


def test_a_send_that_surely_failed_restores_the_earlier_live_until(book):
    book.bring(SENT)
    lived = book.record.live_until
    book.move(2 * MINUTES)
    book.bring(Outcome(State.FAILED, Reason.REJECTED), kind=RequestKind.RESEND)

    assert book.record.live_until == lived
    assert not book.client.hexists(book.keys.record(book.number), "live_before")
    assert book.record.verification_uuid == UUID


def test_a_first_send_that_surely_failed_leaves_no_live_code(book):
    book.bring(Outcome(State.WAITING, Reason.UNREACHABLE, wait=MINUTES))

    assert book.record.live_until is None


def test_a_doubt_keeps_the_latest_end_that_the_code_may_have(book):
    begun = book.begin(book.accept().request)
    book.settle(begun, Outcome(State.IN_DOUBT, detail="504"))

    assert book.record.live_until == begun.record.lease_until + 15 * MINUTES
    assert book.agenda() == book.record.live_until


def test_a_queued_request_does_not_begin_while_another_code_may_be_live(book):
    request = book.accept().request
    until = epoch_ms(book.now() + 5 * MINUTES)
    book.client.hset(book.keys.record(book.number), "live_until", until)

    begun = book.begin(request)

    assert begun.verdict is Verdict.WAITING
    assert (book.record.state, book.record.reason) == (State.WAITING, Reason.COOLDOWN)
    assert book.record.due_at == book.agenda() == datetime.fromtimestamp(until / 1000, UTC)


def test_a_resend_begins_while_the_older_code_is_live_but_not_within_the_cooldown(book):
    book.bring(SENT)
    book.move(2 * MINUTES)
    resend = book.accept(RequestKind.RESEND).request
    recent = epoch_ms(book.now())
    book.client.hset(book.keys.record(book.number), "code_sent_at", recent)

    assert book.begin(resend).verdict is Verdict.WAITING
    assert near(book.record.due_at, book.now() + MINUTES)


def test_the_same_token_gets_the_same_answer(book):
    first = book.accept(token="one")
    book.settle(book.begin(first.request), Outcome(State.FAILED, Reason.REJECTED))
    second = book.accept(token="two")

    assert second.request > first.request
    assert book.accept(token="one") == first
    assert book.record.request == second.request


def test_a_token_is_forgotten_after_its_time(book, client):
    book.accept(token="kept")
    book.accept(token="foreign", remember=timedelta(hours=24))

    assert 14 * 60 < client.ttl(book.keys.token("kept")) <= 15 * 60
    assert 23 * 3600 < client.ttl(book.keys.token("foreign")) <= 24 * 3600


def test_begin_with_the_same_fence_gives_the_same_answer_and_reserves_no_second_slot(book):
    request = book.accept().request
    first = book.begin(request, fence="token")
    bucket = book.slots()
    again = book.begin(request, fence="token")

    assert first.verdict is again.verdict is Verdict.BEGUN
    assert again.record.attempts == 1
    assert book.slots() == bucket


def test_a_number_that_begin_is_given_twice_is_begun_once(book):
    requests = [(book.number, book.accept().request)] * 2

    assert [begun.verdict for begun in book.ledger.begin(requests)] == [Verdict.BEGUN, Verdict.NOTHING]
    assert book.record.attempts == 1


def test_a_slot_of_the_millisecond_in_which_the_rates_changed_is_revoked(book):
    book.stop()
    request = book.accept().request
    book.begin(request, fence="token")
    control.override_rates(book.ledger, timedelta(hours=1), rate=Rate.parse("10/1s"))

    assert book.begin(request, fence="token").verdict is Verdict.LATER


def test_begin_repeated_after_its_slot_has_no_negative_wait(book):
    request = book.accept().request
    book.begin(request, fence="token")
    book.move(timedelta(seconds=2))

    assert book.begin(request, fence="token").wait == timedelta()


def test_a_repeated_settle_changes_nothing(book):
    begun = book.bring(SENT)
    record = book.record

    assert book.settle(begun, SENT) is Settled.ALREADY
    assert book.record == record


def test_only_the_fence_of_begin_may_settle(book):
    begun = book.begin(book.accept().request)

    assert book.ledger.settle(book.number, begun.record.request, "another", SENT) is Settled.STALE
    assert book.ledger.settle(book.number, begun.record.request - 1, begun.fence, SENT) is Settled.STALE
    assert book.record.state is State.SENDING


class TestManyAtOnce:
    """Results that come together are written in one call of Redis."""

    def begun(self, book, count):
        """Begin so many other numbers."""
        numbers = [fresh_number() for _ in range(count)]
        asked = [(number, book.ledger.accept(number, token=number).request) for number in numbers]
        return book.ledger.begin(asked)

    def settlement(self, begun, outcome, fence=None):
        return Settlement(begun.record.phone_number, begun.record.request, fence or begun.fence, outcome)

    def settle(self, book, settlements):
        return [written.settled for written in book.ledger.settle_many(settlements)]

    def states(self, book, begun):
        return [book.ledger.read(one.record.phone_number).state for one in begun]

    def test_each_is_decided_alone(self, book):
        begun = self.begun(book, 4)
        refused = Outcome(State.FAILED, Reason.REJECTED)
        settlements = [
            self.settlement(begun[0], SENT),
            self.settlement(begun[1], SENT, fence="another"),
            self.settlement(begun[2], refused),
            self.settlement(begun[0], SENT),
            Settlement(fresh_number(), 1, "fence", SENT),
            self.settlement(begun[3], SENT),
        ]

        assert self.settle(book, settlements) == [
            Settled.SETTLED,
            Settled.STALE,
            Settled.SETTLED,
            Settled.ALREADY,
            Settled.STALE,
            Settled.SETTLED,
        ]
        assert self.states(book, begun) == [State.CODE_SENT, State.SENDING, State.FAILED, State.CODE_SENT]
        assert self.settle(book, settlements[::2]) == [Settled.ALREADY, Settled.ALREADY, Settled.STALE]

    def test_a_pause_that_the_first_begins_is_in_force_for_the_others(self, book):
        begun = self.begun(book, 3)
        forbidden = Outcome(State.FAILED, Reason.FORBIDDEN, plivo_signal=PlivoSignal.NO_CREDIT)
        written = book.ledger.settle_many([self.settlement(one, forbidden) for one in begun])

        assert self.states(book, begun) == [State.WAITING] * 3
        assert written == [Written(Settled.SETTLED, State.WAITING, Reason.REFUSED)] * 3
        assert set(book.client.hkeys(book.keys.pauses)) >= {"account", "account_until"}

    def test_each_answer_names_the_row_and_a_stale_one_says_what_the_record_says(self, book):
        begun = self.begun(book, 2)
        for one in begun:
            book.client.hset(book.keys.record(one.record.phone_number), mapping={"batch": "spring", "row": "sms:17:US"})
        written = book.ledger.settle_many([self.settlement(begun[0], SENT), self.settlement(begun[1], SENT, "another")])

        assert written == [
            Written(Settled.SETTLED, State.CODE_SENT, None, "spring", "sms:17:US"),
            Written(Settled.STALE, State.SENDING, None, "spring", "sms:17:US"),
        ]

    def test_the_pace_is_written_once_with_what_all_of_them_have_changed(self, book):
        begun = self.begun(book, 3)
        throttled = Outcome(State.WAITING, Reason.PACE, plivo_signal=PlivoSignal.THROTTLED, retry_after=9.0)
        book.ledger.settle_many(
            [
                self.settlement(begun[0], throttled),
                self.settlement(begun[1], SENT),
                self.settlement(begun[2], throttled),
            ]
        )
        closed = int(book.client.hget(book.keys.pace, "closed"))

        assert near(datetime.fromtimestamp(closed / 1e6, UTC), book.now() + timedelta(seconds=9), timedelta(seconds=5))
        assert book.client.hget(book.keys.pace, "refusals") == "1", "both had slots before the end of the first"

    def test_a_call_that_fails_because_of_a_damaged_record_has_counted_nothing(self, book):
        doubtful, damaged = (self.settlement(one, DOUBTFUL) for one in self.begun(book, 2))
        key = book.keys.record(damaged.phone_number)
        book.client.delete(key)
        book.client.set(key, "no hash")
        with pytest.raises(LedgerUnavailable):
            book.ledger.settle_many([doubtful, damaged])
        book.client.delete(key)

        assert self.settle(book, [doubtful]) == [Settled.SETTLED]
        assert book.client.hget(book.keys.pauses, "doubts_row") == "1"

    def test_none_is_no_call(self, book):
        book.client.close()

        assert book.ledger.settle_many([]) == []

    def test_neither_the_number_nor_the_fence_is_printed(self):
        shown = repr(Settlement("+14155550123", 7, "9f86d081884c7d65", SENT))

        assert "4155550123" not in shown
        assert "9f86d081884c7d65" not in shown


def test_a_late_answer_settles_a_doubt_but_never_a_newer_request(book):
    doubtful = book.bring(Outcome(State.IN_DOUBT))
    assert book.settle(doubtful, SENT) is Settled.SETTLED
    assert book.record.state is State.CODE_SENT

    book.move(2 * MINUTES)
    doubtful = book.bring(Outcome(State.IN_DOUBT), kind=RequestKind.RESEND)
    book.move(3 * MINUTES)
    newer = book.accept(RequestKind.RESEND).request

    assert book.settle(doubtful, SENT) is Settled.STALE
    assert (book.record.state, book.record.request) == (State.QUEUED, newer)


def test_a_doubt_does_not_end_undecided_while_a_code_may_be_live(book):
    doubtful = book.bring(Outcome(State.IN_DOUBT))
    undecided = Outcome(State.FAILED, Reason.IN_DOUBT)
    book.move(14 * MINUTES)
    early = book.settle(doubtful, undecided)
    book.move(3 * MINUTES)

    assert early is Settled.STALE
    assert book.settle(doubtful, undecided) is Settled.SETTLED
    assert book.record.state is State.FAILED


def test_the_cancel_of_a_replaced_request_does_not_change_the_newer_one(book):
    older = book.bring(Outcome(State.FAILED, Reason.REJECTED)).record.request
    newer = book.accept().request

    assert book.ledger.cancel(book.number, older) is Settled.STALE
    assert (book.record.request, book.record.state) == (newer, State.QUEUED)


def test_cancel_takes_back_only_a_request_that_has_not_begun(book):
    request = book.accept().request
    assert book.ledger.cancel(book.number, request) is Settled.SETTLED
    assert book.ledger.cancel(book.number, request) is Settled.ALREADY
    assert book.begin(request).verdict is Verdict.NOTHING

    request = book.accept().request
    book.begin(request)

    assert book.ledger.cancel(book.number, request) is Settled.STALE
    assert book.record.state is State.SENDING


def test_an_uncounted_settle_uses_up_no_attempt(book):
    book.bring(Outcome(State.WAITING, Reason.PACE, wait=MINUTES, counted=False))

    assert book.record.attempts == 0


def test_every_record_that_is_not_final_is_on_the_agenda(book):
    accepted = book.accept()
    assert near(book.agenda(), book.now() + timedelta(seconds=10), by=timedelta(seconds=5))
    begun = book.begin(accepted.request)
    assert book.agenda() == begun.record.lease_until
    book.settle(begun, Outcome(State.WAITING, Reason.UNREACHABLE, wait=MINUTES))
    assert book.agenda() == book.record.due_at
    book.client.hset(book.keys.record(book.number), "state", "queued")
    begun = book.begin(accepted.request)
    book.settle(begun, SENT)
    assert book.agenda() == book.record.expires_at
    book.move(16 * MINUTES)
    book.bring(Outcome(State.FAILED, Reason.FORBIDDEN))

    assert book.agenda() is None


def test_a_waiting_request_is_due_at_its_deadline_at_the_latest(book):
    book.bring(Outcome(State.WAITING, Reason.UNREACHABLE, wait=60 * MINUTES))

    assert book.agenda() == book.record.ends_at


def test_a_failed_record_is_kept_for_its_days_and_a_new_request_keeps_it_for_good(book, client):
    key = book.keys.record(book.number)
    book.bring(Outcome(State.FAILED, Reason.REJECTED, "400 nope"))
    assert 89 * 86400 < client.ttl(key) <= 90 * 86400
    book.accept()

    assert client.ttl(key) == -1
    assert book.record.detail is None


def test_an_earlier_request_keeps_its_own_outcome_for_a_day(book, client):
    first = book.bring(SENT, alias="Grüße " * 30).record
    book.move(2 * MINUTES)
    second = book.accept(RequestKind.RESEND)

    kept = book.ledger.read(book.number, first.request)
    assert (kept.state, kept.verification_uuid, kept.alias) == (State.CODE_SENT, UUID, "Grüße " * 30)
    assert book.ledger.read(book.number, second.request).state is State.QUEUED
    assert 0 < client.ttl(book.keys.earlier(book.number)) <= 86400


def test_the_last_eight_replaced_requests_are_kept(book, client):
    requests = [book.bring(Outcome(State.FAILED, Reason.REJECTED)).record.request for _ in range(12)]

    assert client.hlen(book.keys.earlier(book.number)) == 8
    assert book.ledger.read(book.number, requests[2]) is None
    assert book.ledger.read(book.number, requests[-2]).state is State.FAILED


def test_read_many_returns_the_records_in_order(book, client):
    first = book.bring(SENT).record.request
    book.move(2 * MINUTES)
    newest = book.accept(RequestKind.RESEND).request

    asked = [(book.number, newest), (fresh_number(), None), (book.number, first), (book.number, None)]
    states = [record and record.state for record in book.ledger.read_many(asked)]

    assert states == [State.QUEUED, None, State.CODE_SENT, State.QUEUED]
    assert book.ledger.read_many([]) == []


def test_the_history_keeps_the_last_eight_changes(book):
    for _ in range(5):
        book.bring(Outcome(State.FAILED, Reason.REJECTED))

    a_request = [State.QUEUED, State.SENDING, State.FAILED]
    assert [change.state for change in book.record.history] == (a_request * 3)[1:]
    assert [change.reason for change in book.record.history][1] is Reason.REJECTED
    assert all(near(change.at, book.now()) for change in book.record.history)


def test_a_finished_record_is_packed_and_costs_at_most_800_bytes(book, client):
    for _ in range(9):
        book.bring(Outcome(State.FAILED, Reason.REJECTED), alias="Dr. Amara Okafor", country="US")
    book.bring(SENT, alias="Dr. Amara Okafor, front desk, Berlin", subaccount="SA" + "X" * 18, country="US")
    key = book.keys.record(book.number)

    assert client.object("encoding", key) in {"ziplist", "listpack"}
    is_of_7_0 = client.info("server")["redis_version"].startswith("7.0.")  # its memory comes in larger steps
    assert client.memory_usage(key) + 100 <= 800 + 20 * is_of_7_0, "the record, and an agenda entry beside it"


@pytest.mark.parametrize("alias", ["x" * 255, "ü" * 255, "字" * 255, "🙂" * 255], ids=["1", "2", "3", "4"])
def test_the_longest_alias_leaves_a_record_packed_and_comes_back_whole(book, client, alias):
    book.accept(alias=alias)

    assert book.record.alias == alias
    assert client.object("encoding", book.keys.record(book.number)) in {"ziplist", "listpack"}


def test_a_long_detail_is_cut_so_that_the_record_stays_packed(book, client):
    book.bring(Outcome(State.FAILED, Reason.REJECTED, "400 " + "ü" * 300))

    assert len(book.record.detail.encode()) <= 64
    assert client.object("encoding", book.keys.record(book.number)) in {"ziplist", "listpack"}


def test_the_ledgers_own_policy_applies_if_redis_has_none(client):
    book = Book(client, policy=Policy(rate=Rate.parse("40/4s"), cooldown_ms=0))
    client.delete(book.keys.policy)
    first = book.begin(book.accept().request)
    reserve_slot(book.ledger)
    book.settle(first, SENT)

    assert first.wait == timedelta(seconds=4)
    assert book.slots() == first.at_us + 2 * 101_500
    assert book.accept(RequestKind.RESEND).disposition is Disposition.ACCEPTED


def test_slots_are_spaced_so_that_no_window_has_more_than_the_rate(client):
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("10/1s"), range_codes_per_hour=0))
    numbers = [fresh_number() for _ in range(25)]
    requests = [(n, book.ledger.accept(n, token=n).request) for n in numbers]

    slots = [begun.at_us for begun in book.ledger.begin(requests)]

    assert {b - a for a, b in itertools.pairwise(slots)} == {106_000}


def test_the_first_window_of_an_empty_redis_has_no_slot(client):
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("300/5s")))
    client.delete(book.keys.pace)

    assert book.begin(book.accept().request).wait == timedelta(seconds=5)


def test_a_number_that_cannot_begin_costs_no_slot(book):
    request = book.accept().request
    book.begin(request)
    bucket = book.slots()
    book.begin(request)

    assert book.slots() == bucket


def test_durations_can_be_shortened_by_tests(client):
    book = Book(client, durations=Durations(code=timedelta(milliseconds=50), code_margin=timedelta()))
    book.bring(SENT)
    book.move(timedelta(milliseconds=60))

    assert book.accept().disposition is Disposition.ACCEPTED


def test_redis_out_of_memory_refuses_a_request_and_leaves_nothing_half_accepted(book, client):
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(LedgerUnavailable, match="OOM"):
            book.accept()
    finally:
        client.config_set("maxmemory", limit)

    assert book.record is None
    assert book.agenda() is None


def test_an_answer_is_not_lost_because_redis_is_out_of_memory(book, client):
    begun = book.begin(book.accept().request)
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        settled = book.settle(begun, SENT)
    finally:
        client.config_set("maxmemory", limit)

    assert settled is Settled.SETTLED
    assert book.record.verification_uuid == UUID


def test_a_dead_pooled_connection_is_replaced(book, client):
    book.accept()
    client.client_kill_filter(_type="normal", skipme=False)

    assert book.accept().disposition is Disposition.SAME


def test_an_error_names_redis_without_its_password():
    url = "redis://:hunter2@127.0.0.1:1/0"
    ledger = Ledger(redis.Redis.from_url(url), shown_url="redis://:•••@127.0.0.1:1/0")

    with pytest.raises(LedgerUnavailable) as caught:
        ledger.ping()

    assert "redis://:•••@127.0.0.1:1/0" in str(caught.value)
    assert "hunter2" not in str(caught.value)

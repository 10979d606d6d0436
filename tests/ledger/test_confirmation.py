"""A code that a user entered: whether Plivo is asked, what its answer changes, and races with other changes."""

import secrets
import time
from datetime import UTC, datetime, timedelta

import pydantic
import pytest
from support.harness import fresh_number
from support.number_in_ledger import MINUTES, SENT, UUID, Book

from ringproof.errors import (
    AnotherRequest,
    InvalidRequest,
    LedgerUnavailable,
    NotConfirmed,
    NothingPending,
    Unknown,
    Unreachable,
)
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Outcome, Settled, Verdict
from ringproof.ledger.confirmation import (
    Marked,
    NextStep,
    Source,
    check_code,
    end_try,
    give_try_back,
    mark_verified,
    store_code,
    take_code,
)
from ringproof.ledger.pace import report_answer
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane, Reason, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy
from tasks.confirmation import confirm
from worker.sending import queries

NEWER = Outcome(State.CODE_SENT, verification_uuid="a-newer-one", api_id="a-newer-one")


class ConfirmingUser(Book):
    """One number, and the user who enters its codes."""

    def enter(self, code="0123", request=None):
        """Enter a code; return what the worker takes, and the handle."""
        handle = store_code(self.ledger, check_code(code))
        return take_code(self.ledger, self.number, handle, request), handle

    def yes(self, handle="", uuid=UUID, dated=None, alias="", created=None, **options):
        """Have Plivo report the number as verified: by the code of a handle, or in its list."""
        caller_id = VerifiedNumber(self.number, alias, "US", created or dated, dated, "", uuid)
        (marked,) = mark_verified(self.ledger, [caller_id], handle, **options)
        return marked

    def confirm(self):
        entered, handle = self.enter()
        assert entered.step is NextStep.ASK
        assert self.yes(handle) is Marked.VERIFIED
        return handle


@pytest.fixture
def book(client):
    return ConfirmingUser(client)


@pytest.mark.parametrize(
    ("pasted", "code"),
    [
        (" 1234", "1234"),
        ("0123\r\n", "0123"),
        ("\t004 512\v", "004512"),
        ("482\u00a0913", "482913"),
        ("482\u202f913", "482913"),
        ("4 8 2 9 1 3", "482913"),
        ("4829\u30001357", "48291357"),
        ("48\n29", "4829"),
        ("48-29-13", "482913"),
        ("482\u2011913", "482913"),
        ("482 \u2013 913", "482913"),
        ("482\u2014913", "482913"),
        ("482\u2212913", "482913"),
        ("482\uff0d913", "482913"),
        ("482\u30fc913", "482913"),
        ("\ufeff0012", "0012"),
        ("\u202a482913\u202c", "482913"),
        ("\u20660012\u2069", "0012"),
        ("\u202d4829\u202c", "4829"),
        ("\u200e48\u200b29\u200f\u061c", "4829"),
        ("48\u00ad29\u2060\u200d\u200c", "4829"),
        ("\ufffc4829", "4829"),
        ("１２３４", "1234"),
        ("٠١٢٣", "0123"),
        ("۰۱۲۳۴۵", "012345"),
        ("०१२३", "0123"),
        ("০১২৩", "0123"),
        ("๐๑๒๓", "0123"),
        ("\U0001d7ce\U0001d7cf\U0001d7d0\U0001d7d1", "0123"),
        ("۴۸2９", "4829"),
        ("٤٨٢ - ٩١٣\u200f", "482913"),
    ],
)
def test_a_code_is_read_as_a_person_pastes_it(pasted, code):
    assert check_code(pasted).get_secret_value() == code


@pytest.mark.parametrize(
    "code",
    [
        *("123", "123456789", "1-2-3", "1234 56789", "12a4", "G-1234", "O123", "12.34", "12_34", "1234;", "+1234"),
        *(
            "",
            " ",
            "\u200e",
            "----",
            "①②③④",
            "¹²³⁴",
            "一二三四",
            "Ⅰ234",
            "½234",
            "\u202e4321",
            "\x1b[200~1234",
            "1234\0",
        ),
        *("1234\ud800", " " * 10_000_000 + "1234", "1234" * 1_000_000, 1234, 1234.0, None, True, b"1234", ["1234"]),
    ],
    ids=lambda code: ascii(code)[:20],
)
def test_a_text_that_is_no_code_is_refused_and_no_error_shows_it(code):
    with pytest.raises(InvalidRequest) as wrong:
        check_code(code)

    assert (wrong.value.field, wrong.value.value) == ("code", "(not shown)")


def test_a_code_may_come_in_the_secret_of_a_form():
    assert check_code(pydantic.SecretStr("0482")) == check_code("0482")


def test_a_code_keeps_its_leading_zeros_and_never_shows_in_a_repr(book):
    book.bring(SENT)
    entered, _ = book.enter("0012")

    assert entered.code.get_secret_value() == "0012"
    assert "0012" not in repr(entered)


def test_a_code_waits_a_minute_and_is_taken_once(book, client):
    book.bring(SENT)
    began = time.monotonic()
    handle = store_code(book.ledger, check_code("123456"))
    left_ms = client.pttl(book.keys.code(handle))
    assert 60_000 - 1000 * (time.monotonic() - began) - 1 <= left_ms <= 60_000

    first, again = (take_code(book.ledger, book.number, handle) for _ in range(2))
    assert (first.step, again.step) == (NextStep.ASK, NextStep.LOOK)
    assert (again.code.get_secret_value(), book.record.tries) == ("", 1)
    assert not client.exists(book.keys.code(handle))


def test_a_right_code_verifies_the_number_for_good(book, client):
    book.bring(SENT, alias="Row 17")
    handle = store_code(book.ledger, check_code("1234"))
    take_code(book.ledger, book.number, handle)
    assert book.yes(handle, alias="Front desk") is Marked.VERIFIED

    record = book.record
    assert (record.state, record.alias, record.country, record.verification_uuid) == (
        State.VERIFIED,
        "Front desk",
        "US",
        UUID,
    )
    assert (record.live_until, record.tries, book.agenda()) == (None, 0, None)
    assert client.ttl(book.keys.record(book.number)) == -1
    assert book.accept().disposition == "returned"


def test_plivo_is_not_asked_after_five_wrong_codes(book):
    book.bring(SENT)
    left = []
    for _ in range(5):
        entered, handle = book.enter()
        assert entered.step is NextStep.ASK
        left.append(end_try(book.ledger, book.number, handle).tries)

    assert left == [4, 3, 2, 1, 0]
    assert book.enter()[0].step is NextStep.TOO_MANY


def test_the_next_code_has_five_tries_of_its_own(book):
    book.bring(SENT)
    end_try(book.ledger, book.number, book.enter()[1])
    book.move(2 * MINUTES)
    resend = book.accept(RequestKind.RESEND).request
    assert book.enter()[0].tries_left == 3, "the older code is the last sent one until then"
    book.settle(book.begin(resend), NEWER)

    entered, _ = book.enter()
    assert (entered.tries_left, entered.unanswered_handle, entered.record.verification_uuid) == (4, "", "a-newer-one")


def test_a_try_that_never_reached_plivo_does_not_count(book):
    book.bring(SENT)
    entered, handle = book.enter()

    assert entered.tries_left == 4
    give_try_back(book.ledger, book.number, handle, UUID)
    give_try_back(book.ledger, book.number, handle, UUID)
    assert book.record.tries == 0


def test_each_of_two_tries_at_once_is_given_back_once(book):
    book.bring(SENT)
    (_, first), (second_taken, second) = book.enter(), book.enter()
    for _ in range(2):
        give_try_back(book.ledger, book.number, first, UUID)
    assert book.record.tries == 1
    give_try_back(book.ledger, book.number, second, UUID, second_taken.unanswered_handle)

    assert book.record.tries == 0


def test_a_try_of_an_earlier_code_is_not_given_back_to_a_newer_one(book):
    book.bring(SENT)
    _, handle = book.enter()
    book.move(2 * MINUTES)
    book.bring(NEWER, kind=RequestKind.RESEND)
    book.enter()
    give_try_back(book.ledger, book.number, handle, UUID)

    assert book.record.tries == 1


def test_there_is_no_code_to_confirm_before_one_was_sent(book):
    assert book.enter()[0].step is NextStep.NOTHING
    book.accept()
    entered, _ = book.enter()

    assert (entered.step, entered.record.state) == (NextStep.NOTHING, State.QUEUED)


def test_plivo_is_not_asked_about_an_expired_code(book):
    book.bring(SENT)
    book.move(15 * MINUTES + timedelta(seconds=1))

    assert book.enter()[0].step is NextStep.EXPIRED


def test_a_code_that_no_worker_took_within_a_minute_is_lost_and_costs_no_try(book, client):
    book.bring(SENT)
    handle = store_code(book.ledger, check_code("1234"))
    client.delete(book.keys.code(handle))

    assert take_code(book.ledger, book.number, handle).step is NextStep.LOST
    assert book.record.tries == 0


def test_plivo_is_not_asked_while_it_does_not_know_the_credentials(book):
    book.bring(SENT)
    report_answer(book.ledger, "unauthorized")

    assert book.enter()[0].step is NextStep.PAUSED
    assert book.record.tries == 0


def test_an_operators_pause_does_not_stop_confirmations(book):
    book.bring(SENT)
    book.pause()

    assert book.enter()[0].step is NextStep.ASK


def test_the_next_entry_gets_the_handle_of_a_lost_answer(book):
    book.bring(SENT)
    _, first = book.enter()
    entered, _ = book.enter()

    assert (entered.step, entered.unanswered_handle) == (NextStep.ASK, first)


class TestTheRequestOfACode:
    """A code is entered for the request that it was sent for, and for no other one."""

    def enter(self, book, request):
        return book.enter(request=request)[0].step

    def test_a_code_is_entered_for_its_own_request_only(self, book):
        first = book.bring(SENT).record.request
        assert self.enter(book, first) is NextStep.ASK
        assert self.enter(book, first + 1) is NextStep.ANOTHER
        book.move(2 * MINUTES)
        second = book.accept(RequestKind.RESEND).request
        assert self.enter(book, first) is NextStep.ASK, "the code of the second one is not sent yet"
        assert self.enter(book, second) is NextStep.ANOTHER
        book.settle(book.begin(second), NEWER)

        assert self.enter(book, first) is NextStep.ANOTHER
        assert self.enter(book, second) is NextStep.ASK
        assert self.enter(book, None) is NextStep.ASK
        assert book.record.tries == 2, "only what Plivo was asked about counts"

    def test_a_code_stays_with_its_request_when_later_ones_send_none(self, book):
        first = book.bring(SENT).record.request
        for _ in range(2):
            book.move(2 * MINUTES)
            later = book.accept(RequestKind.RESEND).request
            book.ledger.cancel(book.number, later)

        assert self.enter(book, first) is NextStep.ASK
        assert self.enter(book, later) is NextStep.ANOTHER

    def test_that_the_number_is_verified_is_not_shown_to_another_request(self, book):
        first = book.bring(SENT).record.request
        book.confirm()
        book.move(2 * MINUTES)
        second = book.accept(RequestKind.RESEND).request

        assert self.enter(book, second) is NextStep.ANOTHER
        assert self.enter(book, first) is NextStep.NOTHING

    def test_the_worker_raises_it_and_asks_plivo_nothing(self, book):
        request = book.bring(SENT).record.request
        handle = store_code(book.ledger, check_code("0123"))

        with pytest.raises(AnotherRequest):
            confirm(book.ledger, None, book.number, handle, request + 1)


class TestRaces:
    def test_plivos_yes_wins_over_an_expiry(self, book, client):
        book.bring(SENT)
        _, handle = book.enter()
        book.move(16 * MINUTES)
        book.finish_scan()
        work_off_agenda(book.ledger, 10, {lane: queue(lane) for lane in Lane})
        assert book.record.state is State.EXPIRED

        assert book.yes(handle) is Marked.VERIFIED
        assert book.record.state is State.VERIFIED
        assert client.ttl(book.keys.record(book.number)) == -1

    @pytest.mark.parametrize("state", [State.QUEUED, State.WAITING, State.FAILED, State.CANCELLED])
    def test_plivos_yes_wins_over_an_unsent_resend_which_is_then_never_sent(self, book, state):
        book.bring(SENT)
        _, handle = book.enter()
        book.move(2 * MINUTES)
        resend = book.accept(RequestKind.RESEND).request
        if state is State.WAITING:
            book.settle(book.begin(resend), Outcome(State.WAITING, Reason.UNREACHABLE, wait=MINUTES))
        elif state is State.FAILED:
            book.settle(book.begin(resend), Outcome(State.FAILED, Reason.REJECTED))
        elif state is State.CANCELLED:
            book.ledger.cancel(book.number, resend)

        assert book.yes(handle) is Marked.VERIFIED
        assert (book.record.state, book.record.live_until, book.agenda()) == (State.VERIFIED, None, None)
        assert book.begin(resend).verdict is Verdict.NOTHING

    def test_plivos_yes_wins_over_a_resend_that_is_being_sent_and_its_code_stays_live(self, book):
        book.bring(SENT)
        _, handle = book.enter()
        book.move(2 * MINUTES)
        begun = book.begin(book.accept(RequestKind.RESEND).request)
        lives = book.record.live_until

        assert book.yes(handle) is Marked.VERIFIED
        assert book.settle(begun, NEWER) is Settled.STALE
        assert (book.record.state, book.record.live_until) == (State.VERIFIED, lives)

    def test_plivos_yes_wins_over_a_resend_that_was_sent_and_its_code_stays_live(self, book):
        book.bring(SENT)
        _, handle = book.enter()
        book.move(2 * MINUTES)
        book.bring(NEWER, kind=RequestKind.RESEND)
        lives = book.record.live_until

        assert book.yes(handle) is Marked.VERIFIED
        assert (book.record.state, book.record.live_until, book.record.verified_uuid) == (State.VERIFIED, lives, UUID)
        assert take_code(book.ledger, book.number, handle).step is NextStep.DONE, "a message that comes twice"
        assert book.enter()[0].step is NextStep.ASK, "the newer code proves something, too"

    def test_one_of_two_right_codes_verifies_and_the_other_gets_already(self, book):
        book.bring(SENT)
        (_, first), (_, second) = book.enter(), book.enter()

        assert book.yes(first) is Marked.VERIFIED
        assert book.yes(second) is Marked.ALREADY
        assert take_code(book.ledger, book.number, first).step is NextStep.DONE, (
            "a second delivery gets the same answer"
        )
        assert take_code(book.ledger, book.number, second).step is NextStep.NOTHING

    def test_a_wrong_code_does_not_undo_a_right_one(self, book):
        book.bring(SENT)
        (_, wrong), (_, right) = book.enter(), book.enter()
        book.yes(right)

        assert end_try(book.ledger, book.number, wrong).tries == 5
        assert book.record.state is State.VERIFIED

    def test_plivos_yes_after_an_erasure_leaves_no_record(self, book, client):
        book.bring(SENT)
        _, handle = book.enter()
        client.delete(book.keys.record(book.number))

        assert book.yes(handle) is Marked.GONE
        assert end_try(book.ledger, book.number, handle).tries == 5
        assert book.record is None


class Plivo:
    """A client whose answers to `complete` are lost, and that has the number as verified."""

    def complete(self, *_, before_first_byte):
        before_first_byte()
        raise Unknown("no answer")

    def get(self, number, *, before_first_byte):
        before_first_byte()
        return VerifiedNumber(number, "", "US", None, None, "", UUID)


def test_a_number_that_another_code_verified_does_not_confirm_this_code(book):
    book.bring(SENT)
    mine = store_code(book.ledger, check_code("9999"))
    plivo = Plivo()
    # Another code is entered in the meantime.
    plivo.complete = lambda *_, **check: book.confirm() and Plivo.complete(plivo, **check)

    with pytest.raises(NothingPending) as caught:
        confirm(book.ledger, plivo, book.number, mine)
    assert caught.value.state == "verified"


def test_a_lost_answer_is_looked_up_before_the_next_code_is_entered(book):
    book.bring(SENT)
    _, lost = book.enter()
    mine = store_code(book.ledger, check_code("9999"))

    with pytest.raises(NothingPending):
        confirm(book.ledger, Plivo(), book.number, mine)
    assert take_code(book.ledger, book.number, lost).step is NextStep.DONE


@pytest.mark.parametrize(
    "way_out",
    ["no slot", "Redis is away", "Plivo is down", "a code that is none", "the look-up fails", "the worker stops"],
)
def test_a_try_is_given_back_on_every_way_out_before_plivo_was_asked(book, monkeypatch, way_out):
    book.bring(SENT)
    plivo, code, tries = Plivo(), "0123", 0
    plivo.get = lambda *_, **__: None
    if way_out == "no slot":
        book.client.hset(book.keys.pace, "account", 1_000_000 * 2**33)
    elif way_out == "Redis is away":
        monkeypatch.setattr(queries, "reserve_slot", failing(LedgerUnavailable("redis://", "away")))
    elif way_out == "Plivo is down":
        plivo.complete = failing(Unreachable("refused"))
    elif way_out == "a code that is none":
        code = "no code"
    else:
        _, lost = book.enter()
        tries = 1
        plivo.get = failing(Unknown("no answer"))
        if way_out == "the worker stops":
            monkeypatch.setattr("tasks.confirmation.shutdown.is_stopping", lambda: True)
    handle = secrets.token_urlsafe(16)
    book.client.set(book.keys.code(handle), code)

    with pytest.raises((NotConfirmed, InvalidRequest, LedgerUnavailable)):
        confirm(book.ledger, plivo, book.number, handle)
    assert book.record.tries == tries
    if tries:
        assert book.enter()[0].unanswered_handle == lost, "the next entry looks up the lost answer again"


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


def test_a_look_up_confirms_a_code_whose_answer_was_lost(book):
    book.bring(SENT)
    mine = store_code(book.ledger, check_code("0123"))

    assert confirm(book.ledger, Plivo(), book.number, mine)["state"] == "verified"
    assert confirm(book.ledger, Plivo(), book.number, mine)["verified_at"], (
        "a message that comes twice gets the same answer"
    )


class TestAVerificationStands:
    """A verified number stays verified, whatever becomes of a code that somebody asks for later."""

    def sweep(self, book):
        return work_off_agenda(book.ledger, 10, {lane: queue(lane) for lane in Lane})

    @pytest.fixture
    def verified(self, book):
        book.bring(SENT)
        book.confirm()
        book.move(2 * MINUTES)
        return book

    def test_an_unanswered_resend_falls_back_to_verified(self, verified, client):
        begun = verified.begin(verified.accept(RequestKind.RESEND).request)
        assert verified.record.is_verified
        verified.settle(begun, NEWER)
        assert verified.record.is_verified
        first = verified.record.verified_at
        verified.enter()
        verified.move(16 * MINUTES)
        assert verified.accept(RequestKind.ROSTER).disposition is Disposition.VERIFIED, "before the list was read"
        verified.finish_scan()
        self.sweep(verified)

        assert (verified.record.state, verified.record.verified_at) == (State.VERIFIED, first)
        assert not verified.record.is_code_used
        assert verified.agenda() is None
        assert client.ttl(verified.keys.record(verified.number)) == -1
        assert verified.enter()[0].step is NextStep.EXPIRED
        assert verified.accept().disposition is Disposition.RETURNED
        assert verified.accept(RequestKind.ROSTER).disposition is Disposition.VERIFIED

    @pytest.mark.parametrize("outcome", [Outcome(State.IN_DOUBT), Outcome(State.FAILED, Reason.REJECTED)])
    def test_a_resend_that_fails_does_not_end_it(self, verified, outcome):
        verified.bring(outcome, kind=RequestKind.RESEND)

        assert verified.record.is_verified

    def test_the_code_of_the_resend_may_still_be_found_in_the_list(self, verified):
        verified.bring(NEWER, kind=RequestKind.RESEND)
        verified.move(16 * MINUTES)
        verified.finish_scan()
        self.sweep(verified)
        first = verified.record.verified_at

        assert verified.yes(uuid=UUID, dated=verified.now()) is Marked.STALE
        assert verified.record.verified_at == first
        assert verified.yes(uuid="a-newer-one", dated=verified.now()) is Marked.VERIFIED
        assert verified.record.is_code_used

    @pytest.mark.parametrize("source", [Source.LIST, Source.NUMBER])
    def test_a_number_that_expired_in_spite_of_it_is_mended_by_plivos_word(self, verified, client, source):
        verified.bring(NEWER, kind=RequestKind.RESEND)
        verified.move(16 * MINUTES)
        key = verified.keys.record(verified.number)  # as an earlier version has left it
        client.hset(key, "state", "expired")
        client.hdel(key, "verified_uuid")
        client.zrem(verified.keys.agenda, verified.number)
        assert verified.record.is_verified
        first = verified.record.verified_at

        assert verified.yes(source=source) is Marked.VERIFIED
        assert (verified.record.state, verified.record.verified_at) == (State.VERIFIED, first)
        assert not verified.record.is_code_used

    def test_a_lapsed_number_is_not_verified_by_its_old_entry_nor_by_a_newer_request(self, verified, client):
        verified.ledger.publish_policy(Policy(reverify_mode="send", range_codes_per_hour=0))
        key = verified.keys.record(verified.number)
        client.hset(key, mapping={"state": "expired", "reason": "lapsed", "unanswered": 2, "reverifies": 1})

        assert not verified.record.is_verified
        assert verified.yes(source=Source.LIST, dated=verified.now()) is Marked.ALREADY
        assert not verified.record.is_verified
        verified.accept()
        assert verified.record.verified_at is None


class TestTheList:
    def test_the_list_verifies_a_number_that_was_confirmed_elsewhere(self, book):
        book.bring(SENT)

        assert book.yes() is Marked.VERIFIED
        assert book.yes() is Marked.ALREADY

    def test_the_list_verifies_a_number_after_its_expiry(self, book, client):
        book.bring(SENT)
        client.hset(book.keys.record(book.number), "state", "expired")

        assert book.yes() is Marked.VERIFIED

    def test_an_entry_of_last_year_does_not_verify_todays_request(self, book):
        book.bring(SENT)
        last_year = datetime.now(UTC) - timedelta(days=365)

        assert book.yes(uuid="of-last-year", dated=last_year) is Marked.STALE
        assert book.record.state is State.CODE_SENT

    def test_an_entry_that_is_newer_than_the_attempt_ends_a_doubt(self, book):
        book.bring(Outcome(State.IN_DOUBT))

        assert book.yes(uuid="unknown", dated=book.now() - MINUTES) is Marked.STALE
        assert book.yes(uuid="unknown", dated=book.now() + MINUTES) is Marked.VERIFIED
        assert (book.record.verification_uuid, book.record.live_until, book.agenda()) == ("unknown", None, None)

    def test_the_list_does_not_verify_a_new_request_by_the_old_code(self, book):
        book.bring(SENT)
        book.confirm()
        resend = book.accept(RequestKind.RESEND)
        book.move(2 * MINUTES)
        resend = book.accept(RequestKind.RESEND)

        assert resend.disposition == "accepted"
        assert book.yes() is Marked.ALREADY
        assert book.record.state is State.QUEUED

    @pytest.mark.parametrize("kind", [State.CODE_SENT, State.IN_DOUBT, State.EXPIRED])
    @pytest.mark.parametrize("is_known", [True, False])
    def test_an_edited_alias_is_no_proof_of_a_newer_code(self, book, kind, is_known):
        was_verified_at = book.now()
        if is_known:
            book.bring(SENT)
            book.confirm()
        book.move(2 * MINUTES)
        book.bring(
            Outcome(State.IN_DOUBT) if kind is State.IN_DOUBT else NEWER,
            kind=RequestKind.RESEND if is_known else RequestKind.PERSON,
        )
        if kind is State.EXPIRED:
            book.client.hset(book.keys.record(book.number), "state", "expired")
        before, edited_at = book.record, book.now() + 2 * MINUTES

        assert book.yes(dated=edited_at, created=was_verified_at) in {Marked.STALE, Marked.ALREADY}
        assert book.record == before
        assert book.yes(uuid="a-new-entry", dated=edited_at) is Marked.VERIFIED

    def test_a_number_that_was_verified_again_elsewhere_is_known_by_its_new_uuid(self, book):
        book.bring(SENT)
        book.confirm()
        assert book.yes(uuid="elsewhere", dated=book.now()) is Marked.ALREADY
        book.move(2 * MINUTES)
        book.bring(NEWER, kind=RequestKind.RESEND)

        assert book.yes(uuid="elsewhere", dated=book.now() + MINUTES) is Marked.STALE

    @pytest.mark.parametrize("alias", ["\ud800", "é" * 400, "\x00", '"]}'], ids=ascii)
    def test_aliases_of_other_programs_are_stored_safely(self, book, alias):
        book.bring(SENT)

        assert book.yes(alias=alias) is Marked.VERIFIED
        assert len(book.record.alias) <= 255

    def test_unknown_numbers_get_no_record_without_a_sync(self, book):
        found = [VerifiedNumber(fresh_number(), "", "US", None, None, "", UUID) for _ in range(3)]

        assert mark_verified(book.ledger, found) == [Marked.GONE] * 3
        assert mark_verified(book.ledger, []) == []

"""Guessing: wrong codes lock a number, each time for longer; over all of its codes, and over an erasure."""

import secrets
from dataclasses import asdict
from datetime import timedelta

import pytest
from support.number_in_ledger import MINUTES, SENT, UUID, Book, near

from ringproof import errors
from ringproof.batches.erasure import erase_number
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.answers import Outcome, Verdict
from ringproof.ledger.confirmation import (
    NextStep,
    Source,
    TriesLeft,
    check_code,
    end_try,
    give_try_back,
    mark_verified,
    store_code,
    take_code,
)
from ringproof.ledger.record import Lane, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy, Rate
from tasks import confirmation
from tasks.confirmation import confirm
from worker.views.text import json_line

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FAST = Rate.parse("1000/0.1s")


class Guesser(Book):
    """Somebody who enters codes for a number of another person, as quickly as the ledger lets him."""

    def __init__(self, client, **policy):
        super().__init__(client)
        self.stop()
        caps = {"rate": FAST, "call_rate": FAST, "range_codes_per_hour": 0, "max_codes_per_day": 10}
        self.ledger.publish_policy(Policy(**caps | policy))

    def ask(self):
        """Have another code sent."""
        self.move(2 * MINUTES)
        accepted = self.accept(RequestKind.RESEND)
        begun = self.begin(accepted.request)
        assert begun.verdict is Verdict.BEGUN
        self.settle(begun, Outcome(State.CODE_SENT, verification_uuid=secrets.token_hex(18), api_id="a"))

    def take(self):
        handle = store_code(self.ledger, check_code("0123"))
        return take_code(self.ledger, self.number, handle), handle

    def enter_wrong(self):
        """Enter a wrong code; return the step of the worker, and what is left if Plivo has refused it."""
        taken, handle = self.take()
        return taken.step, end_try(self.ledger, self.number, handle) if taken.step is NextStep.ASK else None

    def guess(self, times):
        """Have Plivo refuse so many codes, with a new code after each five."""
        left = None
        for _ in range(times):
            step, left = self.enter_wrong()
            if step is NextStep.TOO_MANY:
                self.ask()
                step, left = self.enter_wrong()
            assert step is NextStep.ASK
        return left


@pytest.fixture
def guesser(client):
    guesser = Guesser(client)
    guesser.bring(SENT, country="US")
    return guesser


def test_the_tenth_wrong_code_locks_the_number_over_all_of_its_codes(guesser):
    left = [guesser.guess(1).tries for _ in range(10)]

    assert left == [4, 3, 2, 1, 0, 4, 3, 2, 1, 0]
    assert near(guesser.record.locked_until, guesser.now() + DAY, timedelta(seconds=1))
    guesser.ask()
    taken, handle = guesser.take()
    assert (taken.step, taken.code.get_secret_value(), taken.tries_left) == (NextStep.LOCKED, "", 0), "a new code, too"
    assert take_code(guesser.ledger, guesser.number, handle).step is NextStep.LOCKED


def test_the_last_wrong_code_says_until_when_the_number_is_locked(client):
    guesser = Guesser(client, max_wrong_codes=3)
    guesser.bring(SENT)

    assert [guesser.guess(1) for _ in range(3)] == [
        TriesLeft(2, None),
        TriesLeft(1, None),
        TriesLeft(0, guesser.record.locked_until),
    ]


def test_when_the_lock_ends_there_are_ten_more_and_each_lock_is_longer(guesser):
    lengths = []
    for _ in range(6):
        guesser.guess(10)
        lengths.append(guesser.record.locked_until - guesser.now())
        guesser.move(lengths[-1])
        guesser.ask()

    assert [round(length / DAY) for length in lengths] == [1, 2, 4, 7, 7, 7]


def test_wrong_codes_a_day_apart_lock_the_number_as_well(guesser):
    guesser.guess(9)
    guesser.move(DAY)
    guesser.ask()

    assert guesser.guess(1).locked_until


def test_wrong_codes_are_forgotten_a_month_after_the_last_one(guesser):
    guesser.guess(9)
    guesser.move(29 * DAY)
    guesser.ask()
    assert guesser.guess(1).locked_until, "until then they count"
    guesser.move(30 * DAY)
    guesser.ask()

    assert near(guesser.guess(10).locked_until, guesser.now() + DAY, timedelta(seconds=1))


def test_fifty_entries_at_once_are_no_more_tries(guesser):
    guesser.guess(7)
    steps = [guesser.take()[0].step for _ in range(50)]

    assert steps.count(NextStep.ASK) == 3
    assert set(steps[3:]) == {NextStep.LOCKED}


def test_a_right_code_takes_back_its_own_entry_and_resets_nothing(guesser):
    guesser.guess(9)
    _, handle = guesser.take()
    assert guesser.record.locked_until, "the tenth entry may be wrong"
    ours = VerifiedNumber(guesser.number, "", "US", None, None, "", guesser.record.verification_uuid)
    mark_verified(guesser.ledger, [ours], handle)
    mark_verified(guesser.ledger, [ours], handle)

    assert (guesser.record.state, guesser.record.wrong_codes, guesser.record.locked_until) == (State.VERIFIED, 9, None)
    guesser.ask()
    assert guesser.guess(1).locked_until


def test_an_entry_that_plivo_did_not_check_does_not_count(guesser):
    guesser.guess(9)
    _, handle = guesser.take()
    for _ in range(2):
        give_try_back(guesser.ledger, guesser.number, handle, guesser.record.verification_uuid)

    assert (guesser.record.wrong_codes, guesser.record.locked_until) == (9, None)


def test_an_entry_is_given_back_although_a_newer_code_was_sent_meanwhile(guesser):
    _, handle = guesser.take()
    guesser.ask()
    give_try_back(guesser.ledger, guesser.number, handle, UUID)

    assert (guesser.record.wrong_codes, guesser.record.tries) == (0, 0)


def test_plivos_list_takes_back_no_wrong_code(guesser):
    guesser.guess(3)
    ours = VerifiedNumber(guesser.number, "", "US", guesser.now(), guesser.now(), "", guesser.record.verification_uuid)
    mark_verified(guesser.ledger, [ours], source=Source.LIST)

    assert (guesser.record.state, guesser.record.wrong_codes) == (State.VERIFIED, 3)


def test_a_guesser_gets_as_many_tries_in_a_month_as_the_documentation_says(guesser):
    end, tries = guesser.now() + 30 * DAY, 0
    while guesser.now() < end:
        step, _ = guesser.enter_wrong()
        tries += step is NextStep.ASK
        if step is NextStep.LOCKED:
            guesser.move(guesser.record.locked_until - guesser.now())
        if step is not NextStep.ASK:
            guesser.ask()

    assert tries == 70


def test_a_record_with_wrong_codes_is_kept_for_the_month_in_which_they_count(client):
    guesser = Guesser(client, record_ms=86_400_000)
    guesser.bring(SENT)
    guesser.guess(1)
    guesser.ledger.cancel(guesser.number, guesser.accept(RequestKind.RESEND).request)
    guesser.move(2 * MINUTES)
    guesser.ledger.cancel(guesser.number, guesser.accept(RequestKind.RESEND).request)

    assert client.pttl(guesser.keys.record(guesser.number)) == pytest.approx(30 * 86_400_000, abs=60_000)


class TestAfterAnErasure:
    """An erasure keeps what counts, under an HMAC, so that it resets no cap."""

    def test_wrong_codes_count_on(self, guesser):
        guesser.guess(9)
        erase_number(guesser.ledger, guesser.number)
        guesser.ask()

        assert guesser.guess(1).locked_until

    @pytest.mark.parametrize("days", [0, 1.5])
    def test_a_locked_number_stays_locked(self, guesser, days):
        guesser.guess(10)
        guesser.move(DAY)
        guesser.ask()
        guesser.guess(10)
        locked_until = guesser.record.locked_until
        erase_number(guesser.ledger, guesser.number)
        guesser.move(days * DAY)
        guesser.ask()

        assert guesser.take()[0].step is NextStep.LOCKED
        assert guesser.record.locked_until == locked_until

    @pytest.mark.parametrize("hours", [1, 23])
    def test_codes_count_for_their_day(self, guesser, hours):
        guesser.ledger.publish_policy(Policy(rate=FAST, max_codes_per_day=2))
        guesser.ask()
        guesser.move(hours * HOUR)
        for _ in range(2):
            erase_number(guesser.ledger, guesser.number)

        assert guesser.accept().limit == "codes_per_day"
        assert guesser.record is None, "a refused request leaves no record"
        guesser.move((24 - hours) * HOUR)
        assert guesser.accept().disposition is Disposition.ACCEPTED

    def test_a_row_of_a_roster_meets_the_caps(self, guesser):
        guesser.ledger.publish_policy(Policy(rate=FAST, call_rate=FAST, max_calls_per_week=1))
        guesser.move(DAY)
        guesser.bring(SENT, channel="call")
        guesser.move(2 * DAY)
        erase_number(guesser.ledger, guesser.number)
        guesser.move(DAY)
        request = guesser.accept(RequestKind.ROSTER, channel="call").request

        assert guesser.begin(request).verdict is Verdict.ENDED
        assert guesser.record.detail == "calls_per_week"

    def test_a_cooldown_of_an_hour_goes_on(self, guesser):
        guesser.ledger.publish_policy(Policy(rate=FAST, cooldown_ms=3_600_000))
        guesser.move(20 * MINUTES)
        erase_number(guesser.ledger, guesser.number)

        assert guesser.accept(RequestKind.RESEND).disposition is Disposition.COOLING_DOWN
        guesser.move(41 * MINUTES)
        assert guesser.accept(RequestKind.RESEND).disposition is Disposition.ACCEPTED

    def test_a_cooldown_goes_on_for_a_number_that_was_verified(self, guesser):
        guesser.ledger.publish_policy(Policy(rate=FAST, cooldown_ms=3_600_000))
        _, handle = guesser.take()
        mark_verified(guesser.ledger, [VerifiedNumber(guesser.number, "", "US", None, None, "", UUID)], handle)
        erase_number(guesser.ledger, guesser.number)

        assert guesser.accept(RequestKind.RESEND).disposition is Disposition.COOLING_DOWN

    def test_a_sync_that_records_the_number_again_resets_nothing(self, guesser):
        guesser.guess(9)
        guesser.move(HOUR)
        erase_number(guesser.ledger, guesser.number)
        listed = VerifiedNumber(guesser.number, "", "US", guesser.now(), guesser.now(), "", "u" * 36)
        mark_verified(guesser.ledger, [listed], source=Source.LIST)
        assert guesser.record.wrong_codes == 9
        guesser.ask()

        assert guesser.guess(1).locked_until

    def test_what_is_left_names_no_number_and_ends_with_the_last_count(self, guesser, client):
        guesser.guess(1)
        guesser.move(HOUR)
        erase_number(guesser.ledger, guesser.number)
        (left,) = client.keys(f"{guesser.keys.erased}:*")

        assert guesser.number not in left + client.get(left)
        month = 30 * 86_400
        assert month - 7200 < client.ttl(left) <= client.ttl(guesser.keys.erased) <= month

    def test_of_a_number_for_which_nothing_counts_nothing_is_left(self, guesser, client):
        guesser.move(DAY)
        erase_number(guesser.ledger, guesser.number)

        assert client.keys(f"{guesser.keys.erased}*") == []


class TestTheStatus:
    def test_counts_the_wrong_codes_of_the_last_hour_by_country(self, guesser):
        guesser.guess(2)
        _, handle = guesser.take()
        for _ in range(3):
            end_try(guesser.ledger, guesser.number, handle)  # Redis' answer was lost
        status = control.sending_status(guesser.ledger)

        assert status.wrong_codes == {"US": 3}
        assert f'"wrong_codes": {json_line({"US": 3})}' in json_line(asdict(status))
        guesser.move(HOUR + 10 * MINUTES)
        assert control.sending_status(guesser.ledger).wrong_codes == {}


class Refusing:
    """A client whose Plivo refuses each code."""

    asked = 0

    def complete(self, _uuid, _code):
        self.asked += 1
        raise errors.WrongCode("404")


class TestAtTheCall:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch):
        monkeypatch.setattr(confirmation, "ask_at_slot", lambda _ledger, ask, **_: ask())

    def enter(self, guesser, plivo):
        return confirm(guesser.ledger, plivo, guesser.number, store_code(guesser.ledger, check_code("0123")))

    def test_the_errors_name_the_end_of_the_lock_and_plivo_is_not_asked(self, client, caplog):
        guesser, plivo = Guesser(client, max_wrong_codes=1), Refusing()
        guesser.bring(SENT)
        with pytest.raises(errors.WrongCode) as wrong:
            self.enter(guesser, plivo)
        guesser.ask()
        with pytest.raises(errors.Locked) as locked:
            self.enter(guesser, plivo)

        until = guesser.record.locked_until
        assert (wrong.value.tries_left, wrong.value.locked_until, locked.value.until) == (0, until, until)
        assert plivo.asked == 1
        for error in (wrong.value, locked.value):
            assert f"{until:%Y-%m-%d %H:%M:%S UTC}" in str(error)
        assert guesser.number not in caplog.text


def test_bulk_still_sends_codes_to_a_locked_number(guesser):
    guesser.guess(10)
    guesser.move(HOUR)
    accepted = guesser.accept(RequestKind.ROSTER)

    assert accepted.disposition is Disposition.ACCEPTED
    assert guesser.record.lane is Lane.BULK
    assert guesser.record.wrong_codes == 10

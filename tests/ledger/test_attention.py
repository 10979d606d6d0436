"""Which accounts are visited, and when: those with work, in their turn, and none of the others."""

import time
from datetime import timedelta

import pytest
from support.harness import eventually, fresh_number

from ringproof.ledger import attention
from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.attention import AccountLedger, claim, is_anybody_due, note, release
from ringproof.ledger.heartbeats import beat_of_account
from ringproof.ledger.keys import Keys
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import report_answer
from ringproof.ledger.plivo_credentials import check_credentials
from ringproof.ledger.queues import LANES

MINUTE = timedelta(minutes=1)


@pytest.fixture
def own(client):
    return Ledger(client, prefix=f"t{fresh_number()}")


@pytest.fixture
def of_account(client, own):
    """Build ledgers of the account `acme`, as hosts with these credentials have them; each notes its work in a list."""

    def build(credentials="", noted=None):
        prefix = Keys.of_account(own.keys.prefix, "acme").prefix
        work = noted if noted is not None else []
        return AccountLedger(client, prefix=prefix, credentials=credentials, on_work=lambda: work.append("acme"))

    return build


def until_another_millisecond(ledger):
    now = ledger.now()
    eventually(lambda: ledger.now() > now + timedelta(milliseconds=1))


def names(claims):
    return [one.account for one in claims]


class TestAVisit:
    def test_is_for_those_who_were_noted_in_their_order_and_for_one_process_at_a_time(self, own):
        for name in ("zeta", "alpha", "zeta", "beta"):
            note(own, name)
            until_another_millisecond(own)

        assert is_anybody_due(own)
        assert names(claim(own, 2)) == ["zeta", "alpha"]
        assert names(claim(own, 9)) == ["beta"]
        assert claim(own, 9) == []

    def test_of_a_noted_account_is_followed_by_a_second_look_and_then_by_none(self, own, monkeypatch):
        monkeypatch.setattr(attention, "SECOND_LOOK", timedelta(milliseconds=50))
        note(own, "acme")
        (first,) = claim(own, 9)
        release(own, first, None)
        assert not first.is_calm
        (second,) = eventually(lambda: claim(own, 9))
        release(own, second, None)

        assert second.is_calm
        assert not own.client.zcard(own.keys.accounts), "nobody is visited without work"

    def test_ends_with_the_moment_of_the_next_one(self, own):
        note(own, "acme")
        (first,) = claim(own, 9)
        release(own, first, MINUTE)
        assert own.client.zscore(own.keys.accounts, "acme") < time.time() * 1000 + 10_000
        own.client.zadd(own.keys.accounts, {"acme": 1.5})
        (second,) = claim(own, 9)
        release(own, second, MINUTE)

        assert 50_000 < own.client.zscore(own.keys.accounts, "acme") - time.time() * 1000 < 70_000

    def test_does_not_hide_what_was_noted_meanwhile(self, own):
        note(own, "acme")
        (first,) = claim(own, 9)
        note(own, "acme")
        release(own, first, None)

        assert names(claim(own, 9)) == ["acme"]

    def test_is_made_again_if_its_worker_dies(self, own, monkeypatch):
        monkeypatch.setattr(attention, "LEASE", timedelta(milliseconds=50))
        note(own, "acme")
        claim(own, 9)

        assert names(eventually(lambda: claim(own, 9))) == ["acme"]


def test_the_ledger_of_an_account_notes_what_makes_work_and_nothing_else(of_account):
    noted = []
    ledger = of_account(noted=noted)
    ledger.read(fresh_number())
    ledger.now()
    assert noted == []
    number = fresh_number()
    request = ledger.accept(number, token=number, country="US").request
    assert noted == ["acme"]
    ledger.begin([(number, request)])
    assert noted == ["acme", "acme"]


class TestRefusedCredentials:
    def test_pause_the_account_if_no_worker_with_others_is_alive(self, of_account):
        old = of_account("01d")
        report_answer(old, PlivoSignal.UNAUTHORIZED)

        assert old.client.hexists(old.keys.pauses, "credentials")
        assert not check_credentials(old).leaves_work

    def test_leave_the_work_to_a_worker_whose_token_plivo_may_know_for_as_long_as_it_lives(self, of_account):
        old, new = of_account("01d"), of_account("2e3")
        report_answer(old, PlivoSignal.UNAUTHORIZED)
        beat_of_account(new, "bulk@new", LANES)
        assert check_credentials(new).unknown_since is None
        assert not new.client.hexists(new.keys.pauses, "credentials")
        beat_of_account(old, "bulk@old", LANES)

        assert check_credentials(old).leaves_work, "the look of the old one pauses nobody"
        assert not new.client.hexists(new.keys.pauses, "credentials")

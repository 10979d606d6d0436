"""One attempt: it sends at its slot, writes the result to the ledger, and sends nothing at any other time."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from support.harness import AUTH_ID, AUTH_TOKEN
from support.number_in_ledger import Book

from ringproof.batches.erasure import erase_number
from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable, TooFewReplicas
from ringproof.ledger.durations import Durations
from ringproof.ledger.pace import replace_slots, reserve_slot
from ringproof.ledger.record import Reason, State
from ringproof.plivo.client import PlivoClient
from ringproof.policy import Policy, Rate
from ringproof.secret_str import SecretStr
from worker.celery import shutdown
from worker.sending.attempt import SlotRevoked, attempt
from worker.sending.final_check import CONNECT_SECONDS
from worker.sending.results import Results
from worker.sending.retry import until_ledger_answers


@pytest.fixture
def to_plivo(plivo):
    client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), plivo.base_url)
    yield client
    client.close()


def attempted(book, to_plivo, **options):
    asked_at = boot_clock()
    begun = book.begin(book.accept(**options).request)
    Results(book.ledger).write(attempt(book.ledger, to_plivo, begun, asked_at))


def test_a_number_is_sent_to_at_its_slot_and_the_record_has_plivos_uuid(client, plivo, to_plivo):
    book = Book(client)
    attempted(book, to_plivo, alias="Front desk", channel="call")

    (send,) = plivo.sends(book.number)
    assert (send["alias"], send["channel"]) == ("Front desk", "call")
    assert book.record.verification_uuid == send["verification_uuid"]


def test_a_number_whose_slot_was_revoked_is_queued_again_and_nothing_is_sent(client, plivo, to_plivo, monkeypatch):
    monkeypatch.setattr(shutdown, "sleep_unless_stopping", lambda _: True)
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("1/4s")))
    client.delete(book.keys.pace)  # so that the first window is spent: the slot is far away
    begun = book.begin(book.accept().request)
    book.pause()

    with pytest.raises(SlotRevoked):
        attempt(book.ledger, to_plivo, begun, boot_clock())

    assert plivo.sends(book.number) == []
    assert (book.record.state, book.record.attempts) == (State.QUEUED, 0)


def test_a_missed_slot_is_replaced(client, plivo, to_plivo):
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("10/1s")))
    begun = book.begin(book.accept().request)
    late = replace(begun, at=boot_clock() - 1, at_us=begun.at_us - 1_000_000)
    slots = book.slots()

    Results(book.ledger).write(attempt(book.ledger, to_plivo, late, boot_clock()))

    assert len(plivo.sends(book.number)) == 1
    assert book.slots() >= slots + 106_000, "another slot was taken"


def test_each_slot_that_is_missed_counts_once(client, plivo, to_plivo, monkeypatch):
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("2/1s")))
    begun = book.begin(book.accept().request)
    time.sleep(max(begun.at - CONNECT_SECONDS - boot_clock(), 0.0))  # from then on it sleeps for its slots alone
    late = iter((0.02, 0.02))

    def wake_up_late(seconds):
        time.sleep(max(seconds, 0.0) + next(late, 0.0))
        return True

    monkeypatch.setattr(shutdown, "sleep_unless_stopping", wake_up_late)
    attempted = attempt(book.ledger, to_plivo, begun, boot_clock())

    assert attempted.slot >= begun.at + 0.04
    assert book.slots() == int(client.hget(book.keys.pace, "account_last")) + 530_000, (
        "the next one lies a spacing later"
    )


def test_a_missed_slot_is_not_replaced_in_a_pause(client, plivo, to_plivo):
    book = Book(client)
    late = replace(book.begin(book.accept().request), at=boot_clock() - 1)
    book.pause()
    slots = book.slots()

    Results(book.ledger).write(attempt(book.ledger, to_plivo, late, boot_clock()))

    assert plivo.sends(book.number) == []
    assert (book.record.state, book.record.reason, book.record.attempts) == (State.WAITING, Reason.PACE, 0)
    assert book.slots() == slots


def test_a_missed_slot_is_not_replaced_for_an_erased_number(client):
    book = Book(client)
    begun = book.begin(book.accept().request)
    erase_number(book.ledger, book.number)
    slots = book.slots()

    assert replace_slots(book.ledger, [(begun.record, begun.at_us)])[0] is None
    assert book.slots() == slots


def test_a_replaced_slot_is_not_used_in_a_pause(client, plivo, to_plivo, monkeypatch):
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("1/2s")))
    begun = book.begin(book.accept().request)
    reserve_slot(book.ledger)  # so that the next one is seconds away
    monkeypatch.setattr(shutdown, "sleep_unless_stopping", lambda seconds: seconds <= 0 or book.pause() or True)

    with pytest.raises(SlotRevoked):
        attempt(book.ledger, to_plivo, replace(begun, at=boot_clock() - 1), boot_clock())

    assert plivo.sends(book.number) == []
    assert (book.record.state, book.record.attempts) == (State.QUEUED, 0)


def test_the_final_check_sends_nothing_if_the_slot_is_too_long_ago(client, plivo, to_plivo):
    book = Book(client, durations=Durations(first_byte=timedelta(milliseconds=-1)))
    attempted(book, to_plivo)

    assert plivo.sends(book.number) == []
    assert (book.record.state, book.record.reason, book.record.attempts) == (State.WAITING, Reason.PACE, 0)
    assert book.record.live_until is None
    assert book.record.due_at <= book.record.updated_at, "due at once"


def test_the_ledger_is_called_until_it_answers_and_each_cause_is_logged_once(caplog):
    away, alone = LedgerUnavailable("redis://", "away"), TooFewReplicas("redis://", "0 of 1 replicas follow")
    answers = [away, away, alone, away, alone, "an answer"]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert until_ledger_answers(ask) == "an answer"
    assert [line.message.partition(": ")[2] for line in caplog.records] == [str(away), str(alone)]


def test_the_ledger_is_called_for_so_many_seconds_or_until_the_worker_stops(monkeypatch):
    def ask():
        raise LedgerUnavailable("redis://", "away")

    with pytest.raises(LedgerUnavailable):
        until_ledger_answers(ask, seconds=0.1)
    monkeypatch.setattr(shutdown, "_stopped_here", time.monotonic())
    with pytest.raises(LedgerUnavailable):
        until_ledger_answers(ask, ends_with_worker=True)

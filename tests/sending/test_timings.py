"""How long things take: what a process notes comes to Redis once, and a process without work asks Redis for nothing."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from support.harness import AUTH_ID, AUTH_TOKEN, eventually
from support.number_in_ledger import Book

from ringproof.clock import boot_clock
from ringproof.errors import LedgerUnavailable
from ringproof.ledger import ledger as ledger_module
from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.metrics import HTTP, SLOT_WAIT, read_counts
from ringproof.ledger.record import Lane
from ringproof.plivo.client import PlivoClient
from ringproof.secret_str import SecretStr
from worker.sending import timings as timings_module
from worker.sending.activity import ProcessActivity
from worker.sending.queries import ask_at_slot
from worker.sending.senders import Senders
from worker.sending.timings import Timings, result_of, timings, write_last


@pytest.fixture
def book(client):
    return Book(client)


@pytest.fixture
def to_plivo(plivo):
    client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), plivo.base_url)
    yield client
    client.close()


def durations(book, histogram):
    """Return by labels how many durations Redis has, and their sum."""
    found = histogram.of(read_counts(book.ledger))
    return {labels: (int(buckets[-1][1]), seconds) for labels, (buckets, seconds) in found.items()}


def test_a_send_notes_how_long_it_waited_and_how_long_plivo_took(book, to_plivo):
    activity = ProcessActivity(book.ledger, lambda: (0, 0))
    senders = Senders(book.ledger, to_plivo, activity)
    request = book.accept(country="US").request
    book.move(timedelta(seconds=3))
    asked_at = boot_clock()
    senders.send(book.begin(request), asked_at)
    senders.close()
    activity.close()
    write_last()

    (count, took), (waits, waited) = durations(book, HTTP)["send", "taken"], durations(book, SLOT_WAIT)["interactive",]
    assert count == waits == 1
    assert took < 3
    assert 3 <= waited < 10


def test_a_question_notes_how_long_plivo_took(book, to_plivo):
    ask_at_slot(book.ledger, partial(to_plivo.list))
    write_last()

    assert durations(book, HTTP)["question", "answered"][0] == 1


@pytest.mark.parametrize(
    ("signal", "is_unreachable", "result"),
    [
        (PlivoSignal.TAKEN, False, "taken"),
        (PlivoSignal.ANSWERED, False, "rejected"),
        (PlivoSignal.THROTTLED, False, "throttled"),
        (PlivoSignal.NONE, True, "unreachable"),
        (PlivoSignal.NONE, False, None),
    ],
)
def test_each_result_has_a_name_and_what_was_not_asked_has_none(signal, is_unreachable, result):
    assert result_of(signal, is_unreachable=is_unreachable) == result


def test_durations_come_to_redis_by_themselves_and_then_nothing_more_is_asked(book, monkeypatch):
    monkeypatch.setattr(timings_module, "WRITE_SECONDS", 0.05)
    own = timings(book.ledger)
    own.note_answer("send", "taken", 0.2)
    own.note_wait(Lane.BULK, 0.0)

    eventually(lambda: durations(book, HTTP))
    eventually(lambda: own._timer is None, why="the timer goes on")
    assert durations(book, SLOT_WAIT) == {("bulk",): (1, 0.0)}


def test_an_answer_of_redis_that_is_lost_counts_nothing_twice(book, monkeypatch):
    own = Timings(book.ledger)
    own.note_answer("send", "taken", 0.2)
    run_script = ledger_module.Ledger.run_script

    def lose_the_answer(*args):
        run_script(*args)
        raise LedgerUnavailable("redis", "the answer is lost")

    monkeypatch.setattr(ledger_module.Ledger, "run_script", lose_the_answer)
    assert not own.write()
    monkeypatch.undo()
    own.note_answer("send", "taken", 0.3)
    assert own.write()

    assert durations(book, HTTP) == {("send", "taken"): (2, 0.5)}


def test_a_redis_that_is_away_keeps_no_process_from_ending(book, monkeypatch):
    is_answered = threading.Event()
    monkeypatch.setattr(ledger_module.Ledger, "run_script", lambda *_: is_answered.wait(60))
    timings(book.ledger).note_answer("send", "taken", 0.2)
    began = boot_clock()
    write_last()

    assert boot_clock() - began < 10
    is_answered.set()

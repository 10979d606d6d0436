"""What the processes of a worker tell each other when Plivo refuses its credentials."""

import multiprocessing
import os
import warnings
from types import SimpleNamespace

import pytest

from ringproof.clock import boot_clock
from worker.sending import refusal

LONG_SECONDS, SHORT_SECONDS = 30.0, 0.05
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def shared(monkeypatch):
    """What the processes share, of this test's own."""
    monkeypatch.setattr(refusal, "_notes", None)
    monkeypatch.setattr(refusal, "_has_left", None)
    refusal.share_flags()
    yield
    for end in refusal._notes:
        os.close(end)


def ledger_of(account):
    return SimpleNamespace(keys=SimpleNamespace(account=account))


def in_child(note):
    child = FORK.Process(target=note)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads run, and the child uses none
        child.start()
    return child


def seconds_until_note(at_most):
    began = boot_clock()
    refusal.wait_for_note(at_most)
    return boot_clock() - began


def test_a_child_that_is_refused_wakes_the_main_process():
    child = in_child(lambda: refusal.note_refusal(ledger_of(None)))

    assert seconds_until_note(LONG_SECONDS) < LONG_SECONDS / 2
    child.join()


def test_a_refused_account_wakes_nobody_since_its_visits_look_at_it():
    in_child(lambda: refusal.note_refusal(ledger_of("acme"))).join()

    assert seconds_until_note(SHORT_SECONDS) >= SHORT_SECONDS


def test_any_number_of_notes_is_taken_at_once_and_keeps_nobody_waiting():
    def note_many():
        for _ in range(100_000):  # more than a pipe holds
            refusal.note_refusal(ledger_of(None))

    in_child(note_many).join()
    refusal.take_notes()

    assert seconds_until_note(SHORT_SECONDS) >= SHORT_SECONDS


def test_a_child_waits_until_its_worker_has_left_the_queues():
    child = in_child(lambda: refusal.wait_until_left(ledger_of(None)))
    assert seconds_until_note(LONG_SECONDS) < LONG_SECONDS / 2
    assert child.is_alive()

    refusal.set_left(True)
    child.join(refusal.LEAVE_SECONDS / 2)
    assert child.exitcode == 0

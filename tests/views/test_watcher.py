"""Why a number does not move, as the command says that waits for it."""

import pytest
from support.number_in_ledger import Book

from ringproof.ledger import control
from ringproof.ledger.heartbeats import beat
from ringproof.ledger.queues import SWEEP_TICK, TICKS, queue
from ringproof.ledger.record import Lane
from worker.views.watcher import _why_unfinished


@pytest.fixture
def queued(client):
    """A person's number that is queued, and whose message nobody has taken; with a beat."""
    book = Book(client)
    book.accept()
    beat(book.ledger, "beat@vm", {"kind": "beat", "host": "vm"})
    client.set(book.ledger.keys.tick(SWEEP_TICK), round(book.ledger.now().timestamp() * 1000))
    return book.ledger, book.ledger.read(book.number)


def why(queued, *queues):
    ledger, record = queued
    if queues:
        beat(ledger, "worker@vm", {"host": "vm", "queues": [TICKS, *queues]})
    return _why_unfinished(ledger, record)


def test_nobody_works_at_all(queued):
    assert why(queued).startswith("no worker takes messages")


def test_nobody_takes_its_queue_although_others_work(queued):
    assert why(queued, queue(Lane.BULK)).startswith("no worker takes the queue of interactive (ringproof.interactive)")


def test_those_who_take_its_queue_have_others_to_send_first(queued):
    assert why(queued, queue(Lane.INTERACTIVE)) == "worker@vm has other codes to send first"


def test_all_sending_is_paused(queued):
    control.pause(queued[0], reason="a test of the pause")

    assert "all sending is paused for 1 s: a test of the pause; go on: ringproof resume" in why(
        queued, queue(Lane.INTERACTIVE)
    )

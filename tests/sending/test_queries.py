"""Questions to Plivo: each begins at its slot and never later, stops with its worker, and tells the pace the answer."""

import time
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from support.harness import eventually
from support.number_in_ledger import Book
from support.wire import NUMBER, UUID

from ringproof.clock import boot_clock
from ringproof.errors import LeaseOver, LedgerUnavailable, RingproofError
from ringproof.ledger import control
from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.pace import report_answer, reserve_slot
from ringproof.ledger.record import Lane
from ringproof.policy import Policy, Rate
from ringproof.secret_str import SecretStr
from worker.celery import shutdown
from worker.sending.queries import ask_at_slot, ask_from_slot, ask_in_lane

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

QUESTIONS = {
    "get": lambda client: partial(client.get, NUMBER),
    "list": lambda client: client.list,
    "complete": lambda client: partial(client.complete, UUID, SecretStr("123456")),
    "delete": lambda client: partial(client.delete, NUMBER),
    "probe": lambda client: client.probe,
}


@pytest.fixture
def book(client):
    book = Book(client)
    book.ledger.publish_policy(Policy(rate=Rate.parse("10/1s")))
    reserve_slot(book.ledger)
    book.move(timedelta(seconds=2))  # past the first window
    return book


@pytest.fixture
def plivo_at(serve, client_of):
    """A server that notes when each request came, and its client."""
    came = []

    def play(connection, _):
        came.append(boot_clock())
        connection.sendall(NOT_FOUND)

    server = serve(play)
    return server, client_of(server.url()), came


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_takes_a_slot_whatever_is_asked(book, plivo_at, question):
    _, client, came = plivo_at
    book.ledger.publish_policy(Policy(rate=Rate.parse("1/1s")))
    book.move(timedelta(seconds=2))
    before = reserve_slot(book.ledger)
    with suppress(RingproofError):
        ask_at_slot(book.ledger, QUESTIONS[question](client))
    after = reserve_slot(book.ledger)

    assert came[0] >= before + 1 - 0.03
    assert after >= before + 2 - 0.03


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_missed_slot_is_replaced_whatever_is_asked(book, plivo_at, question):
    server, client, came = plivo_at
    reserve_slot(book.ledger)
    slot = reserve_slot(book.ledger)
    late = boot_clock()
    with suppress(RingproofError):  # Plivo says 404 to all of them
        ask_from_slot(book.ledger, late - 0.05, QUESTIONS[question](client), ends=late + 5)

    assert len(server.requests) == 1
    assert came[0] >= slot + 0.106 - 0.03  # the clock of the slots is measured, and the machine may be busy


def test_a_question_connects_before_its_slot(book, plivo_at):
    server, client, came = plivo_at
    connected_at = []

    def ask(*, before_first_byte):
        def look():
            eventually(lambda: server.connections)
            connected_at.append(boot_clock())
            before_first_byte()

        return client.get(NUMBER, before_first_byte=look)

    for _ in range(4):
        slot = reserve_slot(book.ledger)
    ask_from_slot(book.ledger, slot, ask, ends=slot + 1)

    assert connected_at[0] < slot <= came[0]


def test_a_worker_that_stops_asks_nothing_before_its_slot(book, plivo_at, monkeypatch):
    server, client, _ = plivo_at
    slot = boot_clock() + 60
    monkeypatch.setattr(shutdown, "_stopped_here", time.monotonic())

    with pytest.raises(LeaseOver, match="stops"):
        ask_from_slot(book.ledger, slot, client.probe, ends=slot + 1)
    reserve_slot(book.ledger)
    for ask in (ask_at_slot, partial(ask_in_lane, lane=Lane.SCHEDULED)):
        with pytest.raises(LeaseOver, match="stops"):
            ask(book.ledger, ask=client.probe, within=timedelta(seconds=5))
    assert boot_clock() < slot - 50
    assert server.requests == []


def test_a_question_does_not_wait_for_the_end_of_a_long_429(book, plivo_at):
    server, client, _ = plivo_at
    report_answer(book.ledger, PlivoSignal.THROTTLED, 900.0)
    slots, asked_at = book.slots(), boot_clock()

    with pytest.raises(LeaseOver, match="the pace is taken"):
        ask_at_slot(book.ledger, client.probe)
    assert boot_clock() < asked_at + 20
    assert (server.requests, book.slots()) == ([], slots)


def test_a_question_that_misses_its_slot_and_gets_no_other_one_is_not_taken_for_a_429(book, plivo_at):
    server, client, _ = plivo_at
    report_answer(book.ledger, PlivoSignal.THROTTLED, 60.0)
    closed = control.sending_status(book.ledger).closed_until
    late = boot_clock()

    with pytest.raises(LeaseOver):
        ask_from_slot(book.ledger, late - 1, client.probe, ends=late + 5)
    assert server.requests == []
    assert control.sending_status(book.ledger).closed_until == closed


def test_a_redis_that_is_away_at_the_final_check_is_no_unreachable_plivo(plivo_at):
    server, client, _ = plivo_at

    def look():
        try:
            raise ConnectionRefusedError("redis")
        except OSError as error:
            raise LedgerUnavailable("redis://", "refused") from error

    with pytest.raises(LedgerUnavailable):
        client.get(NUMBER, before_first_byte=look)
    assert server.requests == []


def test_any_answer_but_401_ends_the_pause_for_unknown_credentials(book, plivo_at):
    _, client, _ = plivo_at
    report_answer(book.ledger, PlivoSignal.UNAUTHORIZED)
    assert control.sending_status(book.ledger).pauses

    assert ask_at_slot(book.ledger, partial(client.get, NUMBER)) is None
    assert not control.sending_status(book.ledger).pauses

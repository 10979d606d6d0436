"""The beat: it sends a tick when there is something to do, rests otherwise, and ends with its worker."""

import signal
from datetime import timedelta

import psutil
import pytest
from support.harness import Worker, eventually, fresh_number, stopped
from support.number_in_ledger import SENT, Book
from support.roster_of_batch import import_rows

from ringproof import runtime
from ringproof.batches import operations
from ringproof.batches.feeding import is_anything_to_feed
from ringproof.celery.app import app
from ringproof.ledger import control
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.agenda import is_anything_due
from ringproof.ledger.plivo_list import ListScan, request_scan
from worker.celery import beat
from worker.celery.beat import FEED, LONGEST_REST_SECONDS, SWEEP, PatientScheduler
from worker.local.processes.redis_server import RedisServer

SECOND = timedelta(seconds=1)


@pytest.fixture
def book(client):
    return Book(client)


class TestTheSweepIsNeeded:
    def test_not_while_nothing_is_due(self, book):
        assert not is_anything_due(book.ledger)
        book.bring(SENT)
        assert not is_anything_due(book.ledger), "its code lives for a quarter of an hour"

    def test_when_an_entry_of_the_agenda_is_due(self, book):
        book.accept()
        due_at = book.agenda()
        book.client.zadd(book.keys.agenda, {book.number: (due_at - 10 * SECOND).timestamp() * 1000})

        assert is_anything_due(book.ledger)

    def test_when_a_re_verification_is_due(self, book):
        book.client.zadd(book.keys.renewals, {fresh_number(): book.now().timestamp() * 1000})

        assert is_anything_due(book.ledger)

    def test_in_a_pause_whose_probes_it_sends(self, book):
        control.pause(book.ledger)

        assert is_anything_due(book.ledger)

    @pytest.mark.parametrize("scan", ListScan)
    def test_while_a_scan_of_plivos_list_is_requested(self, book, scan):
        request_scan(book.ledger, scan)

        assert is_anything_due(book.ledger)

    @pytest.mark.parametrize("channel", ["sms", "call"])
    def test_while_people_stand_in_a_line(self, book, channel):
        book.client.zadd(book.keys.line(channel), {book.number: 1})

        assert is_anything_due(book.ledger)

    def test_while_numbers_wait_for_their_destination(self, book):
        book.client.zadd(book.keys.destinations_waiting, {f"US/0/{book.number}": 0})

        assert is_anything_due(book.ledger)


def test_the_feeder_is_needed_while_a_batch_has_rows_to_feed(book):
    assert not is_anything_to_feed(book.ledger)
    import_rows(book.ledger, "spring", [fresh_number()])
    assert is_anything_to_feed(book.ledger)
    operations.pause(book.ledger, "spring")
    assert is_anything_to_feed(book.ledger), "its numbers are to be notified of a resume"


@pytest.fixture
def sent(book, monkeypatch):
    """A beat on a ledger of the test's own, with a clock that stands still; what it has sent."""
    sent, clock = [], [1000.0]
    monkeypatch.setattr(runtime, "ledger", lambda *_: book.ledger)
    monkeypatch.setattr(beat, "queue_length", lambda *_: 0)
    monkeypatch.setattr(beat.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(PatientScheduler, "apply_async", lambda _, entry, **__: sent.append(entry.task))
    app.conf.beat_schedule = beat.SCHEDULE
    scheduler = PatientScheduler(app, lazy=True)
    entries = [scheduler.Entry(name=task, task=task, schedule=1.0, app=app) for task in (SWEEP, FEED)]

    def tick(seconds=1.0):
        clock[0] += seconds
        sent.clear()
        for entry in entries:
            scheduler.apply_entry(entry)
        return sent

    return tick


def test_an_idle_beat_sends_a_sweep_now_and_then_and_no_feed(sent):
    assert sent() == [SWEEP], "at its start"
    assert sent() == []
    assert sent(LONGEST_REST_SECONDS - 1.5) == []
    assert sent(1.0) == [SWEEP]


def test_a_busy_beat_sends_both_in_each_second(sent, book):
    sent()
    book.accept(RequestKind.ROSTER)
    book.move(11 * SECOND)
    book.client.zadd(book.keys.agenda, {book.number: 0})
    book.client.zadd(book.keys.feeding, {"spring": 0})

    assert [sent(), sent()] == [[SWEEP, FEED]] * 2


def test_an_embedded_beat_ends_when_its_worker_is_killed(environ, tmp_path):
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        with stopped(Worker(tmp_path / "worker.log", own, tmp_path, "-P", "threads", "-B")) as worker:
            (embedded,) = eventually(lambda: psutil.Process(worker.popen.pid).children())
            worker.popen.send_signal(signal.SIGKILL)
            worker.popen.wait()

            eventually(lambda: not embedded.is_running() or embedded.status() == psutil.STATUS_ZOMBIE, within=10)

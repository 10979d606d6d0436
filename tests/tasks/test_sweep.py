"""The sweep: what waits is taken up again, what was lost comes back, and a doubt ends, with beat and a real worker."""

import os
import signal
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from celery import Celery
from support.harness import Process, eventually, fresh_number, stopped
from support.number_in_ledger import CLOCK, MINUTES, SENT, Book

from ringproof.celery.messages import message_of
from ringproof.errors import CodeExpired, Unconfirmed, WrongCode
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.answers import AgendaAction, Outcome
from ringproof.ledger.confirmation import check_code, store_code
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, Reason, State
from ringproof.phone.masking import mask
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy
from tasks.sweep import end_doubt, sweep_once
from worker.local.processes.redis_server import RedisServer

SECOND = timedelta(seconds=1)


class World:
    """A Redis whose time can be moved, a worker that takes everything, and beat in it."""

    def __init__(self, server, environ, folder, plivo):
        self.client, self.plivo = connect(server.url), plivo
        self.ledger = Ledger(self.client, clock=CLOCK)
        self.producer = Celery("producer", broker=server.url, backend=server.url, set_as_current=False)
        clocked = [sys.executable, str(Path(__file__).parents[1] / "support" / "celery_with_clock.py")]
        command = [*clocked, "-A", "worker", "worker", "-B", "-c", "2", "-l", "INFO"]
        own = environ | {"RINGPROOF_REDIS_URL": server.url, "RINGPROOF_RATE": "1000/0.1s"}
        self.worker = Process(command, folder / "worker.log", own, folder)

    def accept(self, number, kind=RequestKind.PERSON):
        lane = Lane.BULK if kind is RequestKind.ROSTER else Lane.INTERACTIVE
        return self.ledger.accept(number, token=number, kind=kind, lane=lane, country="US").request

    def send(self, number, request):
        # A result that nobody waits for would unsubscribe when it is collected, and by then this Redis may be gone.
        options = {"queue": "ringproof.interactive", "argsrepr": "(…)", "ignore_result": True}
        self.producer.send_task("initiate_verification", [number], {"request": request}, **options)

    def enter(self, number, wrong=0):
        """Enter the code that a number got last, or a wrong one; what comes of it."""
        code = self.plivo.sends(number)[-1]["code"]
        entered = f"{(int(code) + wrong) % 10 ** len(code):0{len(code)}d}"
        options = {"queue": "ringproof.interactive", "argsrepr": "(…)"}
        handle = {"handle": store_code(self.ledger, check_code(entered))}
        result = self.producer.send_task("confirm_verification", [number], handle, **options)
        return result.get(timeout=60, propagate=False)

    def move(self, by):
        """Move all clocks: the ledger's and Plivo's."""
        self.client.incrbyfloat("test:clock", by.total_seconds())
        self.plivo.advance(by.total_seconds())

    def until(self, number, state, within=60):
        return eventually(
            lambda: (record := self.ledger.read(number)) and record.state is state and record,
            within=within,
            why=f"it is {self.ledger.read(number)}",
        )

    def sending(self):
        """The process id of the child that asks Plivo."""
        port = urlsplit(self.plivo.base_url).port

        def asks(child):
            return any(line.raddr and line.raddr.port == port for line in child.net_connections())

        children = psutil.Process(self.worker.popen.pid).children()
        return next((child.pid for child in children if asks(child)), None)


@pytest.fixture(scope="module")
def running(environ, sandbox, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    with RedisServer() as server:
        world = World(server, environ, folder, sandbox)
        with stopped(world.worker):
            eventually(lambda: world.client.exists("ringproof:tick:sweep"), within=60, why="no tick was taken")
            yield world
        world.client.close()


@pytest.fixture
def world(running, plivo):
    """The world, with Plivo's clock at the ledger's."""
    plivo.advance(float(running.client.get("test:clock") or 0))
    return running


def test_a_number_whose_message_was_lost_gets_its_code_after_half_a_minute(world):
    number = fresh_number()
    world.accept(number)  # and no message
    world.move(31 * SECOND)

    assert world.until(number, State.CODE_SENT)
    assert len(world.plivo.sends(number)) == 1


def test_what_waits_for_an_unreachable_plivo_gets_its_code_when_that_is_back(world):
    number = fresh_number()
    world.plivo.befall("503", number=number)
    world.send(number, world.accept(number))
    assert world.until(number, State.WAITING).reason is Reason.UNREACHABLE
    world.move(31 * SECOND)

    assert world.until(number, State.CODE_SENT).attempts == 2
    assert len(world.plivo.sends(number)) == 1


def test_a_code_that_is_not_entered_expires_and_cannot_be_entered_then(world):
    number = fresh_number()
    world.send(number, world.accept(number))
    world.until(number, State.CODE_SENT)
    world.move(15 * MINUTES + SECOND)

    assert world.until(number, State.EXPIRED)
    before = len(world.plivo.requests())
    assert isinstance(world.enter(number), CodeExpired)
    assert len(world.plivo.requests()) == before


def test_a_code_can_be_entered_to_its_last_minute_wrongly_and_then_rightly(world):
    number = fresh_number()
    world.send(number, world.accept(number))
    world.until(number, State.CODE_SENT)
    world.move(14 * MINUTES)
    wrong = world.enter(number, wrong=1)
    right = world.enter(number)
    world.move(90 * 24 * 60 * MINUTES)  # what has become of a code that expired would be forgotten

    assert (type(wrong), wrong.tries_left) == (WrongCode, 4)
    assert right["state"] == "verified"
    assert world.ledger.read(number).state is State.VERIFIED


def test_a_yes_after_the_expiry_counts_if_the_code_was_entered_before_it(world):
    number = fresh_number()
    world.send(number, world.accept(number))
    world.until(number, State.CODE_SENT)
    world.plivo.befall("500_after", operation="complete", times=1)
    world.plivo.befall("503", operation="get", times=1)
    assert isinstance(world.enter(number), Unconfirmed)
    world.move(15 * MINUTES + SECOND)

    assert world.until(number, State.VERIFIED)


def test_who_confirmed_elsewhere_is_found_in_plivos_list_and_so_is_a_doubt(world):
    entered, doubtful, never = (fresh_number() for _ in range(3))
    world.plivo.befall("500_after", number=doubtful)
    for number in (entered, doubtful, never):
        world.send(number, world.accept(number))
    world.until(doubtful, State.IN_DOUBT)
    for number in (entered, never):
        world.until(number, State.CODE_SENT)
    world.move(MINUTES)
    for number in (entered, doubtful):
        world.plivo.complete(number)
    world.move(14 * MINUTES + SECOND)  # the doubt's last possible code may still live

    assert world.until(entered, State.VERIFIED).country == "US"
    assert world.until(doubtful, State.VERIFIED).verification_uuid
    assert world.until(never, State.EXPIRED)


def killed_in_mid_send(world, number, kind):
    """Have a worker killed after Plivo took its request; return when the ledger says that this is a doubt."""
    world.plivo.befall("timeout_after", number=number)
    world.send(number, world.accept(number, kind))
    eventually(lambda: world.plivo.sends(number))
    os.kill(world.sending(), signal.SIGKILL)
    world.move(46 * SECOND)
    return world.until(number, State.IN_DOUBT)


def test_a_worker_that_died_in_mid_send_leaves_a_doubt_and_a_person_asks_again(world):
    number = fresh_number()
    assert killed_in_mid_send(world, number, RequestKind.PERSON).reason is Reason.WORKER_LOST
    world.move(16 * MINUTES)

    assert world.until(number, State.FAILED).reason is Reason.IN_DOUBT
    assert len(world.plivo.sends(number)) == 1


def test_of_a_roster_it_is_sent_again_once_no_code_can_live(world):
    number = fresh_number()
    doubtful = killed_in_mid_send(world, number, RequestKind.ROSTER)
    world.move(16 * MINUTES)

    sent = world.until(number, State.CODE_SENT)
    first, second = world.plivo.sends(number)
    assert second["at"] - first["at"] > 15 * 60
    assert (sent.again, sent.request > doubtful.request) == (True, True)
    assert sent.verification_uuid == second["verification_uuid"]


def test_a_number_that_was_verified_meanwhile_is_not_texted_again(world):
    number = fresh_number()
    killed_in_mid_send(world, number, RequestKind.ROSTER)
    world.plivo.complete(number)  # the person has entered the code, although its answer was lost
    world.move(16 * MINUTES)

    assert world.until(number, State.VERIFIED).verified_at
    assert len(world.plivo.sends(number)) == 1


def test_ten_beats_do_what_one_does(world):
    numbers = [fresh_number() for _ in range(5)]
    for number in numbers:
        world.accept(number)
    world.move(31 * SECOND)
    for _ in range(10):
        world.producer.send_task("ringproof.sweep", queue="ringproof.ticks", ignore_result=True)
    for number in numbers:
        world.until(number, State.CODE_SENT)

    sends = Counter(send["phone_number"] for send in world.plivo.sends())
    assert [sends[number] for number in numbers] == [1] * 5


@pytest.fixture
def book(client):
    return Book(client)


def doubtful(book, kind=RequestKind.ROSTER, reason=None, **options):
    book.bring(Outcome(State.IN_DOUBT, reason), kind=kind, **options)
    book.move(17 * MINUTES)
    return book.record


def known(book, uuid="of-another-time", created=None, modified=None):
    return VerifiedNumber(book.number, "", "US", created, modified, "", uuid)


def test_a_uuid_of_last_year_is_no_answer(book):
    last_year = datetime.now(UTC) - timedelta(days=365)
    end_doubt(book.ledger, doubtful(book), known(book, created=last_year, modified=last_year), hold=True)

    assert (book.record.state, book.record.reason) == (State.FAILED, Reason.IN_DOUBT)


def test_a_date_after_the_attempt_is_one(book):
    record = doubtful(book)
    end_doubt(book.ledger, record, known(book, created=record.live_until), hold=True)

    assert book.record.state is State.VERIFIED
    assert book.record.live_until is None
    assert book.agenda() is None


def test_so_is_the_uuid_of_the_records_last_code(book):
    book.bring(SENT)
    book.move(16 * MINUTES)
    record = doubtful(book)
    end_doubt(book.ledger, record, known(book, uuid=record.verification_uuid), hold=False)

    assert book.record.state is State.VERIFIED


def test_on_hold_nothing_is_sent_again(book):
    end_doubt(book.ledger, doubtful(book), None, hold=True)

    assert (book.record.state, book.record.reason) == (State.FAILED, Reason.IN_DOUBT)


def test_a_request_is_repeated_once_and_then_fails_for_killing_its_workers(book, monkeypatch):
    sent = []
    monkeypatch.setattr("tasks.sweep.send_message", sent.append)
    end_doubt(book.ledger, doubtful(book, alias="Row 17"), None, hold=False)
    again = book.record
    assert (again.state, again.again, again.alias) == (State.QUEUED, True, "Row 17")
    assert sent == [message_of(book.number, again.request, Lane.BULK)]

    begun = book.begin(again.request)
    book.settle(begun, Outcome(State.IN_DOUBT, Reason.WORKER_LOST))
    book.move(17 * MINUTES)
    end_doubt(book.ledger, book.record, None, hold=False)

    assert (book.record.state, book.record.reason) == (State.FAILED, Reason.CRASHES_WORKER)
    assert len(sent) == 1


def test_a_person_who_asks_while_a_doubt_is_looked_up_wins(book, monkeypatch):
    monkeypatch.setattr("tasks.sweep.send_message", lambda _: pytest.fail("a message was sent"))
    record = doubtful(book)
    persons = book.accept().request
    end_doubt(book.ledger, record, None, hold=False)

    assert (book.record.request, book.record.state) == (persons, State.QUEUED)


def test_a_doubt_in_a_country_that_gets_no_codes_any_more_has_failed(book):
    record = doubtful(book, country="US")
    book.ledger.publish_policy(Policy(countries=("CA",)))
    end_doubt(book.ledger, record, None, hold=False)

    assert (book.record.state, book.record.reason) == (State.FAILED, Reason.IN_DOUBT)


@pytest.mark.parametrize("ending", [Outcome(State.FAILED, Reason.IN_DOUBT), Outcome(State.VERIFIED)])
def test_a_late_look_up_sends_nothing_for_a_doubt_that_has_ended_meanwhile(book, ending, monkeypatch):
    monkeypatch.setattr("tasks.sweep.send_message", lambda _: pytest.fail("a message was sent"))
    record = doubtful(book)
    book.ledger.settle(book.number, record.request, record.fence, ending)
    ended = book.record
    end_doubt(book.ledger, record, None, hold=False)

    assert book.record == ended


def test_nor_for_the_request_that_has_followed_it(book, monkeypatch):
    monkeypatch.setattr("tasks.sweep.send_message", lambda _: None)
    record = doubtful(book)
    end_doubt(book.ledger, record, None, hold=False)
    book.ledger.cancel(book.number, book.record.request)
    book.client.delete(book.keys.token(f"again:{book.number}:{record.request}"))  # as after a quarter of an hour
    cancelled = book.record
    end_doubt(book.ledger, record, None, hold=False)

    assert book.record == cancelled


def test_sweep_once_takes_at_most_so_many_and_says_what_it_did(book, monkeypatch):
    sent = []
    monkeypatch.setattr("tasks.sweep.send_message", lambda message: sent.append(message.args[0]))
    numbers = [fresh_number() for _ in range(7)]
    for number in numbers:
        book.ledger.accept(number, token=number)
    book.move(31 * SECOND)

    assert sweep_once(book.ledger, 5) == Counter({AgendaAction.ENQUEUE: 5})
    assert sweep_once(book.ledger, 5) == Counter({AgendaAction.ENQUEUE: 2})
    assert sorted(sent) == sorted(numbers)


def test_what_waited_in_bulk_goes_on_in_messages_of_one_channel_and_persons_one_by_one(book, monkeypatch):
    sent, chunks = [], []
    monkeypatch.setattr("tasks.sweep.send_message", lambda message: sent.append(message.args[0]))
    monkeypatch.setattr(
        "tasks.sweep.send_chunk", lambda asked, lane, channel, _: chunks.append((lane, channel, [n for n, _ in asked]))
    )
    monkeypatch.setattr("tasks.sweep.CHUNK", 2)
    numbers = {"sms": [fresh_number() for _ in range(3)], "call": [fresh_number()]}
    for channel, of_it in numbers.items():
        for number in of_it:
            options = {"kind": RequestKind.ROSTER, "lane": Lane.BULK, "channel": channel}
            book.ledger.accept(number, token=number, **options)
    book.accept()
    book.move(31 * SECOND)
    sweep_once(book.ledger)

    assert sent == [book.number]
    assert sorted(chunks) == sorted(
        [
            (Lane.BULK, "sms", numbers["sms"][:2]),
            (Lane.BULK, "sms", numbers["sms"][2:]),
            (Lane.BULK, "call", numbers["call"]),
        ]
    )


def test_each_outcome_of_the_sweep_has_a_line_in_the_log(client, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr("tasks.sweep.send_chunk", lambda *_: True)
    book = Book(client)
    request = book.accept(RequestKind.ROSTER).request
    client.hset(book.keys.record(book.number), mapping={"batch": "spring", "row": "sms:17:US"})
    book.move(timedelta(hours=25))
    sweep_once(book.ledger)
    (line,) = [one for one in caplog.records if getattr(one, "event", "") == "sweep"]

    assert line.getMessage() == f"failed {mask(book.number)} sms (too_late)"
    assert (line.number, line.request, line.lane, line.batch) == (mask(book.number), request, "bulk", "spring")
    assert (line.row, line.channel, line.state, line.reason) == ("sms:17:US", "sms", "failed", "too_late")

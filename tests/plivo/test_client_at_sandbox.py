"""What each of the sandbox's misfortunes means to our client, and what the sandbox says was done nevertheless."""

import contextlib
import time
import tracemalloc

import psutil
import pytest
from support.harness import AUTH_ID, AUTH_TOKEN, eventually, fresh_number

from ringproof.errors import (
    Forbidden,
    Rejected,
    RingproofError,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
    WrongCode,
)
from ringproof.plivo.client import Page, PlivoClient, Sent, VerifiedNumber
from ringproof.plivo.transport import HTTP_TIMEOUTS, HttpTimeouts
from ringproof.secret_str import SecretStr
from worker.local.sandbox.misfortunes import MisfortuneKind

MEGABYTE = 1024 * 1024
BRIEF = HttpTimeouts(answer_seconds=2)  # beyond what a busy machine needs to take a request and to answer the next one
MEANINGS = {
    "400": (Rejected, 0),
    "401": (Unauthorized, 0),
    "402": (Forbidden, 0),
    "403": (Forbidden, 0),
    "429": (Throttled, 0),
    "429_seconds": (Throttled, 0),
    "429_date": (Throttled, 0),
    "429_junk": (Throttled, 0),
    "500_before": (Unknown, 0),
    "500_after": (Unknown, 1),
    "502_before": (Unknown, 0),
    "502_after": (Unknown, 1),
    "503": (Unreachable, 0),
    "503_retry_after": (Unreachable, 0),
    "503_bare": (Unknown, 0),
    "503_bare_after": (Unknown, 1),
    "504_before": (Unknown, 0),
    "504_after": (Unknown, 1),
    "timeout_before": (Unknown, 0),
    "timeout_after": (Unknown, 1),
    "reset_before": (Unknown, 0),
    "reset_after": (Unknown, 1),
    "reset_in_body": (Unknown, 1),
    "closed_idle": (Sent, 1),
    "redirect": (Unknown, 0),
    "empty": (Unknown, 1),
    "html": (Unknown, 1),
    "truncated": (Unknown, 1),
    "without_uuid": (Unknown, 1),
    "async": (Unknown, 1),
    "error_in_200": (Unknown, 1),
    "trickle": (Unknown, 1),
    "flood": (Unknown, 1),
}
ENDLESS = {"timeout_before", "timeout_after", "trickle"}


@pytest.fixture
def client_of(plivo):
    """Build clients."""
    with contextlib.ExitStack() as stack:

        def build(timeouts=HTTP_TIMEOUTS):
            client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), plivo.base_url, timeouts=timeouts)
            stack.callback(client.close)
            return client

        yield build


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except RingproofError as error:
        return error


def test_the_table_has_every_kind():
    assert set(MEANINGS) == set(MisfortuneKind) - {MisfortuneKind.REFUSED}  # which is no answer: the last test's


@pytest.mark.parametrize("kind", MEANINGS)
def test_nothing_is_sent_twice_and_no_sent_code_is_taken_for_unsent(plivo, client_of, kind):
    meaning, codes = MEANINGS[kind]
    client, number, log = client_of(BRIEF if kind in ENDLESS else HTTP_TIMEOUTS), fresh_number(), plivo.log
    plivo.befall(kind)

    got = outcome(client.initiate, number)

    assert type(got) is meaning
    assert len(plivo.sends(number)) == codes
    assert [one["misfortune"] for one in plivo.requests()] == [kind]
    assert type(client.initiate(fresh_number())) is Sent  # nothing of it is left in the pool
    assert len(plivo.requests()) == 2
    assert plivo.log == log  # the sandbox is not surprised either


class Verified:
    """A number that has been verified, or is to be, and what our client can do with it."""

    def __init__(self, plivo, client):
        self.plivo, self.client, self.number = plivo, client, fresh_number()
        self.sent = client.initiate(self.number, alias="Before").verification_uuid
        self.code = SecretStr(plivo.sends(self.number)[-1]["code"])

    def complete(self):
        return self.client.complete(self.sent, self.code)

    def get(self):
        return self.client.get(self.number)

    def list(self):
        return self.client.list()

    def delete(self):
        return self.client.delete(self.number)

    def is_done(self, operation):
        """Whether it has had its effect; what only reads has none."""
        known = self.client.get(self.number)
        match operation:
            case "complete":
                return known is not None
            case "delete":
                return known is None
        return None


SUCCESSES = {"complete": VerifiedNumber, "get": VerifiedNumber, "list": Page, "delete": bool}
NO_BODY = ("empty", "truncated", "without_uuid", "trickle", "reset_in_body")
EXCEPTIONS = {
    ("complete", "400"): WrongCode,
    ("list", "without_uuid"): Page,  # it skips what it cannot use
    **{("delete", kind): bool for kind in NO_BODY},  # a 204 has none to spoil
}


@pytest.mark.parametrize("operation", SUCCESSES)
@pytest.mark.parametrize("kind", MEANINGS)
def test_what_a_misfortune_means_to_the_other_operations(plivo, client_of, kind, operation):
    meaning, done = MEANINGS[kind]
    meaning = EXCEPTIONS.get((operation, kind), SUCCESSES[operation] if meaning is Sent else meaning)
    one, log = Verified(plivo, client_of(BRIEF if kind in ENDLESS else HTTP_TIMEOUTS)), plivo.log
    if operation != "complete":
        one.complete()
    before = len(plivo.requests())
    plivo.befall(kind, operation=operation)

    got = outcome(getattr(one, operation))

    assert type(got) is meaning
    assert [(seen["kind"], seen["misfortune"]) for seen in plivo.requests()[before:]] == [(operation, kind)]
    assert one.is_done(operation) in {bool(done), None}
    assert plivo.log == log
    again = outcome(getattr(one, operation))
    if operation == "complete":  # the code is used up, if it was taken
        assert type(again) is (WrongCode if done else VerifiedNumber)
    elif operation == "delete":  # asking again is safe, and tells whether there was something left to do
        assert again is not bool(done)
    else:
        assert type(again) is SUCCESSES[operation]
    assert one.is_done(operation) in {True, None}
    assert len(plivo.sends(one.number)) == 1


@pytest.mark.parametrize("operation", SUCCESSES)
def test_while_it_is_refused_nothing_arrives_of_any_operation(plivo, client_of, operation):
    one = Verified(plivo, client_of(HttpTimeouts(connecting_seconds=0.3)))
    before = len(plivo.requests())
    plivo.befall("refused", seconds=2)

    assert type(outcome(getattr(one, operation))) is Unreachable
    eventually(lambda: type(outcome(one.list)) is Page, within=30)
    assert {seen["kind"] for seen in plivo.requests()[before:]} == {"list"}


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("429_seconds", 7, 7), ("429_date", 7, 10), ("503_retry_after", 7, 7)],  # a date and Date are whole seconds
)
def test_a_refusal_that_says_when_is_heard(plivo, client_of, kind, least, most):
    plivo.befall(kind, seconds=6.2)

    assert least <= outcome(client_of().initiate, fresh_number()).retry_after <= most


@pytest.mark.parametrize("kind", ["429", "429_junk", "503"])
def test_a_refusal_that_does_not_say_when_is_not_guessed(plivo, client_of, kind):
    plivo.befall(kind)

    assert outcome(client_of().initiate, fresh_number()).retry_after is None


def test_a_trickle_is_not_waited_for_though_every_byte_comes_in_time(plivo, client_of):
    plivo.befall("trickle", seconds=BRIEF.answer_seconds / 10)
    began = time.monotonic()

    assert type(outcome(client_of(BRIEF).initiate, fresh_number())) is Unknown
    assert time.monotonic() - began < HTTP_TIMEOUTS.answer_seconds


def test_each_connection_that_was_closed_while_idle_is_replaced_and_one_code_sent(plivo, client_of):
    client, numbers = client_of(), [fresh_number() for _ in range(5)]
    plivo.befall("closed_idle", share=1)

    got = []
    for number in numbers:
        got.append(client.initiate(number).verification_uuid)
        plivo.armed()  # answered after the FIN was sent: the connection is idle, and closed

    assert [send["verification_uuid"] for send in plivo.sends()] == got
    assert [send["phone_number"] for send in plivo.sends()] == numbers
    assert len(plivo.requests()) == len(numbers)


def test_a_flood_costs_the_client_no_memory_and_the_sandbox_gives_it_up(plivo, client_of):
    client = client_of()
    client.initiate(fresh_number())
    plivo.befall("flood")
    process = psutil.Process(plivo.popen.pid)
    before = process.memory_info().rss

    tracemalloc.start()
    try:
        got = outcome(client.initiate, fresh_number())
        _, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert type(got) is Unknown
    assert highest < MEGABYTE
    assert process.memory_info().rss - before < 8 * MEGABYTE


@pytest.mark.parametrize("kind", ["401", "403"])
def test_the_client_is_refused_a_look_up_too_while_its_account_is(plivo, client_of, kind):
    client, number = client_of(), fresh_number()
    plivo.befall(kind, times=2)

    assert [type(outcome(client.get, number)) for _ in range(3)] == [MEANINGS[kind][0]] * 2 + [type(None)]


def test_while_it_is_refused_nothing_arrives(plivo, client_of):
    client, number = client_of(HttpTimeouts(connecting_seconds=0.3)), fresh_number()
    plivo.befall("refused", seconds=2)

    assert type(outcome(client.initiate, number)) is Unreachable
    assert type(client_of().initiate(number)) is Sent  # by connecting again, until somebody listens
    assert len(plivo.sends(number)) == len(plivo.requests()) == 1

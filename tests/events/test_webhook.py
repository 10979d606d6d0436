"""Webhooks over real HTTP: signed, to the one address, within their limits, whatever the receiver does."""

import contextlib
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme
from support.harness import eventually
from support.number_in_ledger import SENT, UUID, Book
from support.receivers import WebhookServer, new_secret
from support.wire import http, refused_port, trickle

from ringproof.events import outbox
from ringproof.events.dispatcher import dispatch
from ringproof.events.event import Event, EventKind
from ringproof.events.outbox import Consumer
from ringproof.events.webhook import LONGEST_RETRY_AFTER, TIMEOUTS, Webhook
from ringproof.ledger.confirmation import mark_verified
from ringproof.network import webhook_address
from ringproof.network.public_address import is_public
from ringproof.plivo.client import VerifiedNumber
from ringproof.plivo.transport import HttpTimeouts
from ringproof.secret_str import SecretStr

SECRET = new_secret()
NUMBER = "+14155550123"
ENTRY = {
    "e": f"v- 1764376884123 {NUMBER} 1764376800 i sms 1 {UUID} sms:17:US spring 2026",
    "t": "74000 900000 0",
}
EVENT = Event.unpack("1764376884123-0", ENTRY)
QUICK = HttpTimeouts(connect_seconds=0.3, connecting_seconds=0.6, answer_seconds=0.6, body_bytes=16 * 1024)


@pytest.fixture
def receive():
    """Start receivers."""
    with contextlib.ExitStack() as stack:

        def start(answer=None, secret=SECRET, tls=None):
            server = WebhookServer(secret, answer, tls)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def send_to():
    """Build ways to a receiver."""
    with contextlib.ExitStack() as stack:

        def build(url, *secrets, **options):
            webhook = Webhook(SecretStr(url), [SecretStr(one) for one in secrets or (SECRET,)], **options)
            stack.callback(webhook.close)
            return webhook

        yield build


def test_a_receiver_gets_an_event_that_its_library_verifies(receive, send_to):
    server = receive()

    assert send_to(server.url()).deliver(EVENT).failure == ""
    ((message_id, message),) = server.messages
    assert message_id == "019acd0e-b39b-7000-8000-000000000000"
    assert message == {
        "type": "verification.verified",
        "timestamp": "2025-11-29T00:41:24.123Z",
        "data": {
            "id": f"{NUMBER}/1764376800",
            "phone_number": NUMBER,
            "state": "verified",
            "reason": None,
            "is_verified": True,
            "lane": "interactive",
            "channel": "sms",
            "verification_uuid": UUID,
            "code_sent_at": "2025-11-29T00:40:10.123+00:00",
            "expires_at": "2025-11-29T00:55:10.123+00:00",
            "verified_at": "2025-11-29T00:41:24.123+00:00",
            "batch": "spring 2026",
            "row": "sms:17:US",
        },
    }


def test_a_request_says_what_it_is_and_names_no_number_outside_of_its_body(receive, send_to):
    server = receive()
    send_to(server.url(path="/hooks?key=1")).deliver(EVENT)

    head, _, body = server.server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hooks?key=1 HTTP/1.1")
    assert b"Content-Type: application/json" in head
    assert NUMBER.encode() in body
    assert NUMBER[1:].encode() not in head


def test_secrets_are_replaced_without_a_gap(receive, send_to):
    old, new = new_secret(), new_secret()
    before, after = receive(secret=old), receive(secret=new)

    assert all(send_to(server.url(), old, new).deliver(EVENT).failure == "" for server in (before, after))
    assert send_to(before.url(), new).deliver(EVENT).failure == "answered 401"
    assert before.forged == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(receive, send_to, status):
    elsewhere = receive()
    server = receive(lambda _: http(status, b"", f"Location: {elsewhere.url()}"))

    assert send_to(server.url()).deliver(EVENT).failure == f"answered {status}"
    assert elsewhere.server.connections == 0


@pytest.mark.parametrize(("status", "is_gone"), [(400, False), (404, False), (410, True), (500, False), (503, False)])
def test_a_status_that_is_no_success_is_a_failure(receive, send_to, status, is_gone):
    server = receive(lambda _: http(status, b"{}"))

    receipt = send_to(server.url()).deliver(EVENT)
    assert (receipt.failure, receipt.is_gone) == (f"answered {status}", is_gone)


@pytest.mark.parametrize(
    ("header", "waits"),
    [
        ("120", timedelta(minutes=2)),
        ("0", timedelta()),
        ("99999999", LONGEST_RETRY_AFTER),
        ("9" * 40, LONGEST_RETRY_AFTER),
        ("-5", timedelta()),
        ("soon", timedelta()),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_RETRY_AFTER),
        ("Mon, 01 Jan 2001 00:00:00 GMT", timedelta()),
    ],
)
def test_a_receiver_says_when_to_come_back_within_bounds(receive, send_to, header, waits):
    server = receive(lambda _: http(429, b"", f"Retry-After: {header}"))

    assert send_to(server.url()).deliver(EVENT).retry_after == waits


def test_a_date_to_come_back_at_counts_from_now(receive, send_to):
    at = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    server = receive(lambda _: http(503, b"", f"Retry-After: {at}"))

    assert timedelta(minutes=9) < send_to(server.url()).deliver(EVENT).retry_after <= timedelta(minutes=10)


class TestTheAnswer:
    def test_may_be_slow_for_so_long_and_no_longer(self, receive, send_to):
        server = receive(lambda _: trickle(b"HTTP/1.1 200 OK\r\nX: "))
        began = time.monotonic()

        assert "timed out" in send_to(server.url(), timeouts=QUICK).deliver(EVENT).failure
        assert time.monotonic() - began < 5

    def test_has_fifteen_seconds_as_a_whole(self):
        assert TIMEOUTS.connecting_seconds + TIMEOUTS.answer_seconds == 15

    def test_may_be_endless_and_is_a_success_by_its_status(self, receive, send_to):
        server = receive(lambda _: http(200, b"x" * 100_000))

        assert send_to(server.url()).deliver(EVENT).failure == ""

    def test_appears_in_no_text(self, receive, send_to, caplog):
        server = receive(lambda _: http(500, f"{NUMBER} is unknown here".encode(), f"X-Number: {NUMBER}"))

        receipt = send_to(server.url()).deliver(EVENT)
        assert NUMBER[1:] not in f"{receipt}{caplog.text}"


def test_nobody_listens(send_to):
    receipt = send_to(f"http://127.0.0.1:{refused_port()}/", timeouts=QUICK).deliver(EVENT)

    assert receipt.failure == "no connection: Connection refused"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


class TestTls:
    def test_is_checked_with_the_configured_certificates(self, receive, send_to, tls, authority, tmp_path):
        authority.cert_pem.write_to_path(bundle := tmp_path / "ca.pem")
        server = receive(tls=tls)

        assert send_to(server.url("https"), ca_bundle=str(bundle)).deliver(EVENT).failure == ""

    def test_of_a_certificate_that_nobody_trusts_is_a_failure(self, receive, send_to, tls):
        server = receive(tls=tls)

        webhook = send_to(server.url("https"), timeouts=QUICK)

        eventually(lambda: "certificate" in webhook.deliver(EVENT).failure)
        assert not server.server.requests

    def test_of_a_certificate_of_another_host_is_a_failure(self, receive, send_to, authority, tmp_path):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("elsewhere.example").configure_cert(context)
        authority.cert_pem.write_to_path(bundle := tmp_path / "ca.pem")
        server = receive(tls=context)
        webhook = send_to(server.url("https"), ca_bundle=str(bundle), timeouts=QUICK)

        eventually(lambda: "certificate is not valid for" in webhook.deliver(EVENT).failure)
        assert not server.server.requests


class TestAPrivateAddress:
    @pytest.fixture
    def named(self, monkeypatch):
        """A name on the internet that leads to this machine, as a name of an attacker may."""
        import socket  # noqa: PLC0415

        look_up = socket.getaddrinfo

        def rebound(host, *rest, **options):
            return look_up("127.0.0.1" if host == "hooks.example.com" else host, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", rebound)
        return "hooks.example.com"

    def test_is_not_connected_to_whatever_name_leads_there(self, receive, send_to, named):
        server = receive()
        webhook = send_to(f"https://{named}:{server.server.port}/", timeouts=QUICK)

        failure = webhook.deliver(EVENT).failure
        assert failure == "the address 127.0.0.1 is private; to allow it: RINGPROOF_WEBHOOK_ALLOW_PRIVATE=true"
        assert server.server.connections == 0

    def test_is_connected_to_if_that_is_allowed(self, receive, send_to, named):
        server = receive()
        send_to(f"http://{named}:{server.server.port}/", allow_private=True).deliver(EVENT)

        assert len(server.messages) == 1

    @pytest.mark.parametrize(
        "host", ["10.1.2.3", "192.168.0.1", "172.16.5.4", "169.254.169.254", "100.64.0.1", "[fd00::1]", "[fe80::1]"]
    )
    def test_is_known_as_one_in_the_settings(self, host):
        assert webhook_address.is_private(f"https://{host}/")
        assert list(webhook_address.problems({"RINGPROOF_WEBHOOK_URL": f"https://{host}/"}))[1:] == [
            "RINGPROOF_WEBHOOK_URL: the address is private; to allow it, set RINGPROOF_WEBHOOK_ALLOW_PRIVATE=true"
        ]

    @pytest.mark.parametrize(
        "address",
        [
            "::ffff:10.0.0.1",
            "2002:a00:1::",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "::127.0.0.1",
            "fec0::1",
            "fe80::1%eth0",
            "ff02::1",
        ],
    )
    def test_is_judged_as_what_it_is(self, address):
        assert not is_public(address)

    @pytest.mark.parametrize("host", ["93.184.215.14", "hooks.example.com", "127.0.0.1", "localhost", "[2606:4700::1]"])
    def test_is_none_of_these(self, host):
        assert not webhook_address.is_private(f"https://{host}/")


def test_a_receiver_that_is_down_for_an_hour_gets_each_event_and_those_of_a_number_in_order(client, receive, send_to):
    book = Book(client)
    outbox.subscribe(book.ledger, Consumer.WEBHOOKS)
    numbers = []
    for _ in range(12):
        book.number = f"{book.number[:-2]}{len(numbers):02}"
        numbers.append(book.number)
        book.bring(SENT)
        mark_verified(book.ledger, [VerifiedNumber(book.number, "", "US", None, None, "", UUID)], "a handle")
    is_up = []
    server = receive(lambda _: http(204) if is_up else http(503))
    webhook = send_to(server.url())
    for _ in range(12):
        dispatch(book.ledger, webhook)
        book.move(timedelta(minutes=5))
    is_up.append(True)
    book.move(timedelta(minutes=5))
    dispatch(book.ledger, webhook)

    assert all(server.types(number) == ["verification.code_sent", "verification.verified"] for number in numbers)
    assert len(set(server.ids())) == 24


def test_an_event_never_shows_its_number():
    assert NUMBER[1:] not in f"{EVENT!r} {EVENT}"
    assert EVENT.kind is EventKind.VERIFIED

"""What each answer of Plivo means, on a server that plays any bytes and remembers what it was sent."""

import contextlib
import gzip
import io
import json
import logging
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import HTTPConnection

import pytest
from support.harness import fresh_number
from support.wire import (
    ANSWERED_SOON,
    AUTH_ID,
    AUTH_TOKEN,
    CONNECTED_SOON,
    LOGIN,
    NUMBER,
    QUICK,
    TAKEN,
    UUID,
    as_json,
    everything_shown,
    hang_up,
    http,
    locals_shown,
    outcome,
    refused_port,
    trickle,
)

from ringproof.errors import Forbidden, Misconfigured, Rejected, Throttled, Unauthorized, Unknown, Unreachable
from ringproof.plivo import transport
from ringproof.plivo.client import PlivoClient, Sent, VerifiedNumber
from ringproof.plivo.transport import HTTP_TIMEOUTS, HttpTimeouts, HttpTransport

# Of localhost and 127.0.0.1, self-signed, for a hundred years; it opens nothing.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgf3RB/517a+8TTMHP
TPACJSFCmfT5+BYnhAJusVIvMyuhRANCAASeIkHy3IC87Gyc7+oCtMmC1KqdtL+2
+CwC3+15uib51Krsavwa2PXhpTOdHIkWk0LwoKWNb4mE+XDZh3a7dtc0
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUQFHah7+ggGiDm6aGfUq3BHGDVs8wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzIxMzg1MloYDzIxMjYxMDMw
MjEzODUyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASeIkHy3IC87Gyc7+oCtMmC1KqdtL+2+CwC3+15uib51Krsavwa2PXh
pTOdHIkWk0LwoKWNb4mE+XDZh3a7dtc0o28wbTAdBgNVHQ4EFgQU+doUMuyatAwa
b4Z3rErGi7D3rBQwHwYDVR0jBBgwFoAU+doUMuyatAwab4Z3rErGi7D3rBQwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgWzmjsFlAXZ9GOO8kSn296m3+KyqtfRhEu6X8g2MKLNMCIQDG
B0Z2NmlRE7+VF3y92xItjaymRPuI3P2viQU+fvCWIw==
-----END CERTIFICATE-----
"""


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """What a TLS server needs to be trusted by the client."""
    pem = tmp_path / "certificate.pem"
    pem.write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(pem))
    return context


# What is sent


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_initiate_is_one_plain_post(serve, client_of, slash):
    server = serve()

    sent = client_of(server.url() + slash).initiate(NUMBER)

    assert sent == Sent("an-api-id", UUID, http_status=201)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == f"POST /v1/Account/{AUTH_ID}/VerifiedCallerId/ HTTP/1.1"
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert headers.pop("user-agent").startswith("ringproof/")
    assert headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": f"Basic {LOGIN}",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    assert body == b'{"phone_number":"+14155550123","channel":"sms"}'


def test_a_request_is_written_at_once(serve, client_of, monkeypatch):
    written, send = [], HTTPConnection.send
    monkeypatch.setattr(HTTPConnection, "send", lambda self, data: (written.append(data), send(self, data)))
    server = serve()
    client = client_of(server.url())

    for _ in range(2):
        client.initiate(NUMBER)
    outcome(client.get, NUMBER)

    assert written == server.requests


def test_optional_fields_are_sent_when_given_and_in_utf_8(serve, client_of):
    server = serve()

    client_of(server.url()).initiate(NUMBER, alias="Zoë ☎", channel="call", subaccount="SA1")

    body = server.requests[0].partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {
        "phone_number": NUMBER,
        "channel": "call",
        "alias": "Zoë ☎",
        "subaccount": "SA1",
    }
    assert "Zoë ☎".encode() in body


def test_a_number_is_looked_up_by_its_digits_as_in_plivos_own_links(serve, client_of):
    server = serve(http(404))

    assert client_of(server.url()).get(NUMBER) is None
    assert server.requests[0].startswith(b"GET /v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/14155550123/ HTTP")


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("https://api.plivo.com/v1", True),
        ("https://10.0.0.1:8443/", True),
        ("http://127.0.0.1:8077/v1", True),
        ("http://localhost:8077/v1", True),
        ("http://[::1]:8077/v1", True),
        ("http://api.plivo.com/v1", False),
        ("http://127.0.0.1.example.com/v1", False),
        ("http://127.0.0.1@example.com/v1", False),
        ("ftp://localhost/v1", False),
        ("https:///v1", False),
        ("api.plivo.com/v1", False),
        ("", False),
    ],
)
def test_credentials_go_out_over_https_unless_to_this_machine(client_of, url, is_fine):
    built = outcome(client_of, url)

    assert isinstance(built, PlivoClient if is_fine else Misconfigured)
    assert is_fine or "PLIVO_BASE_URL" in str(built)


def test_the_environments_proxies_netrc_and_ca_bundles_are_ignored(serve, client_of, monkeypatch, tmp_path):
    server, proxy = serve(), serve(http(502))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url())
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    client_of(server.url()).initiate(NUMBER)

    assert f"Basic {LOGIN}".encode() in server.requests[0]
    assert proxy.connections == 0


# What an answer means

BODIES = {
    "taken": as_json(api_id="a", message="sent", verification_uuid=UUID),
    "taken, with an error": as_json(error="?", verification_uuid=UUID),
    "Plivo's error": as_json(api_id="a", error="no"),
    "Plivo's error, an object": as_json(api_id="a", error={"code": "no"}),
    "Plivo's error, without text": as_json(api_id="a"),
    "a gateway's error": as_json(error="upstream failed", message="Service Unavailable", status=503),
    "async": as_json(message="async api spawned"),
    "uuid empty": as_json(message="sent", verification_uuid=""),
    "uuid null": as_json(message="sent", verification_uuid=None),
    "uuid a number": as_json(message="sent", verification_uuid=17),
    "uuid too long": as_json(message="sent", verification_uuid="x" * 65),
    "uuid with a space": as_json(message="sent", verification_uuid="a b"),
    "uuid beyond ASCII": as_json(message="sent", verification_uuid="ü"),
    "empty": b"",
    "HTML": b"<html><h1>It works!</h1></html>",
    "cut off": as_json(api_id="a", verification_uuid=UUID)[:-1],
    "a list": b'[{"verification_uuid": "x"}]',
    "a string": b'"verification_uuid"',
    "no UTF-8": b'{"verification_uuid": "\xff"}',
    "very deep": b"[" * 30_000,
    "a very long number": b"9" * 30_000,
}
TAKEN_BODIES = {"taken", "taken, with an error"}
PLIVO_BODIES = {"taken", "Plivo's error", "Plivo's error, an object", "Plivo's error, without text"}
RETRY_AFTER = {None: None, "17": 17.0, "soon": None, "-3": None}
MEANINGS = {
    Sent: {200, 201, 202, 206, 299},
    Unauthorized: {401},
    Forbidden: {402, 403},
    Throttled: {429},
    Rejected: {400, 404, 405, 406, 409, 410, 413, 415, 418, 421, 422, 425, 428, 431, 451, 499},
    Unreachable: {503},
    Unknown: {
        101,
        102,
        103,
        300,
        301,
        302,
        304,
        307,
        308,
        408,
        500,
        501,
        502,
        504,
        505,
        520,
        524,
        599,
        600,
        999,
    },
}
STATUSES = [(status, meaning) for meaning, codes in MEANINGS.items() for status in sorted(codes)]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("status", "meaning"), STATUSES)
def test_the_status_tells_what_became_of_an_initiate(serve, client_of, status, meaning, body):
    server = serve()
    client = client_of(server.url())
    if meaning is Sent and body not in TAKEN_BODIES:
        meaning = Unknown

    for count, (header, seconds) in enumerate(RETRY_AFTER.items(), 1):
        server.play = http(status, BODIES[body], *([f"Retry-After: {header}"] if header else []))
        got = outcome(client.initiate, NUMBER)

        expected = meaning
        if status == 503 and seconds is None and body not in PLIVO_BODIES:
            expected = Unknown
        assert type(got) is expected
        assert expected not in {Unreachable, Throttled} or got.retry_after == seconds
        assert len(server.requests) == count


CALLER_ID = {
    "alias": "Zoë",
    "api_id": "a",
    "country": "US",
    "created_at": "2023-08-10T08:53:29.123456Z",
    "modified_at": "2023-08-10T08:53:29.123456789+02:00",
    "phone_number": "14155550123",
    "subaccount": "",
    "verification_uuid": UUID,
}


def test_a_verified_number_is_read_in_full_and_shown_masked(serve, client_of):
    server = serve(http(200, as_json(**CALLER_ID)))

    found = client_of(server.url()).get(NUMBER)

    assert found == VerifiedNumber(
        phone_number=NUMBER,
        alias="Zoë",
        country="US",
        created_at=datetime(2023, 8, 10, 8, 53, 29, 123456, UTC),
        modified_at=datetime(2023, 8, 10, 6, 53, 29, 123456, UTC),
        subaccount="",
        verification_uuid=UUID,
    )
    assert "5550123" not in repr(found)
    assert "Zoë" not in repr(found)


@pytest.mark.parametrize("time", [None, "", "yesterday", 17, "2023-13-10T08:53:29Z"])
def test_a_time_that_is_none_is_no_reason_to_fail(serve, client_of, time):
    server = serve(http(200, as_json(**CALLER_ID | {"created_at": time, "alias": None})))

    found = client_of(server.url()).get(NUMBER)

    assert (found.created_at, found.alias) == (None, "")


@pytest.mark.parametrize(
    "change",
    [
        {"phone_number": None},
        {"phone_number": "14155550199"},
        {"phone_number": ["14155550123"]},
        {"verification_uuid": None},
        {"verification_uuid": ""},
    ],
)
def test_an_answer_about_another_number_or_without_a_uuid_is_none(serve, client_of, change):
    server = serve(http(200, as_json(**CALLER_ID | change)))

    assert type(outcome(client_of(server.url()).get, NUMBER)) is Unknown


@pytest.mark.parametrize(("status", "meaning"), STATUSES)
def test_the_status_tells_what_a_look_up_found(serve, client_of, status, meaning):
    server = serve(http(status, b"<html>"))
    special = {404: type(None), 503: Unknown}

    got = outcome(client_of(server.url()).get, NUMBER)

    assert type(got) is special.get(status, Unknown if meaning is Sent else meaning)
    assert len(server.requests) == 1


NOON = datetime(2040, 1, 1, 12, tzinfo=UTC)


def http_date(*arguments):
    return format_datetime(datetime(*arguments, tzinfo=UTC), usegmt=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("17", 17),
        (" 1.5 ", 1.5),
        ("900", 900),
        ("901", 900),
        ("9" * 400, 900),
        ("", None),
        ("-1", None),
        ("+5", None),
        ("1e3", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("5, 7", None),
        ("in a minute", None),
        (http_date(2040, 1, 1, 12, 0, 20), 20),
        (http_date(2040, 1, 1, 13), 900),
        (http_date(2040, 1, 1, 11), 0),
        ("Sun, 01 Jan 2040 12:00:20 -0000", 20),
        ("Sun, 01 Jan 2040 14:00:20 +0200", 20),
        ("Sun, 99 Jan 2040 12:00:20 GMT", None),
        ("Sun, 01 Jan 99999 12:00:20 GMT", None),
        ("Sun, 01 Jan 2040 12:00:20 +9999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_answers_own_clock(serve, client_of, header, seconds):
    server = serve(http(429, b"", f"Retry-After: {header}".encode().decode("latin-1")))
    server.play = (
        f"HTTP/1.1 429 Slow\r\nDate: {format_datetime(NOON, usegmt=True)}\r\nRetry-After: {header}\r\n"
        f"Content-Length: 0\r\n\r\n"
    ).encode()

    assert outcome(client_of(server.url()).initiate, NUMBER).retry_after == seconds


@pytest.mark.parametrize("date", [(), ("Date: noon",)])
def test_without_a_date_of_its_own_an_answer_is_judged_by_our_clock(serve, client_of, date):
    in_an_hour = format_datetime(datetime.fromtimestamp(time.time() + 3600, UTC), usegmt=True)
    server = serve(http(503, b"", f"Retry-After: {in_an_hour}", *date))

    assert outcome(client_of(server.url()).initiate, NUMBER).retry_after == 900


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        ("phone_number is invalid", "400 phone_number is invalid"),
        ("", "400"),
        (None, "400"),
        ({"code": 7, "message": "no such number"}, "400 no such number"),
        ({"code": 7}, '400 {"code":7}'),
        (["no", "such"], '400 ["no","such"]'),
        (17, "400 17"),
        ("two\r\nlines\tand \x00\x1b[31mcolour\u202e\ud800", "400 two lines and [31mcolour"),
        (f"your token {AUTH_TOKEN} of {AUTH_ID}", "400 your token ••• of •••"),
        ("x" * 100, "400 " + "x" * 60),
        ("é" * 100, "400 " + "é" * 30),
        ("x" + "☎" * 100, "400 x" + "☎" * 19),
    ],
)
def test_the_detail_is_plivos_text_in_64_printable_bytes(serve, client_of, error, detail):
    server = serve(http(400, as_json(api_id="a", error=error)))

    assert outcome(client_of(server.url()).initiate, NUMBER).detail == detail


@pytest.mark.parametrize("text", ["{} is a landline", "no: {}", "{}\u200b", "{} {} {} {} {} {} {} {}"])
@pytest.mark.parametrize("number", [NUMBER, "14155550123", "+1\u200b4155550123"])
def test_no_number_is_left_in_a_detail(serve, client_of, text, number):
    server = serve(http(400, as_json(error=text.replace("{}", number))))

    detail = outcome(client_of(server.url()).initiate, NUMBER).detail

    assert detail.startswith("400 ")
    assert "555" not in detail


# What takes too long, or never ends


HEAD = b"HTTP/1.1 201 Created\r\n"
REFUSED_HEAD = b"HTTP/1.1 400 Bad Request\r\n"


TRICKLING = {
    b"": Unknown,
    b"HTTP/1.1 2": Unknown,
    HEAD + b"X-Slow: ": Unknown,
    REFUSED_HEAD + b"X-Slow: ": Unknown,
    HEAD + b"Content-Length: 60000\r\n\r\n{": Unknown,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nea60\r\n{": Unknown,
    HEAD + b"\r\n{": Unknown,
    REFUSED_HEAD + b"Content-Length: 60000\r\n\r\n{": Rejected,
    b"HTTP/1.1 429 Slow\r\nContent-Length: 60000\r\n\r\n{": Throttled,
    b"HTTP/1.1 503 Down\r\nContent-Length: 60000\r\n\r\n{": Unknown,
    b"HTTP/1.1 503 Down\r\nRetry-After: 3\r\nContent-Length: 60000\r\n\r\n{": Unreachable,
}


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_answer_that_trickles_ends_in_time(serve, client_of, tls, encrypted):
    """All at once: the time in which the head must have come, though the machine is busy, is waited for but once."""
    timeouts = HttpTimeouts(answer_seconds=3)
    servers = [serve(trickle(first), tls if encrypted else None) for first in TRICKLING]
    clients = [client_of(server.url("https" if encrypted else "http"), timeouts) for server in servers]

    def ended(client):
        began = time.monotonic()
        return type(outcome(client.initiate, NUMBER)), time.monotonic() - began

    with ThreadPoolExecutor(len(clients)) as threads:
        got = dict(zip(TRICKLING, threads.map(ended, clients), strict=True))

    assert {first: meaning for first, (meaning, _) in got.items()} == TRICKLING
    assert all(timeouts.answer_seconds <= took < ANSWERED_SOON for _, took in got.values()), got
    assert [len(server.requests) for server in servers] == [1] * len(servers)


def test_a_server_that_does_not_read_ends_in_time(client_of):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = client_of(f"http://127.0.0.1:{silent.getsockname()[1]}", QUICK)
        began = time.monotonic()

        got = outcome(client.initiate, NUMBER, alias="x" * 20_000_000)

        assert type(got) is Unknown
        assert QUICK.answer_seconds <= time.monotonic() - began < ANSWERED_SOON


def test_an_answer_before_the_request_was_read_counts(client_of):
    """A balancer refuses a request that is too long, and closes: the client learns of it while it writes."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:

        def refuse():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1)
                connection.sendall(http(413, b"", "Connection: close"))

        refusing = thread.submit(refuse)
        client = client_of(f"http://127.0.0.1:{listening.getsockname()[1]}")

        got = outcome(client.initiate, NUMBER, alias="x" * 20_000_000)
        refusing.result()

    assert type(got) is Rejected
    assert got.detail == "413"


ENDLESS = {
    "body": (HEAD + b"Content-Length: 104857600\r\n\r\n", b"x" * 65536),
    "body without a length": (HEAD + b"\r\n", b"x" * 65536),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "small chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 8192),
    "a chunk of -1": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"x" * 65536),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 8192),
    "headers": (HEAD, b"X: y\r\n" * 8192),
    "one header": (HEAD + b"X: ", b"x" * 65536),
    "status line": (b"HTTP/1.1 201 ", b"x" * 65536),
    "continuing": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2048),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_of_a_hundred_megabytes_little_is_read(serve, client_of, kind):
    first, piece = ENDLESS[kind]
    taken = []

    def play(connection, _request):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.sendall(first)
        for _ in range(100 * 1024 * 1024 // len(piece)):
            connection.sendall(piece)
            taken.append(len(piece))

    server = serve(play)

    got = outcome(client_of(server.url(), HttpTimeouts(answer_seconds=30)).initiate, NUMBER)

    assert type(got) is Unknown
    assert sum(taken) < 8 * 1024 * 1024  # what the kernel's own buffers hold
    assert len(server.requests) == 1


def test_a_body_may_be_as_long_as_the_limit_and_no_longer(serve, client_of):
    fits = as_json(verification_uuid=UUID).ljust(HttpTimeouts().body_bytes)
    server = serve(http(201, fits))
    client = client_of(server.url())

    assert type(outcome(client.initiate, NUMBER)) is Sent
    server.play = http(201, fits + b" ")
    assert type(outcome(client.initiate, NUMBER)) is Unknown
    server.play = http(400, fits + b" ")
    assert type(outcome(client.initiate, NUMBER)) is Rejected
    server.play = TAKEN
    assert type(outcome(client.initiate, NUMBER)) is Sent


# What breaks


BRIEF = HttpTimeouts(answer_seconds=3)  # where the answer has no end, and the next one must come in time
SHAKING = HttpTimeouts(connecting_seconds=3)  # where a handshake shows the fault, and needs its time in each try

BREAKS = {
    "closed at once": (hang_up(), Unknown),
    "reset at once": (hang_up(reset=True), Unknown),
    "closed in the status line": (hang_up(b"HTTP/1.1 20"), Unknown),
    "closed in the head": (hang_up(HEAD + b"Content-Le"), Unknown),
    "closed after the head": (hang_up(http(201, b"", length=100)), Unknown),
    "closed in the body": (hang_up(http(201, b'{"verification_uuid":', length=100)), Unknown),
    "closed short of its length": (hang_up(http(201, BODIES["taken"], length=1000)), Unknown),
    "closed in the chunks": (hang_up(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"), Unknown),
    "closed in the body of a 400": (hang_up(http(400, b'{"er', length=100)), Rejected),
    "closed in the body of a 500": (hang_up(http(500, b'{"er', length=100)), Unknown),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2 +14155550123\r\n", Unknown),
    "another status": (b"HTTP/1.1 two +14155550123\r\n\r\n", Unknown),
    "another version": (b"HTTP/9.9 201 Created\r\n\r\n", Unknown),
    "no length": (b"HTTP/1.1 201 Created\r\nContent-Length: 5, 6 +14155550123\r\n\r\n{}{}{}", Unknown),
    "two lengths": (b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}", Unknown),
    "a bad chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n+14155550123x\r\n", Unknown),
    "bad headers": (hang_up(HEAD + b"+14155550123\r\n: x\r\n\r\n"), Unknown),
    "packed against our wish": (http(201, gzip.compress(BODIES["taken"]), "Content-Encoding: gzip"), Unknown),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_what_breaks_after_it_was_written_is_sent_once_and_unknown(serve, client_of, kind):
    play, meaning = BREAKS[kind]
    server = serve(play)
    client = client_of(server.url(), BRIEF if kind == "no length" else HTTP_TIMEOUTS)

    assert type(outcome(client.initiate, NUMBER)) is meaning
    assert len(server.requests) == 1
    server.play = TAKEN
    assert type(outcome(client.initiate, NUMBER)) is Sent


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("operation", ["initiate", "get"])
def test_a_redirect_is_not_followed(serve, client_of, operation, status):
    elsewhere = serve()
    server = serve(http(status, b"", f"Location: {elsewhere.url()}/Account/"))

    assert type(outcome(getattr(client_of(server.url()), operation), NUMBER)) is Unknown
    assert len(server.requests) == 1
    assert elsewhere.connections == 0


def test_a_bug_after_the_first_byte_is_not_taken_for_unsent(serve, client_of, monkeypatch):
    server = serve()
    monkeypatch.setattr(transport._Answer, "begin", lambda _self: 1 / 0)

    got = outcome(client_of(server.url()).initiate, NUMBER)

    assert type(got) is Unknown
    assert str(got) == "no answer: ZeroDivisionError"


def test_a_bug_before_the_first_byte_rises(serve, client_of, monkeypatch):
    server = serve()
    monkeypatch.setattr(transport._Connection, "connect", lambda _self: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        client_of(server.url()).initiate(NUMBER)
    assert server.requests == []


# What was surely not sent


@pytest.fixture
def no_try_is_too_late(monkeypatch):
    """Let none of the tries find its time over, however busy the machine is: they end, and time stands for each."""
    monkeypatch.setattr(transport, "boot_clock", lambda: 0.0)


def test_a_refused_connection_is_unreachable(client_of, no_try_is_too_late):
    began = time.monotonic()

    got = outcome(client_of(f"http://127.0.0.1:{refused_port()}", QUICK).initiate, NUMBER)

    assert type(got) is Unreachable
    assert str(got) == "no connection: Connection refused"
    assert got.retry_after is None
    assert isinstance(got.__cause__, ConnectionRefusedError)
    assert time.monotonic() - began < CONNECTED_SOON


def test_connecting_is_tried_again_and_the_request_is_then_sent_once(serve, client_of, monkeypatch):
    server = serve()
    ports = iter([refused_port(), refused_port(), server.port])
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, _port, **how: resolve(host, next(ports), **how))

    assert type(client_of(server.url()).initiate(NUMBER)) is Sent
    assert len(server.requests) == 1


def test_a_dead_address_gives_way_to_the_next(serve, client_of, monkeypatch):
    server = serve()
    dead, alive = (
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in (refused_port(), server.port)
    )
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: asked.append(1) or [dead, alive])

    assert type(client_of(server.url()).initiate(NUMBER)) is Sent
    assert len(asked) == 1


def test_an_unknown_host_is_unreachable(client_of, monkeypatch):
    def resolve(*_arguments, **_keywords):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    got = outcome(client_of("https://nowhere.invalid/v1", QUICK).initiate, NUMBER)

    assert type(got) is Unreachable
    assert str(got) == "no connection: Name or service not known"


def test_after_a_resolver_that_took_too_long_nothing_is_sent(serve, client_of, monkeypatch):
    server = serve()
    resolve = socket.getaddrinfo

    def slowly(*arguments, **keywords):
        server.ended.wait(2 * QUICK.connecting_seconds)
        return resolve(*arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)

    assert type(outcome(client_of(server.url(), QUICK).initiate, NUMBER)) is Unreachable
    assert server.requests == []


def test_a_machine_that_was_suspended_while_connecting_sends_nothing(serve, client_of, monkeypatch):
    server = serve()
    ready, now = transport._Pool._validate_conn, transport.boot_clock

    def fall_asleep(pool, connection):
        ready(pool, connection)
        monkeypatch.setattr(transport, "boot_clock", lambda: now() + 3600)

    monkeypatch.setattr(transport._Pool, "_validate_conn", fall_asleep)

    assert type(outcome(client_of(server.url(), QUICK).initiate, NUMBER)) is Unreachable
    assert server.requests == []


def test_a_connection_that_is_never_accepted_times_out(client_of):
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        began = time.monotonic()

        got = outcome(client_of(f"http://127.0.0.1:{full.getsockname()[1]}", QUICK).initiate, NUMBER)

    assert type(got) is Unreachable
    assert str(got) == "no connection: timed out"
    assert time.monotonic() - began < CONNECTED_SOON


def test_without_tls_on_the_other_side_nothing_is_sent(serve, client_of):
    server = serve(http(400))

    got = outcome(client_of(server.url("https"), QUICK).initiate, NUMBER)

    assert type(got) is Unreachable
    assert not any(LOGIN.encode() in request for request in server.requests)


def test_a_handshake_that_never_ends_is_unreachable(client_of):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()

        got = outcome(client_of(f"https://127.0.0.1:{silent.getsockname()[1]}", QUICK).initiate, NUMBER)

    assert type(got) is Unreachable
    assert time.monotonic() - began < CONNECTED_SOON


def test_an_unknown_certificate_gets_no_request(serve, client_of, tls, monkeypatch):
    monkeypatch.undo()  # the fixture's trust
    monkeypatch.setattr(transport, "boot_clock", lambda: 0.0)  # as no_try_is_too_late
    server = serve(tls=tls)

    got = outcome(client_of(server.url("https"), SHAKING).initiate, NUMBER)

    assert type(got) is Unreachable
    assert str(got) == "no connection: self-signed certificate"
    assert server.requests == []


def test_a_certificate_of_another_host_gets_no_request(serve, client_of, tls):
    server = serve(tls=tls)

    got = outcome(client_of(f"https://127.0.0.2:{server.port}", SHAKING).initiate, NUMBER)

    assert type(got) is Unreachable
    assert server.requests == []


def test_a_greeting_connects_by_tls_and_writes_no_request(serve, tls):
    server = serve(tls=tls)
    way = HttpTransport(server.url("https"), {}, pool_size=1, timeouts=SHAKING)
    peer = way.greet()
    way.close()

    assert (peer.address, peer.tls) == ("127.0.0.1", "TLSv1.3")
    assert peer.trusted_until > datetime.now(UTC)
    assert server.requests == []


def test_a_greeting_without_tls_says_so(serve):
    server = serve()
    way = HttpTransport(server.url(), {}, pool_size=1, timeouts=SHAKING)
    peer = way.greet()
    way.close()

    assert (peer.tls, peer.trusted_until) == (None, None)


def test_a_probe_returns_plivos_time(serve, client_of):
    server = serve(http(200, as_json(objects=[]), "Date: Mon, 30 Nov 2026 01:02:03 GMT"))

    assert client_of(server.url()).probe() == datetime(2026, 11, 30, 1, 2, 3, tzinfo=UTC)


# Connections and threads


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("answer", [TAKEN, http(400), http(404, b"{}"), http(500, b"<html>")])
def test_a_connection_is_used_again(serve, client_of, tls, encrypted, answer):
    server = serve(answer, tls if encrypted else None)
    client = client_of(server.url("https" if encrypted else "http"))

    for _ in range(5):
        outcome(client.initiate, NUMBER)

    assert len(server.requests) == 5
    assert server.connections == 1


def test_a_client_that_was_closed_connects_again(serve, client_of):
    server = serve()
    client = client_of(server.url())

    for _ in range(2):
        client.initiate(NUMBER)
        client.close()

    assert server.connections == 2


def test_a_connection_that_was_idle_too_long_is_not_used_again(serve, client_of):
    server = serve()
    client = client_of(server.url(), HttpTimeouts(idle_seconds=0))

    for _ in range(3):
        client.initiate(NUMBER)

    assert server.connections == 3


def test_a_connection_that_was_closed_while_idle_is_replaced(serve, client_of):
    server = serve(hang_up(TAKEN))
    client = client_of(server.url(), HttpTimeouts(idle_seconds=60))

    for count in (1, 2, 3):
        client.initiate(NUMBER)
        server._threads[-1].join(5)
        assert len(server.requests) == server.connections == count


@pytest.mark.parametrize("encrypted", [False, True])
def test_bytes_left_over_are_not_the_next_answer(serve, client_of, tls, encrypted):
    forged = http(201, as_json(verification_uuid="forged"))
    server = serve(TAKEN.ljust(io.DEFAULT_BUFFER_SIZE) + forged, tls if encrypted else None)
    client = client_of(server.url("https" if encrypted else "http"), HttpTimeouts(idle_seconds=60))

    got = [client.initiate(NUMBER).verification_uuid for _ in range(5)]

    assert got == [UUID] * 5


@pytest.mark.parametrize("encrypted", [False, True])
def test_twenty_five_threads_get_each_their_own_answer(serve, client_of, tls, encrypted):
    def echo(connection, request):
        number = json.loads(request.partition(b"\r\n\r\n")[2])["phone_number"]
        connection.sendall(http(201, as_json(verification_uuid=f"of{number}")))

    server = serve(echo, tls if encrypted else None)
    client = client_of(server.url("https" if encrypted else "http"))
    numbers = [fresh_number() for _ in range(250)]

    with ThreadPoolExecutor(25) as threads:
        got = list(threads.map(client.initiate, numbers))

    assert [sent.verification_uuid for sent in got] == [f"of{number}" for number in numbers]
    assert len(server.requests) == 250
    assert server.connections <= 25


# What is not shown


SECRETS = (AUTH_TOKEN, AUTH_ID, LOGIN, "14155550123", "5550123")


@pytest.mark.parametrize("operation", ["initiate", "get"])
@pytest.mark.parametrize("kind", [*BREAKS, "refused", "TLS", "status 400", "status 500"])
def test_no_error_and_no_log_shows_number_or_credentials(serve, client_of, caplog, kind, operation):
    caplog.set_level(logging.DEBUG)
    answers = {"status 400": 400, "status 500": 500}
    server = serve(BREAKS[kind][0] if kind in BREAKS else http(answers.get(kind, 200), b'{"error":"+14155550123"}'))
    url = (
        f"http://127.0.0.1:{refused_port()}" if kind == "refused" else server.url("https" if kind == "TLS" else "http")
    )
    client = client_of(url, QUICK)

    try:
        raise LookupError("what the caller is about")
    except LookupError:
        got = outcome(getattr(client, operation), NUMBER)

    shown = everything_shown(got) + caplog.text + repr(client) + str(vars(client))
    assert "what the caller is about" in shown
    assert not [secret for secret in SECRETS[:1] + SECRETS[2:] if secret in shown]
    assert AUTH_ID not in shown.replace(str(vars(client)), "")


@pytest.mark.parametrize("kind", [*BREAKS, "refused", "a bug"])
def test_no_local_of_a_traceback_shows_the_credentials(serve, client_of, monkeypatch, kind):
    server = serve(BREAKS[kind][0] if kind in BREAKS else TAKEN)
    if kind == "a bug":
        monkeypatch.setattr(transport._Answer, "begin", lambda _self: 1 / 0)
    client = client_of(f"http://127.0.0.1:{refused_port()}" if kind == "refused" else server.url(), QUICK)

    shown = locals_shown(outcome(client.initiate, NUMBER))

    assert "phone_number=" in shown
    assert not [secret for secret in (AUTH_TOKEN, LOGIN) if secret in shown]


def test_a_body_shows_its_length_alone():
    body = transport.Body(b'{"otp":"1234"}')

    assert f"{body} {body!r} {[body]}" == "<14 bytes> <14 bytes> [<14 bytes>]"
    assert body == b'{"otp":"1234"}'


def test_urllib3_still_logs_for_others(serve, client_of, caplog):
    caplog.set_level(logging.DEBUG)
    client_of(serve().url()).initiate(NUMBER)
    assert caplog.records == []

    logging.getLogger("urllib3.connectionpool").debug("for another client")

    assert caplog.messages == ["for another client"]


# The sandbox's ledger


def test_the_sandbox_takes_it_and_knows_it_when_it_is_verified(plivo, client_of):
    client, number = client_of(plivo.base_url), fresh_number()

    sent = client.initiate(number, alias="Front desk", channel="call")

    assert [(send["phone_number"], send["verification_uuid"]) for send in plivo.sends(number)] == [
        (number, sent.verification_uuid)
    ]
    assert client.get(number) is None

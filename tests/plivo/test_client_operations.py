"""What each answer of Plivo means to complete, list and delete, on a server that plays any bytes."""

import json
import logging
import re
import socket
import time
import urllib.parse
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.harness import fresh_number
from support.wire import (
    ANSWERED_SOON,
    AUTH_ID,
    AUTH_TOKEN,
    LOGIN,
    NUMBER,
    QUICK,
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

from ringproof.errors import (
    Forbidden,
    InvalidNumber,
    LeaseOver,
    Rejected,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
    WrongCode,
)
from ringproof.phone.caller_id import ALIAS_LENGTH
from ringproof.plivo.client import Page, VerifiedNumber, _offset
from ringproof.plivo.transport import HTTP_TIMEOUTS, HttpTimeouts
from ringproof.secret_str import SecretStr

CODE = "07428153"
OTP = SecretStr(CODE)
COMPLETED = {
    "alias": "Zoë",
    "api_id": "a",
    "channel": "sms",
    "country": "US",
    "created_at": "2023-08-10T08:53:29.123456789Z",
    "phone_number": "14155550123",
    "verification_uuid": UUID,
}


def request_of(server):
    """The last request: its first line and its body."""
    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    return head.split(b" HTTP/1.1")[0].decode(), body


# Complete


def test_a_completion_is_one_post_of_the_code_as_it_is(serve, client_of):
    server = serve(http(201, as_json(**COMPLETED)))

    done = client_of(server.url()).complete(UUID, OTP)

    first, body = request_of(server)
    assert first == f"POST /v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/Verification/{UUID}/"
    assert body == b'{"otp":"07428153"}'
    assert b"Content-Type: application/json" in server.requests[0]
    assert (done.phone_number, done.alias, done.country, done.verification_uuid) == (NUMBER, "Zoë", "US", UUID)
    assert (done.created_at.isoformat(), done.modified_at) == ("2023-08-10T08:53:29.123456+00:00", None)
    assert done.subaccount == ""


def test_a_uuid_is_one_segment_of_the_path_whatever_is_in_it(serve, client_of):
    server = serve(http(404))

    outcome(client_of(server.url()).complete, "../14155550123?x#y", OTP)

    assert "/VerifiedCallerId/Verification/..%2F14155550123%3Fx%23y/" in request_of(server)[0]


MEANINGS = {
    WrongCode: [400, 404, 405, 406, 409, 410, 413, 415, 418, 422, 423, 425, 451, 499],
    Unauthorized: [401],
    Forbidden: [402, 403],
    Throttled: [429],
    Unknown: [300, 301, 302, 307, 308, 408, 500, 501, 502, 503, 504, 520, 599],
}


@pytest.mark.parametrize("body", [b"", b"<html>", as_json(error="the otp is right"), as_json(**COMPLETED)])
@pytest.mark.parametrize(("status", "meaning"), [(one, meaning) for meaning, all_ in MEANINGS.items() for one in all_])
def test_the_status_tells_what_became_of_a_code(serve, client_of, status, meaning, body):
    server = serve(http(status, body))
    if status == 503 and b"api_id" in body:
        meaning = Unreachable

    assert type(outcome(client_of(server.url()).complete, UUID, OTP)) is meaning
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        as_json(**COMPLETED)[:-1],
        as_json(message="async api spawned", api_id="a"),
        as_json(error="internal server error", api_id="a"),
        as_json(**COMPLETED | {"phone_number": None}),
        as_json(**COMPLETED | {"phone_number": "me"}),
        as_json(**COMPLETED | {"phone_number": ["14155550123"]}),
        as_json(**COMPLETED | {"phone_number": True}),
        as_json(**COMPLETED | {"verification_uuid": None}),
        as_json(**COMPLETED | {"verification_uuid": "another"}),
        b"[" * 30_000,
        b'{"phone_number":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_a_success_that_does_not_say_which_number_it_verified_is_unknown(serve, client_of, body):
    assert type(outcome(client_of(serve(http(201, body)).url()).complete, UUID, OTP)) is Unknown


@pytest.mark.parametrize("written", ["14155550123", "+14155550123", 14155550123])
def test_the_number_may_be_written_as_plivo_likes(serve, client_of, written):
    server = serve(http(200, as_json(**COMPLETED | {"phone_number": written})))

    assert client_of(server.url()).complete(UUID, OTP).phone_number == NUMBER


def test_the_last_look_may_keep_a_code_from_being_entered(serve, client_of):
    server = serve(http(201, as_json(**COMPLETED)))
    client = client_of(server.url())

    def too_late():
        raise LeaseOver("too slow")

    assert type(outcome(client.complete, UUID, OTP, before_first_byte=too_late)) is LeaseOver
    assert server.requests == []
    assert type(client.complete(UUID, OTP, before_first_byte=lambda: None)) is VerifiedNumber


# List

LISTED = {
    "alias": "Front desk",
    "country": "US",
    "created_at": "2023-08-10T08:53:29.123456Z",
    "modified_at": "2023-08-10T08:53:29.123456Z",
    "phone_number": "14155550123",
    "resource_uri": "/v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/14155550123",
    "subaccount": "",
    "verification_uuid": UUID,
}
META = {"limit": 20, "next": None, "offset": 0, "previous": None, "total_count": 1}


def listing(*objects, **meta):
    return http(200, as_json(api_id="a", meta=META | meta, objects=objects))


def test_a_list_is_one_get(serve, client_of):
    server = serve(listing(LISTED))

    page = client_of(server.url()).list()

    assert request_of(server) == ("GET /v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/?limit=20&offset=0", b"")
    (one,) = page.objects
    assert (one.phone_number, one.alias, one.verification_uuid) == (NUMBER, "Front desk", UUID)
    assert page == Page((one,), next=None, total=1, skipped=0)
    assert "5550123" not in repr(page)


def test_a_list_is_asked_for_with_what_was_given(serve, client_of):
    server = serve(listing())

    client_of(server.url()).list(limit=5, offset=40)

    asked = parse_qs(urlsplit(request_of(server)[0].split()[1]).query)
    assert asked == {"limit": ["5"], "offset": ["40"]}


@pytest.mark.parametrize(
    "odd",
    [
        None,
        7,
        "14155550123",
        [],
        {},
        LISTED | {"phone_number": None},
        LISTED | {"phone_number": "nobody"},
        LISTED | {"phone_number": {}},
        LISTED | {"verification_uuid": None},
        LISTED | {"verification_uuid": ""},
    ],
)
def test_what_is_listed_without_number_or_uuid_is_skipped_and_counted(serve, client_of, odd):
    server = serve(listing(odd, LISTED, odd, LISTED | {"alias": None, "created_at": 17, "country": []}))

    page = client_of(server.url()).list()

    assert [one.phone_number for one in page.objects] == [NUMBER, NUMBER]
    assert (page.objects[1].alias, page.objects[1].created_at, page.objects[1].country) == ("", None, "")
    assert page.skipped == 2


@pytest.mark.parametrize(
    ("link", "offset"),
    [
        ("/v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/?limit=20&offset=60", 60),
        ("/v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/?offset=60&limit=7&alias=a%26offset=80", 60),
        ("https://api.plivo.com/v1/Account/MA/VerifiedCallerId/?limit=20&offset=41", 41),
        ("http://127.0.0.1:1/?offset=60", 60),
        ("?offset=60", 60),
        ("?offset=50&offset=60#offset=70", 60),
        ("/VerifiedCallerId/?limit=20&offset=40", None),
        ("/VerifiedCallerId/?limit=20&offset=0", None),
        ("?offset=-1", None),
        ("?offset=6e1", None),
        ("?offset=٦٠", None),
        ("?offset=" + "9" * 5000, None),
        ("?offset=", None),
        ("?limit=20", None),
        ("http://[", None),
        ("", None),
        (None, None),
        (60, None),
        (["?offset=60"], None),
        ({"offset": 60}, None),
    ],
)
def test_of_the_link_to_the_next_page_only_an_offset_beyond_is_believed(serve, client_of, link, offset):
    server = serve(listing(next=link))

    assert client_of(server.url()).list(offset=40).next == offset
    assert len(server.requests) == server.connections == 1


@pytest.mark.parametrize("meta", [{}, None, [], "meta", {"next": None}])
def test_a_list_without_a_meta_is_one(serve, client_of, meta):
    server = serve(http(200, as_json(meta=meta, objects=[LISTED])))

    page = client_of(server.url()).list()

    assert (len(page.objects), page.next, page.total, page.skipped) == (1, None, None, 0)


@pytest.mark.parametrize(
    ("total", "known"), [(0, 0), (10**12, 10**12), (-1, None), ("5", None), (True, None), (1.0, None)]
)
def test_the_total_is_a_count_or_none(serve, client_of, total, known):
    assert client_of(serve(listing(total_count=total)).url()).list().total == known


def test_an_empty_list_may_be_null_as_go_writes_it(serve, client_of):
    server = serve(http(200, as_json(api_id="a", meta=META | {"total_count": 0}, objects=None)))

    assert client_of(server.url()).list() == Page((), None, 0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        as_json(api_id="a", meta=META),
        as_json(objects=None),
        as_json(meta=META, objects={}),
        as_json(meta=META, objects="none"),
        as_json(message="async api spawned"),
        as_json(error="internal server error"),
        as_json(meta=META, objects=[LISTED])[:-1],
    ],
)
def test_a_success_that_is_no_list_is_unknown(serve, client_of, body):
    assert type(outcome(client_of(serve(http(200, body)).url()).list)) is Unknown


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_page_of_the_longest_aliases_fits(serve, client_of, ascii_only):
    body = json.dumps(
        {"api_id": UUID, "meta": META, "objects": [LISTED | {"alias": "🦊" * ALIAS_LENGTH}] * 20},
        ensure_ascii=ascii_only,
    ).encode()
    server = serve(http(200, body))

    page = client_of(server.url()).list()

    assert {one.alias for one in page.objects} == {"🦊" * ALIAS_LENGTH}
    assert len(page.objects) == 20
    assert len(body) < (0.6 if ascii_only else 0.3) * HTTP_TIMEOUTS.body_bytes


NASTY = st.text(alphabet=st.sampled_from("?&=/#:[]@%+.offsetlimi0129٣\x00 \ud800é"), max_size=60)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)


@given(st.one_of(NASTY, NASTY.map("/v1/?limit=20&offset=".__add__), st.text(), JSON), st.integers(0, 10**6))
def test_whatever_the_link_is_asking_on_leads_on_or_ends(link, offset):
    found = _offset(link, offset)

    assert found is None or (offset < found and str(found) in urllib.parse.unquote(link))


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.integers(1, 10**11),
    st.sampled_from(["", "/v1/Account/MA/VerifiedCallerId/", "https://api.plivo.com/v1/", "//elsewhere"]),
)
def test_a_link_that_leads_on_is_understood(alias, offset, before):
    link = f"{before}?{urlencode({'alias': alias, 'limit': 20, 'offset': offset})}"

    assert _offset(link, offset - 1) == offset
    assert _offset(link, offset) is None


def test_the_pages_of_the_sandbox_are_walked_to_their_end(plivo, client_of):
    client, numbers = client_of(plivo.base_url), [fresh_number() for _ in range(7)]
    for number in numbers:
        client.initiate(number, alias="Zoë & Co")
        plivo.complete(number)

    found, offset = [], 0
    while offset is not None:
        page = client.list(limit=3, offset=offset)
        found += page.objects
        offset = page.next

    assert [one.phone_number for one in found] == numbers[::-1]
    assert page.total == 7
    assert type(outcome(client.list, limit=21)) is Rejected


# Get

KEPT = {name: value for name, value in LISTED.items() if name != "resource_uri"} | {"api_id": "a"}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", as_json(message="async api spawned"), as_json(error="no"), as_json(**KEPT)[:-1]]
    + [
        as_json(**KEPT | change)
        for change in ({"phone_number": "14155550199"}, {"phone_number": None}, {"verification_uuid": None})
    ],
)
def test_a_success_that_is_not_about_this_number_is_unknown(serve, client_of, body):
    assert type(outcome(client_of(serve(http(200, body)).url()).get, NUMBER)) is Unknown


# Delete


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (http(204), True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (http(200), True),
        (http(200, as_json(api_id="a", message="deleted")), True),
        (http(200, as_json(api_id="a", error=None)), True),
        (http(404), False),
        (http(404, b"<html>"), False),
        (http(202), Unknown),
        (http(202, as_json(message="async api spawned", api_id="a")), Unknown),
        (http(200, as_json(error="internal server error", api_id="a")), Unknown),
        (http(200, b"<html><h1>It works!</h1></html>"), Unknown),
        (http(200, b"{}"), Unknown),
        (http(200, b"\n"), Unknown),
        (http(200, b"[]"), Unknown),
        (hang_up(http(200, b"{", length=9)), Unknown),
        (http(410), Rejected),
        (http(503, as_json(api_id="a", error="no")), Unreachable),
        (http(503), Unknown),
    ],
)
def test_a_delete_is_done_when_plivo_says_nothing_else(serve, client_of, answer, meaning):
    server = serve(answer)

    got = outcome(client_of(server.url()).delete, NUMBER)

    assert got is meaning or type(got) is meaning
    assert request_of(server) == ("DELETE /v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/14155550123/", b"")


def test_a_204_leaves_its_connection_for_the_next(serve, client_of):
    server = serve(b"HTTP/1.1 204 No Content\r\n\r\n")
    client = client_of(server.url())

    assert [client.delete(NUMBER) for _ in range(5)] == [True] * 5
    assert server.connections == 1


# Update


def test_an_update_has_the_fields_that_are_given_and_returns_the_number(serve, client_of):
    server = serve(http(200, as_json(**KEPT)))
    found = client_of(server.url()).update(NUMBER, alias="Zoë")

    assert found.phone_number == NUMBER
    path, body = request_of(server)
    assert path == "POST /v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/14155550123/"
    assert json.loads(body) == {"alias": "Zoë"}


def test_an_update_of_a_number_that_plivo_does_not_have_returns_none(serve, client_of):
    assert client_of(serve(http(404, b"{}")).url()).update(NUMBER, alias="x") is None


def test_a_list_passes_plivos_filters_on(serve, client_of):
    server = serve(listing(LISTED))
    client_of(server.url()).list(limit=5, filters={"alias": "Front desk"})

    assert request_of(server)[0].endswith("/VerifiedCallerId/?alias=Front+desk&limit=5&offset=0")


# All of them

OPERATIONS = {
    "complete": lambda client: client.complete(UUID, OTP),
    "get": lambda client: client.get(NUMBER),
    "list": lambda client: client.list(),
    "update": lambda client: client.update(NUMBER, alias="Zoë"),
    "delete": lambda client: client.delete(NUMBER),
}
SUCCESS = {
    "complete": http(201, as_json(**COMPLETED)),
    "get": http(200, as_json(**KEPT)),
    "list": listing(LISTED),
    "update": http(200, as_json(**KEPT)),
    "delete": http(204),
}
STATUSES = [(status, meaning) for meaning, statuses in MEANINGS.items() for status in statuses]


@pytest.mark.parametrize("operation", ["list", "delete"])
@pytest.mark.parametrize(("status", "meaning"), STATUSES)
def test_the_status_tells_what_became_of_the_others(serve, client_of, operation, status, meaning):
    server = serve(http(status, b"<html>"))
    meaning = Rejected if meaning is WrongCode else meaning

    got = outcome(OPERATIONS[operation], client_of(server.url()))

    assert type(got) is meaning or ((operation, status, got) == ("delete", 404, False))
    assert len(server.requests) == 1


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", ["closed", "reset", "in the head", "timed out", "trickle", "another protocol"])
def test_what_breaks_once_it_was_written_is_asked_once_and_unknown(serve, client_of, operation, kind):
    plays = {
        "closed": hang_up(),
        "reset": hang_up(reset=True),
        "in the head": hang_up(b"HTTP/1.1 200 OK\r\nContent-Le"),
        "timed out": lambda connection, _: connection.recv(1),
        "trickle": trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{"),
        "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    }
    server = serve(plays[kind])
    client = client_of(
        server.url(), HttpTimeouts(answer_seconds=2) if kind in {"timed out", "trickle"} else HTTP_TIMEOUTS
    )
    began = time.monotonic()

    assert type(outcome(OPERATIONS[operation], client)) is Unknown
    assert time.monotonic() - began < ANSWERED_SOON
    assert len(server.requests) == 1
    server.play = SUCCESS[operation]
    assert OPERATIONS[operation](client)  # asking again is safe, and nothing is left in the pool


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_never_arrived_is_unreachable(client_of, operation):
    assert type(outcome(OPERATIONS[operation], client_of(f"http://127.0.0.1:{refused_port()}", QUICK))) is Unreachable


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(serve, client_of, operation, status):
    elsewhere = serve()
    server = serve(http(status, b"", f"Location: {elsewhere.url()}/Account/"))

    assert type(outcome(OPERATIONS[operation], client_of(server.url()))) is Unknown
    assert (len(server.requests), elsewhere.connections) == (1, 0)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_of_a_body_without_an_end_little_is_read(serve, client_of, operation):
    taken = []

    def flood(connection, _request):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(1600):
            connection.sendall(b" " * 65536)
            taken.append(65536)

    assert type(outcome(OPERATIONS[operation], client_of(serve(flood).url()))) is Unknown
    assert sum(taken) < 8 * 1024 * 1024  # what the kernel's own buffers hold


@pytest.mark.parametrize("number", ["", "+", "Verification", "1415x", "../14155550199", "1415555/", "+1 415", "٣٣٣٣٣"])
@pytest.mark.parametrize("operation", ["get", "delete"])
def test_what_is_no_number_is_no_path(serve, client_of, operation, number):
    server = serve()

    got = outcome(getattr(client_of(server.url()), operation), number)

    assert (type(got), got.reason) == (InvalidNumber, "not_a_number")
    assert server.requests == []


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", ["status 400", "status 500", "closed", "refused"])
def test_no_error_and_no_log_shows_a_number_or_the_credentials(serve, client_of, caplog, operation, kind):
    caplog.set_level(logging.DEBUG)
    body = as_json(error=f"{NUMBER} 14155550123 {AUTH_ID} {AUTH_TOKEN}")
    server = serve({"status 400": http(400, body), "status 500": http(500, body)}.get(kind, hang_up()))
    client = client_of(f"http://127.0.0.1:{refused_port()}" if kind == "refused" else server.url(), QUICK)

    got = outcome(OPERATIONS[operation], client)

    shown = everything_shown(got) + caplog.text
    assert not [secret for secret in (AUTH_ID, AUTH_TOKEN, LOGIN, "5550123") if secret in shown]
    assert not [secret for secret in (AUTH_TOKEN, LOGIN) if secret in locals_shown(got)]


# What is not shown


def parts_of_the_code_in(shown):
    """Six digits of it in a row: fewer are met by chance, in addresses and times, which do not count."""
    shown = re.sub(r"0x[0-9a-f]+|\d+\.\d+", "", shown)
    return [part for part in (CODE[:6], CODE[1:7], CODE[2:]) if part in shown]


ECHOES = {
    "as it is": CODE,
    "in a text": f"the otp {CODE} is wrong",
    "as a number": int(CODE),
    "in groups": "0742-8153 / 0 7 4 2 8 1 5 3",
    "its beginning": f"{CODE[:4]}… is wrong",
    "in an object": {"otp": CODE, "why": f"wrong: {CODE}"},
    "in an object, as a number": {"otp": int(CODE)},
    "in a list": [CODE],
    "in full-width digits": "０７４２８１５３",
    "hidden": "\u200b".join(CODE),
    "far behind": "x" * 400 + CODE,
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 503])
def test_no_error_log_or_local_shows_the_code_though_plivo_repeats_it(serve, client_of, caplog, echo, status):
    caplog.set_level(logging.DEBUG)
    server = serve(http(status, as_json(api_id="a", otp=CODE, error=ECHOES[echo])))
    client = client_of(server.url())

    got = outcome(client.complete, UUID, OTP)

    assert json.loads(request_of(server)[1]) == {"otp": CODE}
    shown = everything_shown(got) + locals_shown(got) + caplog.text + repr(client) + str(vars(client))
    assert "otp=SecretStr('**********')" in shown
    assert not parts_of_the_code_in(shown)
    assert "０７" not in shown
    assert not any(map(str.isdecimal, got.args[0].removeprefix(str(status))))


@pytest.mark.parametrize("kind", ["closed", "reset", "in the body", "timed out", "refused", "TLS", "last look"])
def test_no_error_log_or_local_shows_the_code_when_the_answer_is_lost(serve, client_of, caplog, kind):
    caplog.set_level(logging.DEBUG)
    plays = {
        "closed": hang_up(),
        "reset": hang_up(reset=True),
        "in the body": hang_up(http(201, as_json(otp=CODE), length=100)),
        "timed out": lambda connection, _: connection.recv(1),
    }
    server = serve(plays.get(kind, b""))
    urls = {"refused": f"http://127.0.0.1:{refused_port()}", "TLS": server.url("https")}
    client = client_of(urls.get(kind, server.url()), QUICK)

    def too_late():
        raise LeaseOver("too slow")

    got = outcome(client.complete, UUID, OTP, before_first_byte=too_late if kind == "last look" else None)

    shown = everything_shown(got) + locals_shown(got) + caplog.text
    assert "otp=SecretStr('**********')" in shown
    assert not parts_of_the_code_in(shown)
    assert AUTH_TOKEN not in shown
    assert LOGIN not in shown or kind == "last look"  # in urllib3's own frames, as a bug's would be


@pytest.mark.parametrize("text", ["", "4", "•", "40", "0000"])
def test_whatever_was_entered_the_detail_keeps_its_status_and_its_words(serve, client_of, text):
    server = serve(http(400, as_json(error=f"code {text} is wrong")))

    detail = outcome(client_of(server.url()).complete, UUID, SecretStr(text)).detail

    assert detail.startswith("400 code ")
    assert detail.endswith(" is wrong")
    assert not text or text not in detail.removeprefix("400 ").replace("•••", "")


def test_of_eight_digits_that_were_entered_no_log_has_a_line(plivo, client_of, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    plivo.switch(code_length=8)
    client = client_of(plivo.base_url)
    codes = set()
    for _ in range(20):
        number = fresh_number()
        sent = client.initiate(number)
        code = plivo.sends(number)[-1]["code"]
        wrong = f"{(int(code) + 1) % 10**8:08d}"
        codes |= {code, wrong}
        refused = outcome(client.complete, sent.verification_uuid, SecretStr(wrong))
        logging.getLogger("worker").info("wrong: %s %r", refused, refused)
        assert client.complete(sent.verification_uuid, SecretStr(code)).phone_number == number

    assert len(codes) == 40
    assert "Plivo did not take the code (400 " in caplog.text
    assert not [code for code in codes if code in caplog.text + plivo.log]

"""What each answer of Plivo means to complete, list, update and delete, on a server that plays any bytes."""

import json
import logging
import re

import pytest
from harness import fresh_number
from pydantic import SecretStr
from wire import (
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
)

from worker.errors import Forbidden, LeaseOver, Throttled, Unauthorized, Unknown, Unreachable, WrongCode
from worker.plivo import CallerId

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

    assert type(outcome(client.complete, UUID, OTP, last_look=too_late)) is LeaseOver
    assert server.requests == []
    assert type(client.complete(UUID, OTP, last_look=lambda: None)) is CallerId


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

    got = outcome(client.complete, UUID, OTP, last_look=too_late if kind == "last look" else None)

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

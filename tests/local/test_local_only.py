"""A web page can neither read nor drive the sandbox of the machine that shows it."""

import socket
from urllib.parse import urlsplit

import pytest
import requests

from worker.plivo_http.bounded_body import LARGEST

FETCHED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
OF_THIS_MACHINE = {"Origin": "http://127.0.0.1:5000"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8077"},
        {"Host": "localhost.evil.example"},
        {"Host": "10.0.0.1"},
        {"Host": ""},
        {"Host": "evil.example@127.0.0.1:8077"},
        {"Host": "127.0.0.1/evil.example"},
        {"Host": "127.0.0.1?evil.example"},
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},
        {"Origin": "http://evil.example@127.0.0.1"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/sandbox/sends", "/v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/"])
def test_a_page_of_another_site_is_refused(plivo, headers, path):
    read = requests.get(f"{plivo.root}{path}", headers=headers, timeout=30)
    driven = requests.post(f"{plivo.root}/sandbox/clock", headers=headers, data='{"advance": 5}', timeout=30)

    assert {read.status_code, driven.status_code} <= {400, 403}
    assert "phone_number" not in read.text


@pytest.mark.parametrize(
    "headers", [{}, {"Host": "localhost:1"}, {"Host": "[::1]"}, {"Origin": "http://127.0.0.1:5000"}]
)
def test_a_program_of_this_machine_is_answered(plivo, headers):
    assert requests.get(f"{plivo.root}/sandbox/sends?since=999999", headers=headers, timeout=30).status_code == 200


@pytest.mark.parametrize("marks", [FETCHED, OF_THIS_MACHINE], ids=["Sec-Fetch-*", "Origin"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
def test_a_page_cannot_post_what_its_browser_sends_without_asking(plivo, marks, content_type):
    headers = {**marks, "Content-Type": content_type}
    before = requests.get(f"{plivo.root}/sandbox/clock", timeout=30).json()["offset_seconds"]
    answers = [
        requests.post(f"{plivo.root}{path}", headers=headers, data=b'{"advance_seconds": 5}', timeout=30)
        for path in ("/sandbox/clock", "/sandbox/reset", "/v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/")
    ]
    asked = requests.options(f"{plivo.root}/sandbox/clock", headers=marks, timeout=30)

    assert [answer.status_code for answer in answers] == [415] * 3
    assert requests.get(f"{plivo.root}/sandbox/clock", timeout=30).json()["offset_seconds"] == before
    assert not [name for name in asked.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},  # curl -d
        {"Content-Type": "text/plain"},
        {"Content-Type": None},
        {"Content-Type": "Application/JSON; charset=utf-8", **OF_THIS_MACHINE},
    ],
)
def test_a_program_posts_with_any_content_type(plivo, headers):
    answer = requests.post(f"{plivo.root}/sandbox/switches", headers=headers, data=b"{}", timeout=30)

    assert answer.status_code == 200


def chunked(size):
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    return [b"Transfer-Encoding: chunked\r\n\r\n", *[piece] * (size // 0x10000)]


@pytest.mark.parametrize("path", ["/sandbox/switches", "/v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/"])
@pytest.mark.parametrize(
    "sent",
    [
        [f"Content-Length: {10**15}\r\n\r\n".encode()],
        [f"Content-Length: {LARGEST + 1}\r\n\r\n".encode(), b" " * (LARGEST + 1)],
        chunked(2 * LARGEST),  # and no end
    ],
    ids=["said", "sent", "without an end"],
)
def test_a_body_that_is_too_large_is_refused_before_its_end(plivo, path, sent):
    where = urlsplit(plivo.root)
    with socket.create_connection((where.hostname, where.port), 30) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode())
        for piece in sent:
            connection.sendall(piece)
        answer = b""
        while not answer.endswith(b"}"):
            piece = connection.recv(1 << 16)
            assert piece, answer
            answer += piece

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the body has more than 1,048,576 bytes" in answer


def test_the_largest_body_is_taken_in_one_piece_or_in_many(plivo):
    body = b"{}" + b" " * (LARGEST - 2)
    for sent in (body, iter([body[:1], body[1:]])):
        assert requests.post(f"{plivo.root}/sandbox/switches", data=sent, timeout=30).status_code == 200


def test_a_sender_that_goes_before_the_end_of_its_body_does_nothing(plivo):
    where = urlsplit(plivo.root)
    with socket.create_connection((where.hostname, where.port), 30) as connection:
        connection.sendall(b"POST /sandbox/reset HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{")

    assert requests.get(f"{plivo.root}/sandbox/", timeout=30).ok

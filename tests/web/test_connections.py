"""Connections of strangers: what they send is not kept, and what they leave open is closed."""

import base64
import select
import socket
import time
from contextlib import ExitStack

import pytest
import requests
from support.harness import fresh_number

from worker.plivo_http.connection import OWED_SECONDS

HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n"


@pytest.fixture
def connect(door):
    """Return a function that opens a connection, and sends something."""
    with ExitStack() as opened:

        def open_(text=""):
            address = ("127.0.0.1", int(door.url.rsplit(":", 1)[1]))
            connection = opened.enter_context(socket.create_connection(address, timeout=3 * OWED_SECONDS))
            connection.sendall(text.format(path=f"/v1/Account/{door.auth_id}/VerifiedCallerId/").encode())
            return connection

        yield open_


def rest_of(connection):
    """All that comes until the connection is closed."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_stranger_is_refused_before_the_body(connect):
    connection = connect(HEAD + "\r\n")

    assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_what_a_client_leaves_open_is_closed_and_other_connections_live(connect, door):
    begun = time.monotonic()
    with requests.Session() as kept:
        kept.trust_env = False
        kept.auth = (door.auth_id, door.token)
        first = kept.get(f"{door.resource}/", timeout=30)
        left = [connect(), connect("POST"), connect(HEAD), connect(HEAD + "\r\n{{")]
        answered = connect("GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGE")
        trickling = connect(HEAD + "X-Slow: ")
        while time.monotonic() - begun < OWED_SECONDS / 2:
            trickling.sendall(b"x")
            select.select([trickling], [], [], 0.2)
        rests = [rest_of(connection)[:12] for connection in (*left, answered, trickling)]
        again = kept.get(f"{door.resource}/", timeout=30)

    assert rests == [b"", b"", b"", b"HTTP/1.1 401", b"HTTP/1.1 401", b""]
    assert time.monotonic() - begun < 2 * OWED_SECONDS
    assert (first.status_code, again.status_code) == (200, 200)


def test_a_body_that_does_not_come_is_answered_in_time(connect, door):
    basic = base64.b64encode(f"{door.auth_id}:{door.token}".encode()).decode()
    begun = time.monotonic()
    connection = connect(HEAD + f"Authorization: Basic {basic}\r\n\r\n{{{{")

    assert connection.recv(65536).startswith(b"HTTP/1.1 409 ")
    assert time.monotonic() - begun < 4.5


def test_a_login_whose_form_does_not_come_is_answered_in_time(connect):
    begun = time.monotonic()
    head = "POST /page/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nauth_id="
    connection = connect(head)

    assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun < OWED_SECONDS


def test_the_body_of_a_get_is_not_read(door):
    assert door.ask("GET", f"/{fresh_number()}", "x" * 100_000).status_code == 404

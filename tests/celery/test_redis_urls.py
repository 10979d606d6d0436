"""The ledger, the broker, the results and asyncio reach the same database of a real Redis, by any accepted URL."""

import json
import os
import socketserver
import ssl
import subprocess
import sys
import threading
from urllib.parse import quote

import pytest
import redis
from support.tls_in_front import tls_in_front

from worker.local.processes.redis_server import RedisServer

PASSWORD = "p%41/w?#[];@:ä"
"""Each sign that has to be escaped. `%41` would be read as an A."""

ALL_FOUR = """
import asyncio, json, redis, ringproof.runtime as runtime
from ringproof.aio.event_loop import open_here
from ringproof.celery.app import app

async def ask():
    return await (await open_here()).ledger().run("incr", "asked")

ledger = runtime.ledger()
connection = app.connection_for_write()
answers = []
for client in (ledger.client, lambda: connection.default_channel.client, lambda: app.backend.client):
    try:
        client = client if isinstance(client, redis.Redis) else client()
        answers.append(client.incr("asked"))
    except Exception as error:
        answers.append(str(error))
try:
    answers.append(asyncio.run(ask()))
except Exception as error:
    answers.append(str(error))
print(json.dumps({"answers": answers, "shown": f"{ledger.shown_url} {connection.as_uri()} {connection} {app.backend}"}))
"""


class SocketServer(RedisServer):
    """A private Redis that also listens on a socket of its own folder, whose name has to be escaped in a URL."""

    @property
    def socket_path(self):
        return f"{self.directory}/a %41 #.sock"

    def _configuration(self):
        return f'{super()._configuration()}unixsocket "{self.socket_path}"\n'


@pytest.fixture(scope="module")
def server():
    with SocketServer(password=PASSWORD) as server:
        yield server


@pytest.fixture
def tls_port(server, tmp_path):
    """Speak TLS on a port, and pass all on to Redis, as stunnel does."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    with tls_in_front(server.port, context) as port:
        yield port


def connect_all_four(url):
    """Count up by each of the four; return what each was answered, and all that shows the URL."""
    done = subprocess.run(
        [sys.executable, "-c", ALL_FOUR],
        env=os.environ | {"RINGPROOF_REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def count_of(server, database):
    with redis.Redis.from_url(f"{server.url[:-1]}{database}") as client:
        return int(client.get("asked") or 0)


def test_a_socket_is_reached_by_redis_pys_notation_and_by_celerys(server):
    login, path = f":{quote(PASSWORD, safe='')}@", quote(server.socket_path)
    first = connect_all_four(f"unix://{login}{path}?db=2")
    second = connect_all_four(f"redis+socket://{login}{path}?virtual_host=2")

    assert (first["answers"], second["answers"]) == ([1, 2, 3, 4], [5, 6, 7, 8])
    assert count_of(server, 2) == 8
    assert PASSWORD not in str(first)
    assert quote(PASSWORD, safe="") not in str(first)


def test_tls_is_checked_by_all_four_or_by_none_in_celerys_words(server, tls_port, tmp_path):
    url = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{tls_port}/3?ssl_cert_reqs"
    unchecked = connect_all_four(f"{url}=CERT_NONE")
    trusted = connect_all_four(f"{url}=CERT_REQUIRED&ssl_ca_certs={tmp_path}/ca.pem")
    untrusted = connect_all_four(f"{url}=CERT_REQUIRED")

    assert (unchecked["answers"], trusted["answers"]) == ([1, 2, 3, 4], [5, 6, 7, 8])
    assert count_of(server, 3) == 8
    assert ["certificate verify failed" in str(answer) for answer in untrusted["answers"]] == [True] * 4


class FakeSentinel(socketserver.BaseRequestHandler):
    """Answers each command as a Sentinel whose master is at the port that the server has."""

    def handle(self):
        while data := self.request.recv(65_536):
            port = str(self.server.master_port).encode()
            named = b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%b\r\n" % (len(port), port)
            self.request.sendall(b"".join(named if b"SENTINEL" in one else b"+OK\r\n" for one in data.split(b"*")[1:]))


def test_of_sentinels_tls_is_checked_there_and_at_the_master(server, tls_port, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), FakeSentinel) as sentinel,
        tls_in_front(sentinel.server_address[1], context) as sentinel_port,
    ):
        sentinel.master_port = tls_port
        serving = threading.Thread(target=sentinel.serve_forever)
        serving.start()
        url = f"sentinels://:{quote(PASSWORD, safe='')}@127.0.0.1:{sentinel_port}/verify/4?ssl_ca_certs"
        trusted = connect_all_four(f"{url}={tmp_path}/ca.pem")
        untrusted = connect_all_four(url.partition("?")[0])
        sentinel.shutdown()
        serving.join()

    assert trusted["answers"] == [1, 2, 3, 4]
    assert count_of(server, 4) == 4
    assert ["certificate verify failed" in str(answer) for answer in untrusted["answers"]] == [True] * 4
    assert PASSWORD not in str(trusted)

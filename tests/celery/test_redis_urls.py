"""The ledger, the broker and the results reach the same database of a real Redis, by any URL that is accepted."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from urllib.parse import quote

import pytest
import redis

from worker.local.processes.redis_server import RedisServer

PASSWORD = "p%41/w?#[];@:ä"
"""Each sign that has to be escaped. `%41` would be read as an A."""

ALL_THREE = """
import json, redis, ringproof.runtime as runtime
from ringproof.celery.app import app

ledger = runtime.ledger()
connection = app.connection_for_write()
answers = []
for client in (ledger.client, lambda: connection.default_channel.client, lambda: app.backend.client):
    try:
        client = client if isinstance(client, redis.Redis) else client()
        answers.append(client.incr("asked"))
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
    listening = socket.create_server(("127.0.0.1", 0))

    def pass_on(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def serve(plain):
        with (
            contextlib.suppress(OSError),  # also of a client that does not trust the certificate
            plain,
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", server.port)) as behind,
        ):
            back = threading.Thread(target=pass_on, args=(behind, client))
            back.start()
            pass_on(client, behind)
            back.join()

    def accept():
        with contextlib.suppress(OSError):
            while True:
                serving.append(threading.Thread(target=serve, args=(listening.accept()[0],)))
                serving[-1].start()

    serving = [threading.Thread(target=accept)]
    serving[0].start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for thread in serving:
        thread.join(60)


def connect_all_three(url):
    """Count up by each of the three; return what each was answered, and all that shows the URL."""
    done = subprocess.run(
        [sys.executable, "-c", ALL_THREE],
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
    first = connect_all_three(f"unix://{login}{path}?db=2")
    second = connect_all_three(f"redis+socket://{login}{path}?virtual_host=2")

    assert (first["answers"], second["answers"]) == ([1, 2, 3], [4, 5, 6])
    assert count_of(server, 2) == 6
    assert PASSWORD not in str(first)
    assert quote(PASSWORD, safe="") not in str(first)


def test_tls_is_checked_by_all_three_or_by_none_in_celerys_words(server, tls_port, tmp_path):
    url = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{tls_port}/3?ssl_cert_reqs"
    unchecked = connect_all_three(f"{url}=CERT_NONE")
    trusted = connect_all_three(f"{url}=CERT_REQUIRED&ssl_ca_certs={tmp_path}/ca.pem")
    untrusted = connect_all_three(f"{url}=CERT_REQUIRED")

    assert (unchecked["answers"], trusted["answers"]) == ([1, 2, 3], [4, 5, 6])
    assert count_of(server, 3) == 6
    assert ["certificate verify failed" in str(answer) for answer in untrusted["answers"]] == [True] * 3

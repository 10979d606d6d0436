"""Who takes messages, as the workers say in Redis; and the few commands that a healthcheck sends without redis-py."""

import json
import secrets
import socket
import threading

import pytest

from ringproof.errors import LedgerUnavailable
from ringproof.ledger import bare_redis
from ringproof.ledger.connection import connect
from ringproof.ledger.heartbeats import ALIVE, FORGOTTEN_AFTER, beat, end_beats, workers_alive, workers_alive_at
from ringproof.ledger.ledger import Ledger
from worker.local.processes.redis_server import RedisServer

FACTS = {"host": "vm", "pid": 12, "version": "0.1.0", "queues": ["ringproof.bulk"]}


@pytest.fixture
def own(client):
    """A ledger that no worker uses."""
    own = Ledger(client, prefix=f"t{secrets.token_hex(4)}")
    yield own
    client.delete(own.keys.heartbeats)


@pytest.fixture
def alive(own, redis_server):
    """Return a function that tells who is alive, as both ways to ask have it."""

    def alive_():
        workers = workers_alive(own)
        assert workers_alive_at(redis_server.url, own.keys.prefix) == workers
        return workers

    return alive_


def shift(ledger, worker, seconds):
    """Move a worker's last heartbeat, as if Redis' clock had gone on, or back."""
    facts = json.loads(ledger.client.hget(ledger.keys.heartbeats, worker))
    moved = json.dumps(facts | {"at": facts["at"] + round(seconds * 1000)})
    ledger.client.hset(ledger.keys.heartbeats, worker, moved)


def test_who_beats_is_alive_until_the_beats_end(own, alive):
    assert alive() == []
    for worker in ("bulk@vm", "a b@ü"):
        beat(own, worker, FACTS)

    assert alive() == ["a b@ü", "bulk@vm"]
    end_beats(own, "a b@ü")
    assert alive() == ["bulk@vm"]


@pytest.mark.parametrize("direction", [1, -1])
def test_who_has_not_beaten_lately_is_not_alive_whichever_way_the_clock_went(own, alive, direction):
    beat(own, "bulk@vm", FACTS)
    shift(own, "bulk@vm", direction * (ALIVE.total_seconds() - 10))
    assert alive() == ["bulk@vm"]

    shift(own, "bulk@vm", direction * 20)
    assert alive() == []
    beat(own, "bulk@vm", FACTS)
    assert alive() == ["bulk@vm"]


def test_a_heartbeat_says_what_the_worker_says_of_itself_and_when(own):
    beat(own, "bulk@vm", FACTS)
    facts = json.loads(own.client.hget(own.keys.heartbeats, "bulk@vm"))

    assert facts.keys() == {"at", *FACTS}
    assert facts["queues"] == ["ringproof.bulk"]


def test_a_worker_that_was_killed_is_forgotten_after_an_hour_and_all_with_the_last_one(own):
    beat(own, "killed@vm", FACTS)
    shift(own, "killed@vm", -FORGOTTEN_AFTER.total_seconds() - 1)
    beat(own, "bulk@vm", FACTS)

    assert own.client.hkeys(own.keys.heartbeats) == ["bulk@vm"]
    assert 3500 < own.client.ttl(own.keys.heartbeats) <= 3600


def test_a_heartbeat_is_one_command(own):
    beat(own, "bulk@vm", FACTS)
    with own.client.monitor() as monitor:
        beat(own, "bulk@vm", FACTS)
        own.client.echo("the end")
        seen = []
        while not seen or seen[-1]["command"] != "ECHO the end":
            seen.append(monitor.next_command())
    ours = [one for one in seen if own.keys.prefix in one["command"] and one["client_type"] != "lua"]

    assert [one["command"].split()[0] for one in ours] == ["EVALSHA"]


@pytest.fixture(scope="module")
def server():
    with RedisServer(password="p/ss%w:@rd") as server:
        yield server


class TestWithoutRedisPy:
    def test_a_password_is_given_and_a_database_is_chosen(self, server):
        with connect(server.url.replace("/0", "/3")) as client:
            client.set("key", "value")
            client.acl_setuser("app", enabled=True, passwords=["+s3cret"], keys=["*"], commands=["+@all"])

            assert bare_redis.ask(server.url.replace("/0", "/3"), ("GET", "key"), ("GET", "none")) == ["value", None]
            assert bare_redis.ask(server.url, ("GET", "key"), ("DBSIZE",)) == [None, 0]
            url = f"redis://app:s3cret@127.0.0.1:{server.port}/3"
            assert bare_redis.ask(url, ("ACL", "WHOAMI"), ("KEYS", "*")) == ["app", ["key"]]

    @pytest.mark.parametrize(
        "url", ["redis://127.0.0.1:{}/0", "redis://:wrong@127.0.0.1:{}/0", "redis://127.0.0.1:{}/77"]
    )
    def test_a_refusal_is_ledger_unavailable_and_shows_no_password(self, server, url):
        with pytest.raises(LedgerUnavailable) as caught:
            workers_alive_at(url.format(server.port), "ringproof")

        assert caught.value.cause.split()[0] in {"NOAUTH", "WRONGPASS", "ERR"}
        assert "wrong@" not in str(caught.value)

    def test_a_socket_in_a_folder_is_found(self, server, tmp_path):
        path = tmp_path / "redis.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            forwarding = threading.Thread(target=forward_once, args=(listening, server.port))
            forwarding.start()
            login = server.url.removeprefix("redis://").partition("@")[0]

            assert bare_redis.ask(f"unix://{login}@{path}?db=0", ("ECHO", "here")) == ["here"]
            forwarding.join()

    def test_what_is_not_redis_or_hangs_up_is_named(self):
        for says, cause in (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not Redis"), (b"", "Connection closed"):
            with socket.create_server(("127.0.0.1", 0)) as listening:
                answering = threading.Thread(target=answer_once, args=(listening, says))
                answering.start()
                with pytest.raises(bare_redis.BareRedisError, match=cause):
                    bare_redis.ask(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", ("PING",))
                answering.join()

    def test_by_tls_redis_py_asks(self):
        with pytest.raises(LedgerUnavailable, match="rediss://127"):
            workers_alive_at("rediss://127.0.0.1:1/0?ssl_cert_reqs=none", "ringproof")

    def test_nobody_there_is_named(self, tmp_path):
        for url in ("redis://127.0.0.1:1/0", f"unix://{tmp_path}/none.sock?db=0"):
            with pytest.raises(bare_redis.BareRedisError, match="Error: "):
                bare_redis.ask(url, ("PING",))


def forward_once(listening, port):
    """Hand one request of one connection to a port, and its answer back."""
    with listening.accept()[0] as theirs, socket.create_connection(("127.0.0.1", port)) as redis:
        redis.sendall(theirs.recv(1 << 16))
        answer = b""
        while not answer.endswith(b"here\r\n"):
            answer += redis.recv(1 << 16)
        theirs.sendall(answer)


def answer_once(listening, says):
    with listening.accept()[0] as theirs:
        theirs.recv(1 << 16)
        theirs.sendall(says)

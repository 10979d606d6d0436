"""Who takes messages, as the workers say in Redis; and the few commands that a healthcheck sends without redis-py."""

import dataclasses
import json
import secrets
import socket
import threading
from datetime import datetime, timedelta

import pytest

from ringproof.errors import LedgerUnavailable
from ringproof.ledger import bare_redis
from ringproof.ledger.connection import connect
from ringproof.ledger.heartbeats import (
    ALIVE,
    Heartbeat,
    beat,
    credentials_digest,
    end_beats,
    policy_digest,
    read_heartbeats,
    workers_alive,
)
from ringproof.ledger.keys import PREFIXES
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.reports import FORGOTTEN_AFTER
from ringproof.policy import Policy
from ringproof.secret_str import SecretStr
from worker.local.processes.redis_server import RedisServer
from worker.observe.health import read_health

FACTS = {"host": "vm", "pid": 12, "version": "0.1.0", "queues": ["ringproof.bulk"]}


@pytest.fixture
def own(client):
    """A ledger that no worker uses."""
    own = Ledger(client, prefix=f"t{secrets.token_hex(4)}")
    yield own
    client.delete(own.keys.heartbeats, own.keys.activity, own.keys.ticks)
    client.hdel(PREFIXES, own.keys.prefix)


@pytest.fixture
def alive(own, redis_server):
    """Return a function that tells who is alive, as both ways to ask have it."""

    def alive_():
        workers = workers_alive(own)
        health = read_health(redis_server.url, own.keys.prefix)
        assert [one.worker for one in health.workers] == workers
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
    before = own.now() - timedelta(milliseconds=1)
    beat(own, "bulk@vm", FACTS, {"started": timedelta(minutes=5), "taken": timedelta(seconds=2)})
    facts = json.loads(own.client.hget(own.keys.heartbeats, "bulk@vm"))
    (read,) = read_heartbeats(own.client.hgetall(own.keys.heartbeats))

    assert facts == FACTS | {"at": facts["at"], "started": facts["at"] - 300_000, "taken": facts["at"] - 2_000}
    assert before <= read.at <= own.now()
    assert (read.worker, read.kind, read.host, read.pid) == ("bulk@vm", "worker", "vm", 12)
    assert (read.version, read.queues) == ("0.1.0", ("ringproof.bulk",))
    assert (read.started, read.taken) == (read.at - timedelta(minutes=5), read.at - timedelta(seconds=2))
    assert (read.active, read.pool, read.away_ms) == (None, None, None)


def test_a_beat_has_a_heartbeat_and_takes_no_messages(own, alive):
    beat(own, "beat@vm", {"kind": "beat", "host": "vm"})

    assert alive() == []
    assert [one.kind for one in read_heartbeats(own.client.hgetall(own.keys.heartbeats))] == ["beat"]


JUNK = (
    *("", "no JSON", "[]", "null", "{}", '{"at": "now"}', '{"at": -1}', '{"at": 1e400}', '{"at": NaN}'),
    *('{"at": 99999999999999999999}', '{"at": true}', "[" * 100_000),
)


@pytest.mark.parametrize("written", JUNK, ids=range(len(JUNK)))
def test_what_is_no_heartbeat_is_left_out(written):
    assert read_heartbeats({"bulk@vm": written}) == []


@pytest.mark.parametrize("value", [None, "x", 7, -7, 1.5, True, 1e300, [], [1, "x"], {}, {"at": 1}], ids=json.dumps)
def test_a_field_of_another_version_is_none_or_what_it_should_be(value):
    fields = [field.name for field in dataclasses.fields(Heartbeat) if field.name not in {"worker", "at"}]
    (read,) = read_heartbeats({"bulk@vm": json.dumps(dict.fromkeys(fields, value) | {"at": 1, "later": value})})

    assert isinstance(read.pid, int | None)
    assert isinstance(read.host, str | None)
    assert isinstance(read.started, datetime | None)
    assert all(isinstance(queue, str) for queue in read.queues)
    assert read.away_ms is None or read.away_ms >= 0
    assert not hasattr(read, "later")


def test_what_others_wrote_is_cut_and_printable():
    evil = "\x1b[31m" + "x" * 10_000
    (read,) = read_heartbeats({evil: json.dumps({"at": 1, "host": evil, "queues": [evil] * 1000})})

    for text in (read.worker, read.host, *read.queues):
        assert text.isprintable()
        assert len(text) <= 200
    assert len(read.queues) <= 50


def test_digests_tell_settings_apart_and_tell_nothing_else():
    one = credentials_digest("MA" + "A" * 18, SecretStr("t" * 40))

    assert one != credentials_digest("MA" + "A" * 18, SecretStr("u" * 40))
    assert policy_digest(Policy()) == policy_digest(Policy()) != policy_digest(Policy(max_codes_per_day=6))
    assert len(one) == 12
    assert int(one, 16)


def test_the_prefix_is_noted_where_another_prefix_finds_it_and_forgotten_with_its_workers(own):
    own.client.hset(PREFIXES, "forgotten", 1)
    beat(own, "bulk@vm", FACTS)
    prefixes = own.client.hgetall(PREFIXES)

    assert abs(int(prefixes[own.keys.prefix]) / 1000 - own.now().timestamp()) < 60
    assert "forgotten" not in prefixes
    assert 3500 < own.client.ttl(PREFIXES) <= 3600


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
            read_health(url.format(server.port), "ringproof")

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
            read_health("rediss://127.0.0.1:1/0?ssl_cert_reqs=none", "ringproof")

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

"""The doctor names the master, its replicas and the Sentinels, and what would keep a replica from taking over."""

import pytest
import redis
from support.harness import eventually
from support.sentinels import SentinelServers

from ringproof.ledger.connection import connect
from ringproof.network import redis_url
from worker.local.processes.redis_server import RedisServer
from worker.observe.doctor import redis_server, sentinels
from worker.observe.doctor.case import Case, needs_address
from worker.observe.doctor.check import Check, Result

SECRET = "of-the-Sentinels"  # Sentinel writes it back into its file without quotes


@pytest.fixture(scope="module")
def servers():
    with SentinelServers(sentinel_password=SECRET) as servers:
        yield servers


@pytest.fixture
def lines_at(environ):
    def examine(url, check=None):
        case = Case.of(environ | {"RINGPROOF_REDIS_URL": url})
        lines = (check or Check("redis_sentinels", sentinels.sentinels, needs_address)).run(case)
        assert SECRET not in str(lines)
        return lines

    return examine


def until(look, words):
    def said():
        sentences = "\n".join(line.sentence for line in look())
        return sentences if words in sentences else ""

    return eventually(said, why=f"not said: {words}")


def only(lines):
    (line,) = lines
    return line


def test_all_is_well(servers, lines_at):
    line = only(lines_at(servers.url))

    assert line.result is Result.OK
    assert line.sentence == (
        f"3 of 3 Sentinels name 127.0.0.1:{servers.master.port} the master of ringproof-test, with the replica "
        f"127.0.0.1:{servers.replicas[0].port}; 2 of them must agree before one takes over"
    )


def test_the_other_checks_go_by_the_master(servers, environ):
    case = Case.of(environ | {"RINGPROOF_REDIS_URL": servers.url})
    answer = only(Check("redis", redis_server.answers).run(case))
    follows = only(Check("redis_replicas", redis_server.replicas).run(case))
    case.ledger.client.close()

    assert answer.sentence.startswith("sentinel://:•••@127.0.0.1")
    assert f"1 replica follows: 127.0.0.1:{servers.replicas[0].port}, heard" in follows.sentence


def test_the_address_of_a_redis_needs_no_sentinels(servers, lines_at):
    assert only(lines_at(servers.master_url)).sentence == "the address of Redis is its own, and no Sentinel's"


def test_a_sentinel_that_is_away_is_named(servers, lines_at):
    away = servers.sentinels[1]
    away.kill()
    lines = lines_at(servers.url)
    away.start()
    servers.until_whole()

    assert lines[0].result is Result.WARNING
    assert f"the Sentinel 127.0.0.1:{away.port} cannot be asked: ConnectionError" in lines[0].sentence


def test_all_sentinels_away_have_failed(lines_at):
    lines = lines_at("sentinel://127.0.0.1:1,127.0.0.1:2/verify")

    assert [line.result for line in lines] == [Result.FAILED] * 2


def test_a_service_that_no_sentinel_knows_is_named_with_those_that_they_know(servers, lines_at):
    lines = lines_at(servers.url.replace("/ringproof-test/", "/verify/"))

    assert [line.result for line in lines] == [Result.FAILED] * 3
    assert lines[0].sentence.endswith("knows no service verify; it knows ringproof-test")
    assert "RINGPROOF_REDIS_URL" in lines[0].remedy


def test_a_wrong_password_of_the_sentinels_is_named(servers, lines_at):
    lines = lines_at(servers.url.partition("?")[0] + "?sentinel_password=wrong")

    assert [line.result for line in lines] == [Result.FAILED] * 3
    assert all("AuthenticationError" in line.sentence and "sentinel_password" in line.remedy for line in lines)


def test_a_redis_in_place_of_a_sentinel_is_named(lines_at):
    with RedisServer() as server:
        login = server.url.partition("redis://:")[2].partition("@")[0]
        line = only(lines_at(f"sentinel://:{login}@127.0.0.1:{server.port}/verify?sentinel_password={login}"))

    assert line.result is Result.FAILED
    assert "what answers there is no Sentinel, whose port is usually 26379" in line.sentence


def test_a_url_of_one_sentinel_is_a_risk(servers, lines_at):
    one = f"sentinel://:{servers.password}@127.0.0.1:{servers.sentinels[0].port}/ringproof-test?{servers.url.partition('?')[2]}"

    assert only(lines_at(one)).sentence.startswith("RINGPROOF_REDIS_URL names one Sentinel of 3")


def test_too_few_sentinels_for_a_failover_and_no_replica_are_named(servers, lines_at):
    for sentinel in servers.sentinels[1:]:
        sentinel.kill()
    replica = servers.replicas[0]
    replica.kill()
    try:
        sentences = until(lambda: lines_at(servers.url), "no replica can take over: NOQUORUM")
        sentences = until(lambda: lines_at(servers.url), f"the replica 127.0.0.1:{replica.port} is down")
    finally:
        servers.revive()

    assert f"no replica of 127.0.0.1:{servers.master.port} can take over" in sentences


def test_a_user_of_the_sentinels_needs_one_command_and_the_doctor_some_more(servers, lines_at):
    rights = "resetkeys resetchannels -@all +auth +sentinel|get-master-addr-by-name"
    for sentinel in servers.sentinels:
        with redis.Redis.from_url(sentinel.url) as client:
            client.execute_command(f"ACL SETUSER limited on >pass {rights}")
    url = servers.url.partition("?")[0] + "?sentinel_username=limited&sentinel_password=pass"
    lines = lines_at(url)
    client = connect(redis_url.check(url))

    assert client.ping()
    assert [line.result for line in lines] == [Result.FAILED] * 3
    assert "+sentinel|master " in lines[0].remedy

    client.close()
    for sentinel in servers.sentinels:
        with redis.Redis.from_url(sentinel.url) as client:
            client.execute_command(f"ACL SETUSER limited {sentinels.RIGHTS}")
    # On a slow machine the Sentinels may take one another for dead for a moment.
    eventually(lambda: [line.result for line in lines_at(url)] == [Result.OK], why=f"{lines_at(url)}")

"""The tests' own highly available Redis: each of its methods has the effect that it names."""

import pytest
from support.sentinels import SentinelServers


@pytest.fixture(scope="module")
def servers():
    with SentinelServers(sentinel_password="a Sentinel's") as servers:
        yield servers


def get(server):
    with server.client() as client:
        return client.get("key")


def put(server, value):
    with server.client() as client:
        client.set("key", value)
        return client.wait(1, 1000)


@pytest.mark.parametrize("how", ["failover", "kill_master", "pause_master"])
def test_a_replica_takes_over_with_all_that_it_has(servers, how):
    assert put(servers.master, how) == 1
    old = getattr(servers, how)()

    assert servers.master is not old
    assert get(servers.master) == how

    servers.revive()
    assert servers.replicas == [old]
    assert put(servers.master, f"after {how}") == 1
    assert get(old) == f"after {how}"


def test_a_replica_that_is_behind_takes_over_without_what_it_lacks(servers):
    put(servers.master, "old")
    behind = servers.replicas[0]
    behind.fall_behind()
    put(servers.master, "new")
    servers.kill_master()

    assert servers.master is behind
    assert get(behind) == "old"

    behind.catch_up()
    servers.revive()
    assert get(servers.replicas[0]) == "old"

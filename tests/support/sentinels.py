"""Redis as a highly available installation has it: a master, its replicas, and three Sentinels that watch over them.

All are real processes on loopback. The times are short: a dead master is found in a second, and a replica takes over.
"""

import contextlib
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.harness import eventually

from worker.local.processes.redis_server import RedisServer

DOWN_AFTER_MS = 1_000
FAILOVER_TIMEOUT_MS = 3_000
SENTINELS, QUORUM = 3, 2


class ReplicatedServer(RedisServer):
    """A private Redis that can be a replica, and that Sentinel may reconfigure: it keeps that through `restart`.

    with ReplicatedServer() as master, ReplicatedServer(replica_of=master) as replica:
        replica.until_in_step()
    """

    def __init__(self, directory: Path | None = None, *, replica_of: RedisServer | None = None, **options: Any) -> None:
        if replica_of is not None:
            options.setdefault("password", replica_of._password)
        super().__init__(directory, has_config=True, **options)
        self._replica_of = replica_of

    def client(self) -> redis.Redis:
        """A client of this server, whatever its role is. Close it after use."""
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=3, retry=Retry(NoBackoff(), 0))

    def info(self, section: str = "replication") -> dict[str, Any]:
        with self.client() as client:
            return client.info(section)  # type: ignore[no-any-return]

    def config(self, **settings: str) -> None:
        with self.client() as client:
            for name, value in settings.items():
                client.config_set(name.replace("_", "-"), value)

    def until_in_step(self) -> Self:
        """Wait until this replica has all that its master has sent."""
        eventually(lambda: self.info()["master_link_status"] == "up", why="the replica is not connected")
        return self

    def fall_behind(self) -> None:
        """Cut this replica off its master: what is written from now on does not reach it. It says so within a second.

        Sentinel promotes it all the same, if that happens within ten seconds.
        """
        with self.client() as client:
            client.config_set("masterauth", "wrong")
            client.client_kill_filter(_type="master")
        eventually(lambda: self.info().get("master_link_status") != "up", why="the replica is still connected")

    def catch_up(self) -> None:
        """Let a replica that fell behind follow its master again."""
        self.config(masterauth=self._password)

    def _configuration(self) -> str:
        written = self.directory / "redis.conf"
        if f"port {self.port}\n" in written.read_text():
            return written.read_text()  # with the role that Sentinel has given it
        lines = [
            super()._configuration(),
            f'masterauth "{self._password}"\n',
            "repl-diskless-sync no\n",
            "repl-ping-replica-period 1\n",
        ]
        if self._replica_of is not None:
            lines.append(f"replicaof 127.0.0.1 {self._replica_of.port}\n")
        return "".join(lines)


class SentinelProcess(RedisServer):
    """One Sentinel."""

    _arguments = ("--sentinel",)

    def __init__(self, name: str, master: RedisServer, *, auth: str, password: str) -> None:
        super().__init__(password=password or "none", has_config=True)
        self._name, self._master, self._auth, self._has_password = name, master, auth, bool(password)

    @property
    def url(self) -> str:
        return super().url if self._has_password else f"redis://127.0.0.1:{self.port}"

    def ask(self, *command: str) -> Any:
        options: dict[str, Any] = {"protocol": 2, "decode_responses": True, "socket_timeout": 3}
        with redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), **options) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def _configuration(self) -> str:
        written = self.directory / "redis.conf"
        if f"port {self.port}\n" in written.read_text():
            return written.read_text()  # Sentinel keeps what it has learnt there
        settings = [
            "bind 127.0.0.1",
            f"port {self.port}",
            "daemonize no",
            'logfile ""',
            f'dir "{self.directory.absolute()}"',
            f"sentinel monitor {self._name} 127.0.0.1 {self._master.port} {QUORUM}",
            f"sentinel auth-pass {self._name} {self._auth}",
            f"sentinel down-after-milliseconds {self._name} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {self._name} {FAILOVER_TIMEOUT_MS}",
        ]
        if self._has_password:
            settings += [f'requirepass "{self._password}"', f'sentinel sentinel-pass "{self._password}"']
        return "".join(f"{line}\n" for line in settings)


class SentinelServers:
    """Run a master, replicas and three Sentinels.

        with SentinelServers() as servers:
            servers.url                # sentinel://:kT3v…@127.0.0.1:27291,127.0.0.1:…,127.0.0.1:…/ringproof-test/0
            servers.failover()         # planned: SENTINEL FAILOVER; returns when the new master is up
            servers.kill_master()      # SIGKILL; returns when a replica has taken over
            servers.revive()           # the servers that were killed, paused or demoted come back, as replicas
            servers.pause_master()     # SIGSTOP; a replica takes over, and the old master still believes in itself
            servers.master, servers.replicas, servers.master_url

    With `wait=False` those that move the master return at once, and `until_moved(old)` waits.
    """

    def __init__(
        self, *, replicas: int = 1, name: str = "ringproof-test", password: str = "", sentinel_password: str = ""
    ) -> None:
        self.name = name
        self.password = password or secrets.token_urlsafe(12)
        self.sentinel_password = sentinel_password
        self.servers = [ReplicatedServer(password=self.password)]
        self.servers += [ReplicatedServer(replica_of=self.servers[0]) for _ in range(replicas)]
        self.sentinels: list[SentinelProcess] = []
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Where the Sentinels are, with all passwords, as RINGPROOF_REDIS_URL has it."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        options = f"?sentinel_password={quote(self.sentinel_password, safe='')}" if self.sentinel_password else ""
        return f"sentinel://:{quote(self.password, safe='')}@{hosts}/{self.name}/0{options}"

    @property
    def master(self) -> ReplicatedServer:
        """The server that the Sentinels name as master now."""
        port = self.named_port()
        return next(server for server in self.servers if server.port == port)

    @property
    def master_url(self) -> str:
        return self.master.url

    @property
    def replicas(self) -> list[ReplicatedServer]:
        master = self.master
        return [server for server in self.servers if server is not master]

    def named_port(self) -> int:
        """The master's port, as the first Sentinel that answers says it."""
        for sentinel in self.sentinels:
            if sentinel.is_running:
                with contextlib.suppress(redis.RedisError):
                    return int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])
        raise AssertionError("no Sentinel answers")

    def failover(self, *, wait: bool = True) -> ReplicatedServer:
        """A planned failover. Returns the old master, which becomes a replica."""
        old = self.master
        eventually(self._has_begun_failover, why="no Sentinel would begin a failover")
        return self.until_moved(old) if wait else old

    def kill_master(self, *, wait: bool = True) -> ReplicatedServer:
        """SIGKILL the master, and return it; `revive` starts it again."""
        old = self.master
        old.kill()
        return self.until_moved(old) if wait else old

    def pause_master(self, *, wait: bool = True) -> ReplicatedServer:
        """SIGSTOP the master, and return it; `revive` lets it go on."""
        old = self.master
        old.freeze()
        return self.until_moved(old) if wait else old

    def until_moved(self, old: ReplicatedServer) -> ReplicatedServer:
        """Wait until the Sentinels name another master than `old`, and that it takes writes. Returns `old`."""

        def has_moved() -> bool:
            with contextlib.suppress(redis.RedisError):
                return self.named_port() != old.port and self.master.info()["role"] == "master"
            return False

        eventually(has_moved, why="no replica has taken over")
        return old

    def revive(self) -> None:
        """Start or thaw each server and Sentinel that is down, and wait until all are in step.

        A server that was master becomes a replica at once. Sentinel needs ten seconds for that: until then such a
        server takes writes that are lost (`start` and `thaw` it by hand to see it).
        """
        for server in [*self.servers, *self.sentinels]:
            if not server.is_running:
                server.start()
            server.thaw()
        master = self.master
        for replica in self.replicas:
            with replica.client() as client:
                client.replicaof("127.0.0.1", str(master.port))
        self.until_whole()

    def until_whole(self) -> None:
        """Wait until each Sentinel knows the others and all replicas, and each replica follows the master."""
        eventually(self._is_whole, why="the Sentinels do not know each other, or a replica does not follow")

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                self._stack.enter_context(server)
            for _ in range(SENTINELS):
                sentinel = SentinelProcess(
                    self.name, self.servers[0], auth=self.password, password=self.sentinel_password
                )
                self.sentinels.append(self._stack.enter_context(sentinel))
            self.until_whole()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _has_begun_failover(self) -> bool:
        for sentinel in self.sentinels:
            if sentinel.is_running:
                with contextlib.suppress(redis.ResponseError):  # INPROG or NOGOODSLAVE: a failover has just been
                    return bool(sentinel.ask("SENTINEL", "FAILOVER", self.name))
        time.sleep(0.2)
        return False

    def _is_whole(self) -> bool:
        try:
            for sentinel in self.sentinels:
                flat = sentinel.ask("SENTINEL", "MASTER", self.name)
                state = dict(zip(flat[::2], flat[1::2], strict=True))
                seen = state["flags"], int(state["num-other-sentinels"]), int(state["num-slaves"])
                if seen != ("master", SENTINELS - 1, len(self.servers) - 1):
                    return False
            master = self.master
            return all(
                server.info().get("master_port") == master.port and server.info()["master_link_status"] == "up"
                for server in self.servers
                if server is not master
            )
        except (redis.RedisError, StopIteration):
            return False

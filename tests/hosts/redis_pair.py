"""A master, a replica and three Sentinels, each server on a machine of its own, as a person would configure them."""

import time
from contextlib import suppress

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.harness import Process, eventually

from worker.local.processes.redis_server import find_server

PORT, SENTINEL_PORT = 6379, 26379
SERVICE, PASSWORD = "ringproof", "a-password-of-redis"

SERVER = """\
bind {address}
port 6379
protected-mode yes
dir {folder}
appendonly yes
appendfsync everysec
save ""
requirepass {password}
masterauth {password}
repl-diskless-sync-delay 0
"""

SENTINEL = """\
bind {address}
port 26379
dir {folder}
sentinel monitor {service} {master} 6379 2
sentinel auth-pass {service} {password}
sentinel down-after-milliseconds {service} 2000
sentinel failover-timeout {service} 6000
"""


class Server(Process):
    """A Redis server on a machine, or a Sentinel."""

    def __init__(self, world, machine, kind, configuration, *options):
        self.machine = machine
        folder = world.folder / f"{kind}-{machine.name}"
        folder.mkdir(exist_ok=True)
        self.folder, file = folder, folder / "redis.conf"
        if not file.exists():
            facts = {"address": machine.address, "folder": folder, "password": PASSWORD, "service": SERVICE}
            file.write_text(configuration.format(**facts, **dict(options)))
        self.command = [*machine.on, str(find_server()), str(file)] + ["--sentinel"] * (kind == "sentinel")
        self.port = SENTINEL_PORT if kind == "sentinel" else PORT
        self.world = world
        super().__init__(self.command, folder / "log", world.plain_environ(), folder)
        world.callback(self.kill)
        eventually(self.answers, why=f"{kind} on {machine.name} does not answer: {self.log[-500:]}")

    def client(self):
        options = {"password": PASSWORD} if self.port == PORT else {}
        return redis.Redis(
            self.machine.address,
            self.port,
            decode_responses=True,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **options,
        )

    def ask(self, *command):
        with self.client() as client:
            return client.execute_command(*command)

    def answers(self):
        with suppress(redis.RedisError):
            return self.ask("PING")
        return False

    def restart(self):
        """After it was killed."""
        super().__init__(self.command, self.folder / "log", self.world.plain_environ(), self.folder)
        eventually(self.answers)


class RedisPair:
    """The servers and the Sentinels of a world. `url` names the Sentinels, as RINGPROOF_REDIS_URL does."""

    def __init__(self, world, names=("redis-1", "redis-2", "plivo")):
        machines = [world.network[name] for name in names]
        self.world = world
        self.servers = {name: Server(world, world.network[name], "server", SERVER) for name in names[:2]}
        self.at = self.servers["redis-1"].machine.address
        self.servers["redis-2"].ask("REPLICAOF", self.at, PORT)
        eventually(lambda: self.info("redis-2")["master_link_status"] == "up", why=f"{self.info('redis-2')}")
        self.sentinels = [Server(world, one, "sentinel", SENTINEL, ("master", self.at)) for one in machines]
        hosts = ",".join(f"{one.address}:{SENTINEL_PORT}" for one in machines)
        self.pid = self.servers["redis-1"].popen.pid
        self.url = f"sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0"

        def whole():
            flat = self.sentinels[0].ask("SENTINEL", "MASTER", SERVICE)
            state = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
            return int(state["num-slaves"]) == 1 and int(state["num-other-sentinels"]) == 2

        eventually(whole, why="the Sentinels do not know each other")

    def info(self, name):
        with self.servers[name].client() as client:
            return client.info("replication")

    def role(self, name):
        with suppress(redis.RedisError):
            return self.info(name)["role"]
        return "gone"

    def until_master(self, name, within=60.0):
        """Wait until this server takes writes; return when, by the monotonic clock."""
        deadline = time.monotonic() + within
        while self.role(name) != "master":
            assert time.monotonic() < deadline, f"{name} did not become master"
            time.sleep(0.05)
        return time.monotonic()

    def failover(self):
        self.sentinels[-1].ask("SENTINEL", "FAILOVER", SERVICE)

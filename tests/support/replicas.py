"""A replica of a Redis, with a line between them that can be slow, and be held up: then it is as far behind."""

import contextlib

import redis
from support.far_away import FarAway
from support.harness import eventually

from worker.local.processes.redis_server import RedisServer


class Replica:
    """A replica of a running server; a context manager. All bytes between them take half of a round trip.

    with Replica(primary, round_trip_ms=20) as replica:
        replica.hold_up()  # what the primary writes from now on does not reach it
        replica.let_go()
        replica.promote()
    """

    def __init__(self, primary, round_trip_ms=0, port=0):
        self.primary = primary
        self.line = FarAway(primary.port, round_trip_ms)
        self.server = RedisServer(password=primary._password, has_config=True, port=port)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self._stack.enter_context(self.server)
        self.client = redis.Redis.from_url(self.server.url, decode_responses=True)
        self._stack.callback(self.client.close)
        self._stack.enter_context(self.line)
        with redis.Redis.from_url(self.primary.url) as primary:
            primary.config_set("repl-diskless-sync-delay", 0)
        self.follow()
        return self

    def __exit__(self, *error):
        self._stack.close()

    def follow(self):
        """Follow the primary, and return once it has its first copy."""
        self.client.config_set("masterauth", self.primary._password)
        self.client.execute_command("REPLICAOF", "127.0.0.1", self.line.port)
        eventually(lambda: self.client.info("replication")["master_link_status"] == "up", why="it does not follow")
        with redis.Redis.from_url(self.primary.url, decode_responses=True) as primary:
            eventually(lambda: primary.info("replication").get("slave0", {}).get("state") == "online")

    def promote(self):
        """Make it a primary of its own, with what it has got so far."""
        self.client.execute_command("REPLICAOF", "NO", "ONE")

    def silent_seconds(self):
        """Return for how many seconds nothing has come from the primary."""
        return self.client.info("replication")["master_last_io_seconds_ago"]

    def hold_up(self):
        """Have nothing come through the line any more, while it seems to be there."""
        self.line.hold_up()

    def let_go(self):
        """Have all that was held up come through."""
        self.line.let_go()

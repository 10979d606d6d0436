"""A site whose Redis has a replica and three Sentinels on machines of their own, and whose Plivo is of another make."""

import os
import shutil
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path

from redis_pair import PASSWORD, PORT, SERVER, RedisPair, Server
from site_of_hosts import RATE, Site
from support.harness import Process

from ringproof.errors import LedgerUnavailable

OTHER_PLIVO = str(Path(__file__).with_name("other_plivo.py"))
PLIVO_PORT = 8090


class OtherPlivo(Process):
    """The other Plivo, with what a world asks of the sandbox. Its file is the judge."""

    def __init__(self, world, machine):
        self.file = world.folder / "plivo.sends"
        limit = [str(RATE.number), str(float(RATE.window_seconds))]
        command = [*machine.on, sys.executable, OTHER_PLIVO, str(PLIVO_PORT), str(self.file), *limit]
        super().__init__(command, world.folder / "plivo.log", world.plain_environ(), world.folder)
        self.until_logged("http://")
        self.base_url = f"http://127.0.0.1:{PLIVO_PORT}/v1"

    def lines(self):
        lines = (line.split() for line in self.file.read_text().splitlines())
        return [(float(at), float(wall), int(status), *rest) for at, wall, status, *rest in lines]

    def switch(self, **_switches):
        """Its limit is on its command line."""

    def sends(self, number=None):
        return [
            {"phone_number": phone, "at": wall, "monotonic": at, "verification_uuid": code, "code": "-"}
            for at, wall, status, phone, code in self.lines()
            if status == 202 and number in {None, phone}
        ]

    def requests(self):
        return [{"kind": "initiate", "monotonic": at, "status": status} for at, _, status, _, _ in self.lines()]

    def counts(self):
        lines = self.lines()
        refused = sum(line[2] == 429 for line in lines)
        return {"next": len(lines) - refused, "requests": len(lines), "refused_429": refused}


class FailoverSite(Site):
    """`pair` False is one Redis without Sentinels, whose files may be put back."""

    MACHINES = ("redis-1", "redis-2")

    def __init__(self, folder, rows, *, pair=True, **variables):
        super().__init__(folder, rows, **variables)
        self.pair = pair

    def plain_environ(self):
        return os.environ | {"TMPDIR": str(self.folder)}

    def _start_redis(self):
        if self.pair:
            return nullcontext(RedisPair(self))
        return nullcontext(OneRedis(self))

    def _start_plivo(self):
        return OtherPlivo(self, self.network["plivo"])

    def states(self):
        """In the midst of a failover, none."""
        with suppress(LedgerUnavailable):
            return super().states()
        return {None: 1}


class OneRedis(Server):
    """One Redis."""

    def __init__(self, world):
        super().__init__(world, world.network["redis-1"], "server", SERVER)
        self.pid = self.popen.pid
        self.url = f"redis://:{PASSWORD}@{self.machine.address}:{PORT}/0"

    def copy(self):
        """Its files as they are, as a snapshot of the disk would have them."""
        to = self.world.folder / "snapshot"
        shutil.copytree(self.folder, to)
        return to

    def restore(self, snapshot):
        """Kill it, and start it with these files in the place of its own. Returns when it answers."""
        self.kill()
        for path in self.folder.glob("appendonly*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in snapshot.glob("appendonly*"):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, self.folder / path.name)
        self.restart()
        return time.monotonic()

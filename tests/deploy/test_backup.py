"""Back-up and restore, with the very commands of docs/operating/backup.md, a real Redis and a real worker."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.harness import ROOT, Worker, eventually, fresh_number, ledger_of

from ringproof.ledger.record import Reason, State
from worker.local.processes.redis_server import RedisServer, find_server

PAGE = (ROOT / "docs/operating/backup.md").read_text()
STEPS = ("back-up", "stop", "restore", "pause", "resume")
LONGEST_LIFE_SECONDS = 16 * 60.0
REDIS_CLI = find_server().with_name("redis-cli")

pytestmark = pytest.mark.skipif(not REDIS_CLI.exists(), reason="there is no redis-cli beside the Redis server")


def commands_of(step):
    """Return the commands of one console of the page, as they are written."""
    (text,) = re.findall(rf'^ *```console title="{step}"\n(.*?)^ *```', PAGE, re.MULTILINE | re.DOTALL)
    return [line.strip().removeprefix("$ ") for line in text.splitlines()]


class Host:
    """A host with a Redis and a worker. What the page calls by systemd's names is started and stopped here."""

    def __init__(self, server, folder, environ):
        self._server, self._folder, self._environ, self._worker = server, folder, environ, None
        self._password = folder / "redis_password"
        self._password.write_text(server.url.split(":")[2].partition("@")[0] + "\n")
        programs = folder / "bin"
        programs.mkdir()
        for name, script in {
            "redis-cli": f'exec {REDIS_CLI} -p {server.port} "$@"',  # Redis has another port than on a host of its own
            "ringproof": f'exec {sys.executable} -m worker "$@"',
            "chown": "exit 0",  # this machine may have no user redis
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        self._environ = environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

    def type(self, step):
        """Run the commands of a step in one shell, except those of systemd; return what they printed."""
        lines, printed = [], ""
        for command in commands_of(step):
            if command.startswith("systemctl "):
                printed += self.run(*lines)
                lines = []
                self._systemctl(*shlex.split(command)[1:])
            else:
                here = command.replace("/etc/ringproof/redis_password", str(self._password))
                lines.append(here.replace("/var/lib/redis", str(self._server.directory)))
        return printed + self.run(*lines)

    def run(self, *lines):
        """Run commands in one shell; return what they printed."""
        done = subprocess.run(
            ["sh", "-ec", "\n".join(lines)],
            env=self._environ, cwd=self._folder, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, f"{lines}: {done.stdout}{done.stderr}"
        return done.stdout

    def _systemctl(self, verb, unit):
        {
            ("start", "ringproof.target"): self.start_worker,
            ("stop", "ringproof.target"): self._stop_worker,
            ("start", "redis-server"): self._server.start,
            ("stop", "redis-server"): self._stop_redis,
        }[verb, unit]()

    def start_worker(self):
        self._worker = Worker(self._folder / "worker.log", self._environ, self._folder, "-P", "threads", "-B")

    def _stop_worker(self):
        self._worker.popen.send_signal(signal.SIGTERM)
        assert self._worker.popen.wait(60) == 0, self._worker.log
        self._worker.kill()
        self._worker = None

    def _stop_redis(self):
        os.kill(self._server.pid, signal.SIGTERM)
        eventually(lambda: not self._server.is_running)

    def close(self):
        if self._worker:
            self._worker.kill()


@pytest.fixture
def host(environ, tmp_path, plivo):
    folder = Path(tmp_path, "host")
    folder.mkdir()
    with RedisServer() as server:
        host = Host(server, folder, environ | {"RINGPROOF_REDIS_URL": server.url})
        host.url = server.url
        host.start_worker()
        yield host
        host.close()


@pytest.mark.long  # it waits for the end of a lease, as the page does
def test_a_restore_forgets_no_verified_number_and_doubles_no_code_that_may_be_live(host, plivo, environ):
    before, pending, since, verified_since, later = (fresh_number() for _ in range(5))

    with ledger_of(environ | {"RINGPROOF_REDIS_URL": host.url}) as ledger:

        def state_of(number):
            record = ledger.read(number)
            return record and record.state

        def asked(number):
            host.run(f"ringproof initiate {number} --no-wait")
            eventually(lambda: state_of(number) is State.CODE_SENT, why=number)

        for number in (before, pending):
            asked(number)
        plivo.complete(before)
        host.run("ringproof sync --yes")
        eventually(lambda: state_of(before) is State.VERIFIED)

        host.type("back-up")

        for number in (since, verified_since):
            asked(number)
        plivo.complete(verified_since)
        host.type("stop")
        host.type("restore")
        restored = [state_of(number) for number in (before, pending, since, verified_since)]
        host.type("pause")
        for number in (since, later):
            host.run(f"ringproof initiate {number} --no-wait")
        eventually(lambda: all(ledger.read(number).reason is Reason.PAUSED for number in (since, later)))
        codes_in_the_pause = [len(plivo.sends(number)) for number in (since, later)]
        plivo.advance(LONGEST_LIFE_SECONDS)
        # The worker that the back-up knows of is gone. In the quarter of an hour that the page waits, its lease ends.
        eventually(lambda: not ledger.client.hexists(ledger.keys.generation, "closed_at"), within=90)
        said = host.type("resume")
        eventually(lambda: state_of(since) is state_of(later) is State.CODE_SENT)
        eventually(lambda: state_of(verified_since) is State.VERIFIED)

    assert restored == [State.VERIFIED, State.CODE_SENT, None, None]
    assert codes_in_the_pause == [1, 0], "the code of that time may be live"
    assert [len(plivo.sends(number)) for number in (before, pending, since, verified_since, later)] == [1, 1, 2, 1, 1]
    assert "everything goes on" in said


def test_the_page_has_each_step_once_in_its_order():
    titles = re.findall(r'```console title="([\w-]+)"', PAGE)

    assert titles == list(STEPS)

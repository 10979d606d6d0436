"""The processes in a hardened container: a read-only root, a user without a name, no rights, secrets as files."""

import os
import shlex
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.container import contained, first_process, missing
from support.harness import AUTH_ID, AUTH_TOKEN, ROOT, Process, eventually, stopped

BIN = Path(sys.executable).parent
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
GRACE_SECONDS = 30.0
READY = {
    "worker": " ready.",
    "beat": "beat: Starting...",
    "serve": "the front door is at",
    "metrics": "finds the metrics",
    "sandbox": "http://127.0.0.1",
}
COMMANDS = {
    **{name: (*shlex.split(line), "-l", "INFO") for name, line in PROCFILE.items()},
    "beat": ("ringproof", "beat", "-l", "INFO"),
    "serve": ("ringproof", "serve", "--no-auth", "--port", "0"),
    "metrics": ("ringproof", "metrics", "--port", "0"),
    "sandbox": ("ringproof", "sandbox", "--port", "0"),
}

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def secrets(environ, redis_server, tmp_path):
    """The environment of a container: the secrets are in files that end with a new line, as editors write them."""
    url, password = redis_server.url, redis_server.url.split(":")[2].partition("@")[0]
    token, of_redis = tmp_path / "plivo_auth_token", tmp_path / "redis_password"
    token.write_text(f"{AUTH_TOKEN}\n")
    of_redis.write_text(f"{password}\n")
    own = {name: value for name, value in environ.items() if name not in {"PLIVO_AUTH_TOKEN", "PLIVO_AUTH_ID"}}
    return own | {
        "PLIVO_AUTH_ID": AUTH_ID,
        "PLIVO_AUTH_TOKEN_FILE": str(token),
        "RINGPROOF_REDIS_URL": url.replace(f":{password}@", ""),
        "RINGPROOF_REDIS_PASSWORD_FILE": str(of_redis),
        "RINGPROOF_PREFIX": "contained",
    }


def ready_of(command):
    return next(text for word, text in READY.items() if word in command)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_process_works_where_it_can_write_nothing_and_ends_on_sigterm(name, secrets, tmp_path):
    program, *arguments = COMMANDS[name]
    command = contained(str(BIN / program), *arguments)

    with stopped(Process(command, tmp_path / "log", secrets, tmp_path)) as process:
        process.until_logged(ready_of(COMMANDS[name]))
        process.popen.terminate()

        assert process.popen.wait(GRACE_SECONDS) == 0, process.log
        assert "Traceback" not in process.log
        assert AUTH_TOKEN not in process.log


def test_a_prefork_worker_says_what_it_needs_where_it_can_write_nothing_at_all(secrets, tmp_path):
    command = contained(str(BIN / "ringproof"), "worker", "-c", "2", writable=())

    with stopped(Process(command, tmp_path / "log", secrets, tmp_path)) as process:
        assert process.popen.wait(GRACE_SECONDS) == 1
        assert "the pool prefork cannot write into /tmp or /dev/shm; mount a tmpfs there" in process.log
        assert "Traceback" not in process.log


@pytest.mark.parametrize("name", ["beat", "serve", "metrics", "worker"])
def test_sigterm_ends_a_containers_first_process_also_while_it_starts(name, secrets, tmp_path):
    arguments = {"serve": ["--no-auth", "--port", "0"], "metrics": ["--port", "0"]}.get(name, ["-l", "INFO"])
    command = first_process(str(BIN / "ringproof"), name, *arguments)

    with stopped(Process(command, tmp_path / "log", secrets, tmp_path)) as process:
        (first,) = eventually(process.children)
        eventually(lambda: "ringproof" in " ".join(psutil.Process(first).cmdline()))
        deadline = time.monotonic() + GRACE_SECONDS
        while process.popen.poll() is None and time.monotonic() < deadline:
            os.kill(first, signal.SIGTERM)
            time.sleep(0.05)

        assert process.popen.returncode == 128 + signal.SIGTERM, process.log
        assert ready_of([name]) not in process.log


@pytest.mark.parametrize("name", PROCFILE)
def test_a_worker_that_is_a_containers_first_process_ends_warmly_and_takes_all_its_processes_along(
    name, secrets, tmp_path
):
    words = shlex.split(PROCFILE[name].replace("celery -A worker worker", "worker"))
    command = first_process(str(BIN / "ringproof"), *words, "-l", "INFO")

    with stopped(Process(command, tmp_path / "log", secrets, tmp_path)) as process:
        process.until_logged(" ready.")
        (first,) = process.children()
        own = psutil.Process(first).children(recursive=True)
        os.kill(first, signal.SIGTERM)

        assert process.popen.wait(GRACE_SECONDS) == 0, process.log
        assert "Warm shutdown" in process.log
        assert own
        assert not [one for one in own if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

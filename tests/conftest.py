"""One real Redis, one sandbox and one worker for the session; each test has numbers of its own."""

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
import redis
from support.command import Command
from support.harness import AUTH_ID, AUTH_TOKEN, Sandbox, Worker, stopped
from support.wire import TAKEN, Server

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.plivo.client import PlivoClient
from ringproof.plivo.transport import HTTP_TIMEOUTS
from ringproof.secret_str import SecretStr
from ringproof.settings import Settings
from worker.local.processes.redis_server import RedisServer, find_server

hypothesis.settings.register_profile(
    "busy", deadline=None
)  # a test of more than 200 ms shows a busy machine, not a fault
hypothesis.settings.load_profile("busy")

TESTS = Path(__file__).parent
REDIS = RedisServer(has_config=True)  # some tests of the ledger fill its memory
POLICY = {
    "RINGPROOF_RATE": "1000/1s",
    "RINGPROOF_CALL_RATE": "1000/1s",
    "RINGPROOF_RESEND_COOLDOWN_SECONDS": "1",
    "RINGPROOF_RANGE_CODES_PER_HOUR": "0",  # all tests use numbers of one range, and one country
    "RINGPROOF_COUNTRY_CODES_PER_HOUR": "0",
    "RINGPROOF_PEOPLE_CODES_PER_DAY": "0",
    "RINGPROOF_REQUESTER_CODES_PER_HOUR": "3",
    "RINGPROOF_BREAKER_PERCENT": "0",  # most tests enter no codes
    "RINGPROOF_MAX_CODES_PER_DAY": "10",
}


def pytest_configure():
    """Make this process a producer before collection looks at a task, which makes Celery read the environment."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job and its children ignore SIGINT
    REDIS.start()
    for name in Settings.variables():
        os.environ.pop(name, None)
    os.environ["RINGPROOF_REDIS_URL"] = REDIS.url
    client = connect(REDIS.url)
    Ledger(client).publish_policy(Settings.read(POLICY).policy)
    client.close()
    assert app.amqp.producer_pool  # with this Redis, whichever test comes first
    assert app.backend


def pytest_report_header():
    return f"redis: {find_server()}"


SLOWEST_FIRST = (
    "faults",
    "tasks/test_sweep.py",
    "promises",
    "web",
    "local/test_demo.py",
    "accounts",
    "upgrades",
    "deploy",
    "benchmarks",
    "local",
    "celery",
    "plivo",
    "tasks",
    "cli",
    "test_production_shape.py",
    "test_wheel.py",
    "docs",
)
"""The folders and files with the longest tests. The processes of xdist take files in this order, and end together."""


SLOW = (
    *("faults", "upgrades", "examples", "accounts/test_isolation.py"),
    *("celery/test_containers.py", "celery/test_processes.py", "celery/test_redis_restarts.py"),
    *("celery/test_sentinel.py", "celery/test_shutdown.py", "cli/test_cli_start.py"),
    *("ledger/test_generation.py", "local/test_demo.py", "observe/test_alerts.py", "phone/test_lost_plus.py"),
    *("rosters/test_roster.py", "test_wheel.py"),
    *("web/api/test_api_fails.py", "web/page/test_page_browser.py", "web/test_door_lost.py", "web/test_sdks.py"),
)
"""The folders and files that `make test-slow` runs: they start whole installations, or try thousands of inputs."""


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by markers
def pytest_collection_modifyitems(items):
    for item in items:
        if _file_of(item).startswith(SLOW):
            item.add_marker("slow")
    items.sort(key=lambda item: _rank(_file_of(item)))  # the order within a file stays


def _file_of(item):
    return item.path.relative_to(TESTS).as_posix()


def _rank(file):
    return next((rank for rank, name in enumerate(SLOWEST_FIRST) if file.startswith(name)), len(SLOWEST_FIRST))


def pytest_unconfigure():
    """Leave nothing behind."""
    REDIS.close()


@pytest.fixture(scope="session")
def redis_server():
    return REDIS


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    with stopped(Sandbox(folder / "sandbox.log", os.environ, folder)) as running:
        yield running


@pytest.fixture(scope="session")
def environ(sandbox):
    """What a worker of this session has in its environment: nothing of the developer's own."""
    return (
        os.environ
        | {
            "PLIVO_AUTH_ID": AUTH_ID,
            "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
            "PLIVO_BASE_URL": sandbox.base_url,
        }
        | POLICY
    )


@pytest.fixture
def ledger():
    """The ledger that this process, its producers and the worker share; a test may publish another policy."""
    yield runtime.ledger()
    runtime.ledger().publish_policy(Settings.read(POLICY).policy)


@pytest.fixture
def publish(ledger):
    """Publish the tests' policy with changes. At another rate the first window would be spent, and nobody sweeps."""

    def publish_(**changes):
        ledger.publish_policy(replace(Settings.read(POLICY).policy, **changes))

    return publish_


@pytest.fixture(scope="session")
def with_test_numbers(environ):
    """The session's worker and front door know the codes of two numbers, which a test makes test numbers."""
    return environ | {"RINGPROOF_TEST_NUMBERS": "+15005550006=123456,+15005550007=4321"}


@pytest.fixture(scope="session")
def worker(with_test_numbers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    with stopped(Worker(folder / "worker.log", with_test_numbers, folder, "-Q", "ringproof.interactive")) as running:
        yield running


@pytest.fixture
def plivo(sandbox):
    """The sandbox as it is when new."""
    sandbox.reset()
    sandbox.switch(limit=100_000)
    yield sandbox
    sandbox.reset()


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def serve():
    """Start servers."""
    with contextlib.ExitStack() as stack:

        def start(play=TAKEN, tls=None):
            server = Server(play, tls)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def client_of():
    """Build clients."""
    with contextlib.ExitStack() as stack:

        def build(url, timeouts=HTTP_TIMEOUTS):
            client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), url, timeouts=timeouts)
            stack.callback(client.close)
            return client

        yield build


@pytest.fixture(scope="session")
def command():
    with Command() as loaded:
        yield loaded


@pytest.fixture
def run(command, environ, tmp_path):
    """Run the real command in a folder of its own; the answer has stdout, stderr and returncode."""

    def run_(*arguments, stdin="", **changes):
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        done = command.run(arguments, environ=environ | changes, cwd=tmp_path, stdin=content)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run_


@pytest.fixture(scope="module")
def idle(environ):
    """A Redis without a worker, as the environment of a command."""
    with RedisServer(has_config=True) as server:
        yield environ | {"RINGPROOF_REDIS_URL": server.url}

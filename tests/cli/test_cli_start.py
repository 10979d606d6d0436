"""A command loads what it needs and no more: a person waits for it, and a healthcheck runs every few seconds."""

import json
import resource
import subprocess
import sys

import click
import pytest
from support.commands import commands_of

from worker.cli import main

LOADED = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from worker.cli import main
main(sys.argv[1:], prog_name="ringproof")
"""

NEVER = {
    *("celery", "kombu", "billiard", "pydantic", "requests", "urllib3", "jinja2", "multiprocessing", "rich.progress"),
    *("worker.cli.batch", "worker.cli.roster", "worker.cli.verified", "worker.cli.processes", "worker.celery", "tasks"),
    *("ringproof.batches", "ringproof.celery", "ringproof.plivo", "ringproof.rosters"),
}

NOT_FOR_A_HEALTHCHECK = NEVER | {
    *("redis", "rich", "phonenumbers", "asyncio", "ssl", "hashlib", "logging"),
    *("ringproof.ledger.metrics", "ringproof.ledger.gaps"),
}

GROUPS = [[name] for (name, *inner), one in commands_of(main) if isinstance(one, click.Group)]

LOADS_NO_COMMAND = {
    "worker.cli",
    *(f"worker.cli.{name}" for name in ("account", "env_file", "first_process", "groups", "lazy_group", "options")),
}


def loaded_by(*arguments, environ):
    """Return the names of all modules that a command has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in {0, 1}, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def commands_in(loaded):
    """Return those of these modules that a command may need, and its help does not."""
    commands = {name for name in loaded if name.startswith("worker.cli")} - LOADS_NO_COMMAND
    return commands | loaded & (NEVER | {"redis", "rich", "phonenumbers"})


def cpu_seconds(*command, environ):
    """Return the CPU time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *command], env=environ, capture_output=True, check=False, timeout=60)
    assert b"Traceback" not in done.stderr, done.stderr  # the status of a Redis without a worker exits with 1
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def least(*commands, environ, times=7):
    """Return the least CPU time of each command, each run in turn beside the others: another process disturbs all."""
    runs = [[cpu_seconds(*command, environ=environ) for command in commands] for _ in range(times)]
    return [min(of_one) for of_one in zip(*runs, strict=True)]


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["status", "+14155550123"]], ids=" ".join)
def test_status_loads_no_celery_and_no_other_command(idle, arguments):
    assert not loaded_by(*arguments, environ=idle) & NEVER


def test_the_status_of_the_sending_loads_nothing_of_a_number(idle):
    assert not loaded_by("status", environ=idle) & {"phonenumbers", "worker.views.number", "ringproof.phone.caller_id"}


def test_status_takes_little_more_than_its_two_libraries(idle):
    status, libraries = least(
        ("-m", "worker", "status"), ("-c", "import redis, click, rich.console, rich.table"), environ=idle
    )

    assert status < 2.1 * libraries


def test_health_loads_only_what_it_needs(idle):
    assert not loaded_by("health", environ=idle) & NOT_FOR_A_HEALTHCHECK


@pytest.mark.usefixtures("worker")
def test_health_takes_less_than_redis_py_and_click_take_to_load(environ):
    own = environ | {"RINGPROOF_COUNTRIES": "US,CA", "RINGPROOF_QUIET_HOURS": "21:00-08:00"}
    health, libraries = least(("-m", "worker", "health"), ("-c", "import redis, click"), environ=own)

    assert health < libraries


@pytest.mark.parametrize("arguments", [["--version"], ["no-such-command"]], ids=" ".join)
def test_without_a_command_no_command_is_loaded(idle, arguments):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], env=idle, capture_output=True, text=True, check=False, timeout=60
    )

    assert not commands_in(set(json.loads(done.stderr.splitlines()[-1])))


@pytest.mark.parametrize("group", [[], *GROUPS], ids=" ".join)
def test_help_and_completion_load_none_of_the_commands_that_they_list(idle, group):
    completes = {"_RINGPROOF_COMPLETE": "bash_complete", "COMP_CWORD": str(1 + len(group))}
    completes["COMP_WORDS"] = " ".join(["ringproof", *group])

    assert not commands_in(loaded_by(*group, "--help", environ=idle))
    assert not commands_in(loaded_by(environ=idle | completes))

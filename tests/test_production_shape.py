"""Procfile, docker-compose.yml and .env.example say the same, and each process starts, and ends on SIGTERM."""

import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import dotenv
import pytest
import yaml
from support.harness import AUTH_ID, AUTH_TOKEN, ROOT, Process, stopped

from ringproof.settings import Settings

PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
EXAMPLE = ROOT / ".env.example"
OURS_ALONE = {"REDIS_PASSWORD"}  # compose's, which makes RINGPROOF_REDIS_URL of it
ELSEWHERE = {"REDIS_URL"}  # what platforms call it; the example has our own name for it
QUEUES = {"ringproof.interactive", "ringproof.scheduled", "ringproof.bulk", "ringproof.ticks", "ringproof.events"}
GRACE_SECONDS = 15.0

# A worker that was started without --loglevel says neither; celery reads its options from CELERY_*, too.
READY = {
    "worker": ("CELERY_WORKER_LOGLEVEL", " ready."),
    "beat": ("CELERY_BEAT_LOGLEVEL", "beat: Starting..."),
}


def words_after(flag, command):
    words = command if isinstance(command, list) else shlex.split(command)
    return words[words.index(flag) + 1]


def test_compose_runs_the_commands_of_the_procfile():
    commands = {name: service["command"] for name, service in SERVICES.items() if name in PROCFILE}

    assert commands == PROCFILE
    assert set(SERVICES) - set(PROCFILE) == {"redis", "sandbox", "sandbox-worker", "serve"}


def test_the_documentation_has_the_commands_of_the_procfile():
    page = (ROOT / "docs/operating/deploying.md").read_text()

    assert not [name for name, command in PROCFILE.items() if f"| {name} | `{command}` |" not in page]


def test_every_queue_has_a_process_and_no_two_share_one():
    taken = [
        queue for command in PROCFILE.values() if "-Q" in command for queue in words_after("-Q", command).split(",")
    ]

    assert sorted(taken) == sorted(QUEUES), "only a worker with a program's handlers takes ringproof.signals"


def test_no_port_is_published():
    assert not [name for name, service in SERVICES.items() if "ports" in service]


def test_redis_writes_everything_down_and_throws_nothing_away():
    command = SERVICES["redis"]["command"]
    options = {flag: words_after(flag, command) for flag in command if flag.startswith("--")}

    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--requirepass"].startswith("${REDIS_PASSWORD:?")
    assert SERVICES["redis"]["volumes"] == ["redis-data:/data"]
    assert "redis-data" in COMPOSE["volumes"]


def test_every_service_is_asked_for_its_health():
    assert not [name for name, service in SERVICES.items() if not service["healthcheck"]["test"]]
    assert {SERVICES[name]["healthcheck"]["test"][-1] for name in PROCFILE} == {"health"}


def test_workers_wait_for_redis_and_are_given_the_time_to_end():
    for name in PROCFILE:
        service = SERVICES[name]

        assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert int(service["stop_grace_period"].removesuffix("s")) > GRACE_SECONDS
        assert service["restart"] == "unless-stopped"
        assert service["init"] is True


def test_the_sandbox_comes_by_its_profile_alone_and_never_meets_production():
    profiled = {name for name, service in SERVICES.items() if service.get("profiles") == ["sandbox"]}
    worker = SERVICES["sandbox-worker"]
    databases = [SERVICES[name]["environment"]["RINGPROOF_REDIS_URL"][-2:] for name in ("bulk", "sandbox-worker")]

    assert profiled == {"sandbox", "sandbox-worker"}
    assert worker["network_mode"] == "service:sandbox"
    assert worker["env_file"] == []
    assert Settings.read(worker["environment"] | {"RINGPROOF_REDIS_URL": ""}, worker=True)
    assert databases == ["/0", "/1"]


def test_images_have_a_version_and_ours_is_the_projects():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    based_on = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    for image in [*based_on, *(service["image"] for service in SERVICES.values())]:
        name, _, tag = image.partition(":")
        assert re.match(r"\d", tag), image
        if name.startswith("ringproof"):
            assert tag == version


def test_the_image_has_no_root_and_no_secret():
    recipe = (ROOT / "Dockerfile").read_text()
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert re.search(r"^USER (?!root)", recipe, re.MULTILINE)
    assert not re.search(r"PLIVO|PASSWORD|TOKEN", recipe)
    assert ignored[0] == "*"
    assert not [line for line in ignored if ".env" in line]


def test_the_example_of_the_environment_has_every_variable_and_its_default():
    given = dotenv.dotenv_values(EXAMPLE)
    bare = Settings.read({})

    assert set(given) - OURS_ALONE == set(Settings.variables()) - ELSEWHERE
    assert Settings.read(given) == bare
    assert not [name for name in given if re.search("TOKEN|PASSWORD|AUTH", name) and given[name]]


def test_the_example_has_a_sentence_above_every_variable():
    lines = EXAMPLE.read_text().splitlines()

    for above, line in itertools.pairwise(lines):
        if line and not line.startswith("#"):
            assert re.fullmatch(r"# [A-Z].*\S", above), line


@pytest.mark.parametrize("name", PROCFILE)
def test_each_process_starts_ends_on_sigterm_and_leaves_no_file(name, redis_server, tmp_path):
    command = PROCFILE[name]
    loglevel, ready = READY[shlex.split(command)[3]]
    inherited = {key: value for key, value in os.environ.items() if key not in Settings.variables()}
    environ = inherited | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RINGPROOF_REDIS_URL": redis_server.url,
        "RINGPROOF_PREFIX": f"shape-{name}",
        "PLIVO_AUTH_ID": AUTH_ID,
        "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
        "PLIVO_BASE_URL": "http://127.0.0.1:9/v1",
        loglevel: "INFO",
    }
    here = tmp_path / "here"
    here.mkdir()

    with stopped(Process(["sh", "-c", f"exec {command}"], tmp_path / "log", environ, here)) as process:
        process.until_logged(ready)
        process.popen.terminate()
        try:
            ended = process.popen.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end within {GRACE_SECONDS} s:\n{process.log}")

    assert ended == 0, process.log
    assert not list(here.iterdir())
    assert AUTH_TOKEN not in process.log

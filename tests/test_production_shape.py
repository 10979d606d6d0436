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
import psutil
import pytest
import redis
import yaml
from support.harness import AUTH_ID, AUTH_TOKEN, ROOT, Process, stopped

from ringproof.settings import Settings
from worker.cli.metrics import PORT as METRICS_PORT
from worker.local.processes.redis_server import find_server, free_port

PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
EXAMPLE = ROOT / ".env.example"
ELSEWHERE = {"REDIS_URL"}  # what platforms call it; the example has our own name for it
OBSERVE = {"metrics", "prometheus", "grafana"}
SANDBOXES = ("sandbox", "sandbox-alone")
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
    assert set(SERVICES) - set(PROCFILE) == {"redis", *SANDBOXES, "sandbox-worker", "serve"} | OBSERVE


def test_the_documentation_has_the_commands_of_the_procfile():
    page = (ROOT / "docs/operating/deploying.md").read_text()

    assert not [name for name, command in PROCFILE.items() if f"| {name} | `{command}` |" not in page]


def test_every_queue_has_a_process_and_no_two_share_one():
    taken = [
        queue for command in PROCFILE.values() if "-Q" in command for queue in words_after("-Q", command).split(",")
    ]

    assert sorted(taken) == sorted(QUEUES), "only a worker with a program's handlers takes ringproof.signals"


def test_no_port_is_published_but_those_of_the_dashboard_on_this_machine():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert set(published) == {"prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_metrics_alerts_and_dashboard_come_by_their_profile_from_files_that_are_shipped():
    profiled = {name for name, service in SERVICES.items() if service.get("profiles") == ["observe"]}
    scrapes = yaml.safe_load((ROOT / "worker/observe/prometheus/prometheus.yml").read_text())
    (target,) = scrapes["scrape_configs"][0]["static_configs"][0]["targets"]
    mounted = [
        volume.split(":")[0] for name in OBSERVE for volume in SERVICES[name].get("volumes", []) if volume[0] == "."
    ]
    grafana = yaml.safe_load((ROOT / "worker/observe/grafana/datasource.yml").read_text())["datasources"][0]

    assert profiled == OBSERVE
    assert target == f"metrics:{METRICS_PORT}"
    assert [name for name in scrapes["rule_files"] if not (ROOT / "worker/observe/prometheus" / name).exists()] == []
    assert len(mounted) == 4
    assert [path for path in mounted if not (ROOT / path).exists()] == []
    assert grafana["url"] == "http://prometheus:9090"


@pytest.fixture
def composed(tmp_path):
    """Compose's Redis: its command, with files and a port of the test's."""
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "data").mkdir()
    here = {"/run/secrets/redis_password": str(tmp_path / "password"), "/data": str(tmp_path / "data"), "$$": "$"}

    def written(text):
        for old, new in here.items():
            text = text.replace(old, new)
        return text

    port, server = free_port(), find_server()
    script = written(SERVICES["redis"]["command"][-1]).replace("redis-server -", f"redis-server - --port {port}", 1)
    environ = os.environ | {"PATH": f"{server.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [*SERVICES["redis"]["command"][:-1], script]
    with stopped(Process(command, tmp_path / "log", environ, tmp_path)) as process:
        process.until_logged("Ready to accept connections")
        yield process, redis.Redis.from_url(f"redis://:s3cret@127.0.0.1:{port}/0", decode_responses=True)


def test_redis_writes_everything_down_throws_nothing_away_and_asks_for_its_password(composed):
    process, client = composed
    with client:
        kept = {name: client.config_get(name)[name] for name in ("appendonly", "maxmemory-policy", "save", "maxmemory")}
        open_to_all = redis.Redis(port=client.connection_pool.connection_kwargs["port"])
        with pytest.raises(redis.AuthenticationError), open_to_all:
            open_to_all.ping()
    cmdline = psutil.Process(process.popen.pid).cmdline()

    assert kept == {"appendonly": "yes", "maxmemory-policy": "noeviction", "save": "", "maxmemory": str(1 << 30)}
    assert "s3cret" not in " ".join(cmdline), "a list of processes shows it"
    assert "redis-server" in cmdline[0], "and the shell is gone, which would not pass SIGTERM on"
    assert SERVICES["redis"]["volumes"] == ["redis-data:/data"]
    assert in_bytes(SERVICES["redis"]["mem_limit"]) > 2 * int(kept["maxmemory"])
    assert "redis-data" in COMPOSE["volumes"]


def in_bytes(size):
    return int(size[:-1]) << {"m": 20, "g": 30}[size[-1]]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_no_more_than_it_needs(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service)
    assert in_bytes(service["mem_limit"]) > sum(
        in_bytes(re.fullmatch(r"/[\w/]+:size=(\d+m)", one)[1]) for one in service.get("tmpfs", [])
    )
    assert 32 <= service["pids_limit"] <= 512
    assert 0 < service["cpus"] <= 2
    assert service.get("networks") or service["network_mode"] in {"service:sandbox", "host"}


def test_redis_is_reached_by_those_alone_who_need_it():
    reached_by = {name for name, service in SERVICES.items() if "ledger" in service.get("networks", [])}
    into_the_world = {name for name, service in SERVICES.items() if "outside" in service.get("networks", [])}

    assert COMPOSE["networks"]["ledger"] == {"internal": True}
    assert reached_by == {"redis", "interactive", "bulk", "serve", "metrics", "sandbox"}
    assert into_the_world == set(PROCFILE)
    assert SERVICES["redis"]["networks"] == ["ledger"]


def test_secrets_are_files_and_no_process_gets_one_that_it_does_not_need():
    given = {name: set(service.get("secrets", ())) for name, service in SERVICES.items()}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    variables = {name: service.get("environment", {}) for name, service in SERVICES.items()}

    assert given == {
        **{name: {"redis_password", "plivo_auth_token"} for name in ("interactive", "bulk", "serve")},
        **{name: {"redis_password"} for name in ("metrics", "redis", "sandbox-worker")},
        **{name: set() for name in ("prometheus", "grafana", *SANDBOXES)},
    }
    assert {name: one["file"] for name, one in COMPOSE["secrets"].items()} == {
        name: f"./secrets/{name}" for name in ("redis_password", "plivo_auth_token")
    }
    assert "secrets/" in ignored
    for name in set(SERVICES) - OBSERVE | {"metrics"}:
        ours = {key for key in variables[name] if key in Settings.variables()}
        assert ours == set(variables[name])
        assert not [value for key, value in variables[name].items() if "URL" in key and "@" in value]


def test_every_service_is_asked_for_its_health():
    assert not [name for name, service in SERVICES.items() if not service["healthcheck"]["test"]]
    assert {SERVICES[name]["healthcheck"]["test"][-2:] == ["health", "--self"] for name in PROCFILE} == {True}


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
    assert Settings.read(worker["environment"] | {"RINGPROOF_REDIS_PASSWORD_FILE": ""}, worker=True)
    assert databases == ["/0", "/1"]


def test_the_sandbox_alone_has_the_network_of_this_machine_and_nothing_else_has_it():
    alone, other = (dict(SERVICES[name]) for name in reversed(SANDBOXES))

    assert (alone.pop("profiles"), alone.pop("network_mode")) == (["sandbox-alone"], "host")
    assert (other.pop("profiles"), other.pop("networks")) == (["sandbox"], ["ledger"])
    assert alone == other
    assert [name for name, one in SERVICES.items() if one.get("network_mode") == "host"] == ["sandbox-alone"]


def test_images_have_a_version_and_ours_is_the_projects():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = [service["image"] for service in SERVICES.values()]

    for image in [*COMPOSE["x-images"].values(), *images]:
        name, _, tag = image.partition(":")
        assert re.match(r"v?\d", tag), image
        if name.startswith("ringproof"):
            assert tag == version


def test_all_images_of_others_are_pinned_in_one_place():
    recipe = (ROOT / "Dockerfile").read_text()
    foreign = {name: one["image"] for name, one in SERVICES.items() if not one["image"].startswith("ringproof")}
    built = [one["build"]["args"]["PYTHON"] for one in SERVICES.values() if "build" in one]

    assert foreign == {name: COMPOSE["x-images"][name] for name in ("redis", "prometheus", "grafana")}
    assert set(built) == {COMPOSE["x-images"]["python"]}
    assert re.findall(r"^FROM (\S+)", recipe, re.MULTILINE) == ["${PYTHON}"] * 2
    assert f"ARG PYTHON={COMPOSE['x-images']['python']}" in recipe


def test_the_image_has_no_root_and_no_secret():
    recipe = (ROOT / "Dockerfile").read_text()
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", recipe, re.MULTILINE), "Kubernetes cannot look up a name"
    assert not re.search(r"PLIVO|PASSWORD|TOKEN", recipe)
    assert ignored[0] == "*"
    assert not [line for line in ignored if ".env" in line]


def test_the_example_of_the_environment_has_every_variable_and_its_default():
    given = dotenv.dotenv_values(EXAMPLE)
    bare = Settings.read({})

    assert set(given) == set(Settings.variables()) - ELSEWHERE
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


def test_compose_is_what_the_schema_of_compose_says():
    pytest.importorskip("check_jsonschema", reason="to have it: pip install check-jsonschema")
    checks = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checks, ROOT / "docker-compose.yml"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout

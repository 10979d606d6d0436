"""deploy/systemd: a unit for each line of the Procfile, hardened, as systemd itself reads it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import dotenv
import pytest
from support.deployment import GRACE_SECONDS, PROCFILE, as_ringproof, check_command, unknown_settings
from support.harness import ROOT

FOLDER = ROOT / "deploy/systemd"
SERVICES = sorted(path.name for path in FOLDER.glob("*.service"))
WORKERS = {f"ringproof-{name}.service" for name in PROCFILE}
LONG_RUNNING = {name for name in SERVICES if name != "ringproof-health.service"}
SAFE = 2.0
"""The exposure that systemd-analyze finds, of 10."""


def settings_of(name):
    """Return (key, value) of each line of a unit, with those that its drop-in adds."""
    text = (FOLDER / name).read_text()
    if name.endswith(".service"):
        text += (FOLDER / "ringproof-.service.d/hardening.conf").read_text()
    return [tuple(line.split("=", 1)) for line in text.splitlines() if re.match(r"\w+=", line)]


def values(name, key):
    return [value for one, value in settings_of(name) if one == key]


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


@pytest.fixture
def installed(tmp_path):
    """The units as an operator copies them, with the commands of this environment."""
    shutil.copytree(FOLDER, tmp_path / "system")
    for unit in (tmp_path / "system").glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/ringproof/bin", str(Path(sys.executable).parent)))
    return tmp_path / "system"


def analyze(*arguments, cwd):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )
    if "Failed to" in done.stderr and "initialize manager" in done.stderr:
        pytest.skip("systemd-analyze does not run here")
    return done


def test_systemd_finds_no_fault(installed):
    units = sorted(str(path) for path in installed.iterdir() if path.suffix in {".service", ".timer", ".target"})
    done = analyze("verify", "--man=no", *units, cwd=installed)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_finds_little_exposure(installed, name):
    done = analyze("security", "--offline=true", "--no-pager", f"./{name}", cwd=installed)

    assert float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)[1]) <= SAFE


@pytest.mark.parametrize("name", PROCFILE)
def test_each_line_of_the_procfile_has_its_unit(name):
    (command,) = values(f"ringproof-{name}.service", "ExecStart")

    assert as_ringproof(command.replace("%%", "%").removeprefix("/opt/ringproof/bin/")) == as_ringproof(PROCFILE[name])


@pytest.mark.parametrize("name", SERVICES)
def test_each_unit_runs_a_command_that_there_is_and_escapes_what_systemd_would_replace(name):
    (command,) = values(name, "ExecStart")

    check_command(command.split())
    assert not re.findall(r"(?<!%)%(?!%)", command.replace("%%", ""))


@pytest.mark.parametrize("name", SERVICES)
def test_each_variable_is_a_setting_and_each_secret_a_file(name):
    given = dict(value.split("=", 1) for value in values(name, "Environment"))
    handed = dict(value.split(":", 1) for value in values(name, "LoadCredential"))

    assert unknown_settings(given) == set()
    assert set(given.values()) == {f"%d/{file}" for file in handed}
    assert set(handed.values()) == {f"/etc/ringproof/{file}" for file in handed}
    assert ("plivo_auth_token" in handed) == (name in WORKERS | {"ringproof-serve.service"})


def test_the_environment_has_settings_alone_no_secret_and_none_that_the_units_set():
    given = dotenv.dotenv_values(FOLDER / "ringproof.env")

    assert unknown_settings(given) == set()
    assert not [name for name in given if re.search("TOKEN|SECRET|PASSWORD|FILE", name)], "it would win over the unit"


@pytest.mark.parametrize("name", SERVICES)
def test_each_unit_has_no_more_than_it_needs(name):
    given = dict(settings_of(name))

    assert given["DynamicUser"] == given["NoNewPrivileges"] == "yes"
    assert given["ProtectSystem"] == "strict"
    assert given["CapabilityBoundingSet"] == ""
    assert {"MemoryMax", "TasksMax"} <= set(given)


@pytest.mark.parametrize("name", sorted(LONG_RUNNING))
def test_each_process_is_started_again_and_belongs_to_the_target(name):
    given = dict(settings_of(name))

    assert given["Restart"] == "always"
    assert given["PartOf"] == given["WantedBy"] == "ringproof.target"


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_is_given_its_grace_and_its_children_no_signal(name):
    given = dict(settings_of(name))

    assert given["KillMode"] == "mixed"
    assert seconds(given["TimeoutStopSec"]) > GRACE_SECONDS

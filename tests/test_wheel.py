"""The wheel, installed into an environment of its own and run away from the source."""

import os
import subprocess
import sys
import venv
import zipfile

import pytest
import redis
from support.harness import ROOT, Process, eventually, stopped

from ringproof.settings import Settings
from worker.local.processes.redis_server import RedisServer

PRODUCER = "from ringproof import initiate_verification; print(initiate_verification.delay('+14155550123').id)"


def run(*command, cwd, **environ):
    """Run a command with nothing of the developer's own in its environment; return what it printed."""
    kept = {key: value for key, value in os.environ.items() if key not in {*Settings.variables(), "PYTHONPATH"}}
    done = subprocess.run(
        command, cwd=cwd, env=kept | environ, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    [built] = folder.glob("ringproof-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of an environment with the wheel and what it needs, no extra."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder)
    programs = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "--quiet", "--disable-pip-version-check"]
    run(*pip, "install", "--no-compile", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    return programs


@pytest.mark.timeout(300)
def test_the_wheel_has_the_files_that_are_not_python(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    scripts = {str(script.relative_to(ROOT)) for script in (ROOT / "ringproof/ledger/lua").rglob("*.lua")}

    assert scripts
    assert names >= scripts | {
        "ringproof/py.typed",
        "ringproof/words/en.toml",
        "ringproof/words/es.toml",
        "worker/py.typed",
        "tasks/py.typed",
        "worker/local/demo/roster.csv",
        "worker/observe/grafana/ringproof.json",
        "worker/observe/prometheus/alerts.yml",
        "worker/web/page/static/page.css",
        "worker/web/page/templates/base.html",
    }
    assert {name.split("/")[0] for name in names} == {
        "ringproof",
        "worker",
        "tasks",
        f"{'-'.join(wheel.stem.split('-')[:2])}.dist-info",
    }


@pytest.mark.timeout(300)
def test_the_command_explains_itself(installed, tmp_path):
    printed = run(installed / "ringproof", "--help", cwd=tmp_path)

    assert "RINGPROOF_REDIS_URL" in printed


@pytest.mark.timeout(300)
def test_a_program_needs_redis_and_nothing_of_plivos(installed, tmp_path):
    with RedisServer() as server:
        printed = run(installed / "python", "-c", PRODUCER, cwd=tmp_path, RINGPROOF_REDIS_URL=server.url)

        with redis.Redis.from_url(server.url) as client:
            assert client.exists("ringproof:number:+14155550123")
    assert printed.startswith("+14155550123/")
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(300)
def test_a_worker_of_the_wheel_sends_a_code(installed, environ, plivo, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        own.pop("PYTHONPATH", None)
        command = [str(installed / "ringproof"), "worker", "-l", "INFO", "-c", "1"]
        with stopped(Process(command, tmp_path / "log", own, here)) as process:
            process.until_logged(" ready.")
            run(installed / "python", "-c", PRODUCER, cwd=here, RINGPROOF_REDIS_URL=server.url)
            eventually(lambda: plivo.sends("+14155550123"), why=f"no code was sent: {process.log}")
            process.popen.terminate()

            assert process.popen.wait(30) == 0, process.log
    assert not list(here.iterdir())

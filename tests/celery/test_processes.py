"""`ringproof worker` and `ringproof beat`: what `celery -A worker …` starts, from any folder."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from support.harness import Process, eventually, fresh_number, ledger_of, stopped

from ringproof import initiate_verification
from ringproof.ledger.record import State
from worker.local.processes.redis_server import RedisServer

RINGPROOF = str(Path(sys.executable).parent / "ringproof")
CELERY = str(Path(sys.executable).parent / "celery")
BOTH_WORKERS = pytest.mark.parametrize(
    "command", [(RINGPROOF, "worker"), (CELERY, "-A", "worker", "worker")], ids=["ringproof", "celery"]
)
BOTH_BEATS = pytest.mark.parametrize(
    "command", [(RINGPROOF, "beat"), (CELERY, "-A", "worker", "beat")], ids=["ringproof", "celery"]
)
GRACE_SECONDS = 30.0
EXIT_AFTER_CTRL_C = 1  # Celery's own


@pytest.fixture
def project(tmp_path):
    """A folder with modules of the names that Ringproof and Celery have; to import one of them is an error."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("worker", "tasks", "celery", "ringproof"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the project was imported')\n")
    return folder


def ended(*command, environ, cwd):
    """Run a command to its end."""
    return subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)


def send_by_name(url, number):
    """Send a request as an application does that does not import Ringproof."""
    with Celery("foreign", broker=url, set_as_current=False) as foreign:
        foreign.send_task("initiate_verification", [number], queue="ringproof.interactive", argsrepr="(…)")


@pytest.mark.parametrize(
    ("stop", "exit_code"),
    [
        pytest.param(signal.SIGTERM, 0, id="SIGTERM"),
        pytest.param(signal.SIGINT, EXIT_AFTER_CTRL_C, id="Ctrl-C"),
    ],
)
def test_a_worker_verifies_a_number_from_a_folder_with_modules_of_the_same_names(
    stop, exit_code, project, environ, tmp_path, plivo
):
    number = fresh_number()
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        command = [RINGPROOF, "worker", "-B", "-l", "INFO", "-c", "2"]
        with stopped(Process(command, tmp_path / "log", own, project)) as process, ledger_of(own) as ledger:
            process.until_logged(" ready.")
            eventually(lambda: ledger.client.exists("ringproof:tick:sweep"), why="no tick was taken")
            send_by_name(server.url, number)
            eventually(lambda: (record := ledger.read(number)) and record.state is State.CODE_SENT)
            process.popen.send_signal(stop)

            assert process.popen.wait(GRACE_SECONDS) == exit_code, process.log
            assert "project was imported" not in process.log
    assert len(plivo.sends(number)) == 1
    assert {path.suffix for path in project.iterdir()} == {".py"}, "no file is left there"


COUNTING = """
import gc
import sys
from celery import signals
from worker.celery import app
for begin in (signals.worker_process_init, signals.beat_embedded_init):
    begin.connect(lambda **_: print(gc.get_freeze_count(), "of", len(gc.get_objects()), "objects"), weak=False)
app.worker_main(["worker", "-B", "-l", "INFO", "-c", "1", "-P", sys.argv[1]])
"""


@pytest.mark.parametrize(("pool", "forked"), [("threads", 1), ("prefork", 2)])
def test_the_garbage_collectors_of_beat_and_child_leave_alone_what_their_worker_has_loaded(
    pool, forked, environ, tmp_path
):
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        command = [sys.executable, "-c", COUNTING, pool]
        with stopped(Process(command, tmp_path / "log", own, tmp_path)) as process:
            counts = eventually(
                lambda: len(found := re.findall(r"(\d+) of (\d+) objects", process.log)) == forked and found,
                why="the beat, or the child, has not begun",
            )

    for left_alone, collected in counts:
        assert int(left_alone) > 10 * int(collected), "it writes into each object, and so into pages of its own"


def test_a_beat_starts_the_ticks_from_a_folder_with_modules_of_the_same_names(project, environ, tmp_path):
    with RedisServer() as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        with stopped(Process([RINGPROOF, "beat"], tmp_path / "log", own, project)) as process, ledger_of(own) as ledger:
            eventually(lambda: ledger.client.llen("ringproof.ticks") >= 2, why=f"no tick was sent: {process.log}")
            process.popen.terminate()

            assert process.popen.wait(GRACE_SECONDS) == 0, process.log


@BOTH_WORKERS
def test_a_worker_without_credentials_ends_with_all_that_is_missing(command, environ, tmp_path):
    bare = {name: value for name, value in environ.items() if not name.startswith("PLIVO_")}

    done = ended(*command, environ=bare, cwd=tmp_path)

    assert done.returncode == 1
    assert "Error: PLIVO_AUTH_ID: missing" in done.stderr
    assert "PLIVO_AUTH_TOKEN: missing" in done.stderr
    assert "Traceback" not in done.stderr


@BOTH_BEATS
def test_a_beat_with_a_wrong_setting_ends_with_what_is_wrong(command, environ, tmp_path):
    done = ended(*command, environ=environ | {"RINGPROOF_RATE": "fast"}, cwd=tmp_path)

    assert done.returncode == 1
    assert "Error: RINGPROOF_RATE: " in done.stderr
    assert "Traceback" not in done.stderr


@BOTH_WORKERS
def test_a_wrong_option_is_a_wrong_usage(command, environ, tmp_path):
    done = ended(*command, "--concurency=2", environ=environ, cwd=tmp_path)

    assert done.returncode == 2
    assert "No such option '--concurency'" in done.stderr


def test_a_detached_worker_is_refused_since_it_would_look_for_modules_in_its_folder(environ, tmp_path):
    done = ended(RINGPROOF, "worker", "--detach", environ=environ, cwd=tmp_path)

    assert done.returncode == 2
    assert "Run it under a supervisor" in done.stderr


@pytest.mark.parametrize("process", ["worker", "beat"])
def test_help_names_the_list_of_all_options(process, environ, tmp_path):
    done = ended(RINGPROOF, process, "--help", environ=environ, cwd=tmp_path)

    assert f"celery {process} --help" in " ".join(done.stdout.split())


def test_a_worker_reads_the_settings_in_dotenv_of_its_folder(environ, tmp_path):
    bare = {name: value for name, value in environ.items() if not name.startswith("PLIVO_")}
    (tmp_path / ".env").write_text("PLIVO_AUTH_ID=MAXXXXXXXXXXXXXXXXXX\n")

    done = ended(RINGPROOF, "worker", environ=bare, cwd=tmp_path)

    assert "PLIVO_AUTH_TOKEN: missing" in done.stderr
    assert "PLIVO_AUTH_ID: missing" not in done.stderr


@pytest.mark.parametrize("process", ["worker", "beat"])
def test_the_application_of_programs_cannot_be_started_as_a_service(process, environ, tmp_path):
    done = ended(CELERY, "-A", "ringproof.celery.app", process, environ=environ, cwd=tmp_path)

    assert done.returncode == 1
    assert "Start `ringproof worker` and `ringproof beat`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_has_no_body_in_a_program_and_says_how_to_start_a_worker():
    program = "from ringproof import initiate_verification; initiate_verification.perform('+14155550123')"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert "start a worker with `ringproof worker`" in done.stderr
    assert initiate_verification.name == "initiate_verification"

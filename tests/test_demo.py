"""The demo: what it claims is true, and it leaves nothing behind, however it ends."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from harness import eventually

README = Path(__file__).parents[1] / "README.md"
TRAPS = {  # none of it may reach the demo
    "RINGPROOF_REDIS_URL": "redis://127.0.0.1:1/0",
    "RINGPROOF_PREFIX": "mine",
    "RINGPROOF_RATE": "1/1s",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PLIVO_BASE_URL": "http://127.0.0.1:1/v1",
    "PLIVO_AUTH_ID": "bogus",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "HTTP_PROXY": "http://127.0.0.1:1",
}


class Demo:
    """The demo as a process, in a folder with a hostile .env, with a place of its own for temporary files."""

    def __init__(self, folder, *options):
        self.temporary, cwd = folder / "tmp", folder / "cwd"
        self.temporary.mkdir()
        cwd.mkdir()
        (cwd / ".env").write_text("".join(f"{name}={value}\n" for name, value in TRAPS.items()))
        self._shown = folder / "shown"
        environ = os.environ | TRAPS | {"TMPDIR": str(self.temporary), "COLUMNS": "100"}
        with self._shown.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "demo", *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=cwd,
                start_new_session=True,
            )
        self.cwd = cwd

    @property
    def shown(self):
        return self._shown.read_text()

    def until(self, text):
        def seen():
            assert self.process.poll() is None or text in self.shown, self.shown
            return text in self.shown

        eventually(seen, within=60, why=f"the demo did not say {text!r}")

    def left(self):
        """What is left of it: files, and processes, which all know its place for temporary files."""
        mine = [name for name in self.temporary.iterdir() if name.is_dir() and name.name.startswith("ringproof")]
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR") == str(self.temporary):
                    mine.append(process)
            except psutil.Error:
                continue
        return mine


@contextmanager
def playing(folder, *options):
    demo = Demo(folder, *options)
    try:
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()
        eventually(lambda: not demo.left(), why="something was left behind")


@pytest.fixture(scope="module")
def staying(tmp_path_factory):
    """A demo that stays; it starts beside the first test's own, and neither may disturb the other."""
    with playing(tmp_path_factory.mktemp("staying"), "--stay") as demo:
        yield demo


@pytest.mark.usefixtures("staying")
def test_it_keeps_what_it_says(tmp_path):
    began = time.monotonic()
    with playing(tmp_path) as demo:
        assert demo.process.wait(90) == 0, demo.shown
        took = time.monotonic() - began
        shown = " ".join(demo.shown.split())
        rows = re.findall(r"^  +(\d+)  (code_sent|sending|joined|refused) ", demo.shown, re.MULTILINE)
        counts = {}
        for count, what in rows:
            counts[what] = counts.get(what, 0) + int(count)
        victim = re.search(r"in the midst of sending to (\S+);", shown)[1]
        of_the_victim = demo.shown.partition("The number whose worker was killed")[2]

        assert took < 60
        assert sum(counts.values()) == 200
        assert counts["sending"] == 1
        assert f"Plivo sent {counts['code_sent'] + 1} codes to {counts['code_sent'] + 1} numbers in" in shown
        assert "numbers that got two: 0" in shown
        assert "settled 4" in shown
        assert shown.index("settled 4") < shown.index("kill -9") < shown.index("What became")
        assert re.search(r"number +(\S+)", of_the_victim)[1] == victim
        assert "codes at Plivo: 1" in of_the_victim
        assert "(the lease's end) it is in doubt" in " ".join(of_the_victim.split())
        assert "Its message came again, to another child, which read this record and sent nothing" in shown
        assert "demo --stay" in shown
        assert len(demo.shown.splitlines()) <= 65
        assert max(map(len, demo.shown.splitlines())) <= 100
        assert not re.search(r"\+\d{7}", demo.shown)
        assert "\x1b" not in demo.shown
        assert list(demo.cwd.iterdir()) == [demo.cwd / ".env"]
        assert demo.left() == []
        assert not [line for line in told_in_the_readme() if line not in demo.shown], "python tests/test_readme.py"


def told_in_the_readme():
    """The lines of the README's output that are the same in every run."""
    block = README.read_text().partition("$ make demo\n")[2].partition("```")[0]
    varies = re.compile(r"\d\d:\d\d|127\.0\.0\.1|settled|kill -9|uuid|request|enqueued|later|`?ringproof (status|demo)")
    lines = [line for line in block.splitlines() if line and not varies.search(line)]
    assert len(lines) > 25
    return lines


@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("Redis  ", signal.SIGTERM, 143),
        ("enqueued", signal.SIGINT, 130),
        ("Plivo  ", signal.SIGKILL, -9),
    ],
)
def test_whenever_it_is_ended_nothing_is_left(tmp_path, moment, number, code):
    with playing(tmp_path) as demo:
        demo.until(moment)
        demo.process.send_signal(number)
        if code > 0:
            demo.process.send_signal(number)  # an impatient person's second one

        assert demo.process.wait(10) == code
        assert "Traceback" not in demo.shown


def test_another_terminal_can_join_while_it_stays(staying):
    demo = staying
    demo.until("Ctrl-C ends it")
    exports = re.findall(r"^  export .*$", demo.shown, re.MULTILINE)
    (initiate,) = re.findall(r"^  (.* initiate .*)$", demo.shown, re.MULTILINE)
    (curl,) = re.findall(r"^  curl (\S+)", demo.shown, re.MULTILINE)
    joined = subprocess.run(
        ["sh", "-c", "\n".join([*exports, initiate])],
        capture_output=True,
        text=True,
        cwd=demo.cwd,  # where a .env says other things
        env={"PATH": os.environ["PATH"], "TMPDIR": tempfile.gettempdir()},
        timeout=30,
        check=False,
    )
    inbox = subprocess.run(
        [sys.executable, "-c", f"import urllib.request as u; print(u.urlopen({curl!r}).read().decode())"],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    demo.process.send_signal(signal.SIGINT)

    assert joined.returncode == 0, joined.stderr
    assert joined.stdout.startswith("code_sent  +1•••••••23")
    assert shlex.split(initiate)[-1] == "Front desk"
    assert '"code"' in inbox.stdout
    assert demo.process.wait(10) == 0
    assert "nothing is left behind" in demo.shown


def test_without_a_redis_server_it_says_what_to_install(tmp_path):
    code = (
        "import worker.local.redis_server as server; server._candidates = lambda: iter(());"
        "from worker.cli import main; main(['demo'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=20, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("error: no Redis server")
    assert "apt-get install redis-server" in done.stderr
    assert "Traceback" not in done.stderr

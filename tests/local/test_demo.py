"""The demo: its output is true, and it leaves nothing behind, however it ends."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis
from support.harness import eventually
from support.leaks import leaks
from support.page import Visitor, texts

PAGE = Path(__file__).parents[2] / "docs/guide/demo.md"
TRAPS = {  # the demo must not read any of these
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
    """The demo as a process in a folder with a misleading .env, with its own folder for temporary files."""

    def __init__(self, folder, *options, terminal=False):
        self.temporary, cwd = folder / "tmp", folder / "cwd"
        self.temporary.mkdir()
        cwd.mkdir()
        (cwd / ".env").write_text("".join(f"{name}={value}\n" for name, value in TRAPS.items()))
        self._shown = folder / "shown"
        environ = os.environ | TRAPS | {"TMPDIR": str(self.temporary), "COLUMNS": "100"}
        with self._shown.open("wb") as output:
            reader, shown_to = _terminal(self._shown) if terminal else (None, output)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "demo", *options],
                stdin=subprocess.DEVNULL,
                stdout=shown_to,
                stderr=subprocess.STDOUT,
                env=environ | ({"TERM": "xterm", "NO_COLOR": "1"} if terminal else {}),
                cwd=cwd,
                start_new_session=True,
            )
        if reader:
            os.close(shown_to)
            reader.start()
        self.cwd = cwd

    @property
    def shown(self):
        return self._shown.read_text()

    def until(self, text):
        def is_shown():
            assert self.process.poll() is None or text in self.shown, self.shown
            return text in self.shown

        eventually(is_shown, within=100, why=f"the demo did not say {text!r}")

    def left(self):
        """Return the files and processes that the demo has left; its processes all have its TMPDIR."""
        left = [name for name in self.temporary.iterdir() if name.is_dir() and name.name.startswith("ringproof")]
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR") == str(self.temporary):
                    left.append(process)
            except psutil.Error:
                continue
        return left


def _terminal(shown):
    """Return a terminal, and before it the thread that copies its output into a file."""
    ours, its = pty.openpty()

    def read():
        with shown.open("ab", buffering=0) as file, suppress(OSError):  # which a closed terminal raises
            while output := os.read(ours, 65_536):
                file.write(output)
        os.close(ours)

    return threading.Thread(target=read, daemon=True), its


@contextmanager
def playing(folder, *options, terminal=False):
    demo = Demo(folder, *options, terminal=terminal)
    try:
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()
        eventually(lambda: not demo.left(), why="something was left behind")


@pytest.fixture(scope="module")
def staying(tmp_path_factory):
    """A demo with --stay on a terminal. It starts beside the first test's demo, and neither may disturb the other."""
    with playing(tmp_path_factory.mktemp("staying"), "--stay", terminal=True) as demo:
        yield demo


@pytest.mark.usefixtures("staying")
@pytest.mark.timeout(240)  # the demo itself gives up sooner
def test_the_demos_output_adds_up_and_it_leaves_nothing_behind(tmp_path):
    began = time.monotonic()
    with playing(tmp_path) as demo:
        assert demo.process.wait(200) == 0, demo.shown
        took = time.monotonic() - began
        shown = " ".join(demo.shown.split())
        rows = re.findall(
            r"^ +(\d+)  (verified|code_sent|sending|joined|live|rejected)\b *(\S*)", demo.shown, re.MULTILINE
        )
        counts = Counter()
        for count, outcome, meaning in rows:
            is_joined = outcome == "live" or (outcome == "verified" and meaning)
            counts["joined" if is_joined else outcome] += int(count)
        victim = re.search(r"while it sends to (\S+); Plivo has sent that code", shown)[1]
        of_the_victim = demo.shown.partition("The number whose worker was killed")[2]
        codes, sent, taken, killed = map(
            int,
            re.search(
                r"list has (\d+) codes: the (\d+) that are code_sent or verified, (\d+) of the (\d+) whose worker",
                shown,
            ).groups(),
        )
        funnel = re.search(
            # A wrong code whose worker was killed counts as a try, and was entered again.
            r"queued (\d+) → code sent (\d+) → verified (\d+), wrong code (\d+) \(tries left: (?:3 or )?4\), "
            r"still unanswered (\d+) \(these (\d+) codes work until \d\d:\d\d:\d\d UTC at the latest\)",
            shown,
        )
        queued, out, verified, wrong, silent, waiting = map(int, funnel.groups())
        of_one = demo.shown.partition("One number's record")[2].partition("The number whose")[0]

        assert took < 120  # 25 to 30 s, where nothing else happens on the machine
        assert counts.total() == 200
        assert counts["rejected"] == 20
        assert counts["joined"] == 6
        assert (counts["verified"] + counts["code_sent"], counts["sending"]) == (sent, killed)
        assert (queued, out) == (sent + killed, sent)
        assert (verified, wrong + silent, waiting) == (counts["verified"], counts["code_sent"], counts["code_sent"])
        assert min(verified, wrong, silent) > 5
        assert f"list of verified numbers has {verified + 1}: the {verified} that are verified here, and the p" in shown
        assert re.findall(r"\d\d:\d\d:\d\d UTC  (\w+)", of_one) == ["queued", "sending", "code_sent", "verified"]
        assert codes == sent + taken + 1
        assert 1 <= taken <= killed
        assert "Numbers that got two: 0" in shown
        assert "to send 161 texts and 13 calls" in shown
        assert "roster running: 0 of 180, pending 180" in shown
        assert re.search(r"a person asked meanwhile: \d{2,4} ms from initiate_verification.delay to code_sent", shown)
        assert shown.index("a person asked") < shown.index("kill -9") < shown.index("What became")
        assert re.search(r"number +(\S+)", of_the_victim)[1] == victim
        assert "codes at Plivo: 1" in of_the_victim
        assert "(the lease's end), the number is in doubt" in " ".join(of_the_victim.split())
        assert "3 times at once: codes at Plivo: 1, uuids: 1" in shown
        of_others = re.search(r"signed, as are those about the others: (\d+) code_sent, (\d+) verified", shown)
        assert tuple(map(int, of_others.groups())) == (sent + 1, verified + 1)  # the roster's, and the person's
        assert "demo --stay" in shown
        # A slow machine prints more lines of progress.
        assert len([line for line in demo.shown.splitlines() if not line.startswith("roster running")]) <= 110
        assert max(len(line) for line in demo.shown.splitlines() if not line.startswith("$ ")) <= 100
        assert not re.findall(r"\+\d{7,}", demo.shown), "no number is shown in clear"
        assert "\x1b" not in demo.shown
        assert list(demo.cwd.iterdir()) == [demo.cwd / ".env"]
        assert demo.left() == []
        assert not [line for line in on_the_page() if line not in demo.shown], "python tests/docs/generated.py demo"


def on_the_page():
    """Return the lines of the documented output that are the same in every run."""
    block = PAGE.read_text().rpartition("$ make demo\n")[2].partition("```")[0]
    varies = re.compile(
        r"\d\d:\d\d|127\.0\.0\.1|kill -9|roster running|s left|asked meanwhile|uuid|request|later|\(pid |"
        r"own list|whose worker was killed|got two|signed, as are|came twice|verified here|queued \d|these \d+ codes|"
        r"id is unknown|to them all the same|^ +\d+  (verified|code_sent|joined|live)\b|"
        r"ringproof (import|batch|status|demo)"
    )
    lines = [line for line in block.splitlines() if line and not varies.search(line)]
    assert len(lines) > 25
    return lines


@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("Redis  ", signal.SIGTERM, 143),
        ("rows are in", signal.SIGINT, 130),
        ("Plivo  ", signal.SIGKILL, -9),
    ],
)
def test_a_demo_that_a_signal_ends_leaves_nothing_behind(tmp_path, moment, number, code):
    with playing(tmp_path) as demo:
        demo.until(moment)
        demo.process.send_signal(number)
        if code > 0:
            demo.process.send_signal(number)  # an impatient person's second one

        assert demo.process.wait(60) == code
        assert "Traceback" not in demo.shown


def typed(demo, *commands):
    """Run commands in a second terminal, in a folder whose .env has other values."""
    exports = re.findall(r"^  export .*$", demo.shown, re.MULTILINE)
    return subprocess.run(
        ["sh", "-c", "\n".join([*exports, *commands])],
        capture_output=True,
        text=True,
        cwd=demo.cwd,
        env={"PATH": os.environ["PATH"], "TMPDIR": tempfile.gettempdir()},
        timeout=100,
        check=False,
    )


def plain(shown):
    """Return the text that a terminal showed, without the codes that draw it."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def suggested(demo, beginning):
    """Return the one command with this beginning that the demo suggests for a second terminal."""
    (line,) = re.findall(rf"^  ({beginning}.*)$", demo.shown, re.MULTILINE)
    return line


def fetched(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as answer:
        return json.load(answer)


def test_its_terminal_shows_the_batch_live_and_plivo_has_the_same_codes(staying):
    staying.until("Ctrl-C ends the demo")
    output = plain(staying.shown)
    show = suggested(staying, r"\S+ batch show ")
    shown = json.loads(typed(staying, f"{show} --json").stdout)
    exported = typed(staying, show.replace(" show ", " export ") + " --format json").stdout.splitlines()
    sends = fetched(suggested(staying, "curl ").split()[1].partition("phones/")[0] + "sends")["sends"]
    codes = Counter(send["phone_number"] for send in sends)
    by_outcome = {}
    for row in map(json.loads, exported):
        by_outcome.setdefault(row["state"], set()).add(row["phone_number"])
    in_doubt = by_outcome.get("sending", set()) | by_outcome.get("in_doubt", set())  # its lease may have ended
    sent = by_outcome["code_sent"] | by_outcome["verified"]
    others = codes.keys() - sent - in_doubt

    assert len(set(re.findall(r"rows +180: (\d+) have an outcome", output))) > 5
    assert shown["rows"] == 180
    assert len(exported) == 200, "the rejected rows come back, too"
    assert shown["outcomes"]["code_sent"] == len(by_outcome["code_sent"])
    assert max(codes.values()) == 1
    assert sent <= codes.keys()
    assert len(others) == 2, "the person's, and that of the front door"


def test_it_prints_the_address_of_the_live_page_and_its_credential_gets_in(staying):
    staying.until("Ctrl-C ends the demo")
    shown = plain(staying.shown)
    url = re.search(r"live page, for your browser: (http://\S+)/\s", shown)[1]
    auth_id, token = re.search(r"auth_id (\w+), token (\S+)", shown).groups()
    with Visitor(url) as visitor:
        page = visitor.post("/page/login", data={"auth_id": auth_id, "token": token})

    # On a slow machine the lease of the killed worker has ended, and the page says so beside the roster's name.
    assert re.search(r"roster (.*worker died: .*)?(running|completed) \d+ of 180", texts(page))


def test_neither_its_output_nor_the_workers_log_has_a_code(staying):
    staying.until("Ctrl-C ends the demo")
    sends = fetched(suggested(staying, "curl ").split()[1].partition("phones/")[0] + "sends")["sends"]
    (log,) = staying.temporary.glob("ringproof-demo-*/worker.log")
    logged = log.read_text()

    assert logged.count(" ready.") == 2, "the killed worker was started again"
    assert logged.count("verified +") > 100
    assert {len(send["code"]) for send in sends} == {8}
    assert not [line for send in sends for line in leaks(send["code"], staying.shown, logged)]


def test_its_redis_answers_nobody_without_its_password(staying):
    staying.until("Ctrl-C ends the demo")
    (url,) = re.findall(r"^  export RINGPROOF_REDIS_URL=(\S+)", plain(staying.shown), re.MULTILINE)
    with redis.Redis.from_url(url) as ours, redis.Redis(port=urlsplit(url).port) as strangers:
        assert ours.ping()
        with pytest.raises(redis.AuthenticationError):
            strangers.ping()


def test_a_second_terminal_can_use_a_demo_that_stays(staying):
    demo = staying
    demo.until("Ctrl-C ends the demo")
    initiate = suggested(demo, r"\S+ initiate ")
    joined = typed(demo, initiate)
    inbox = fetched(suggested(demo, "curl ").split()[1])
    demo.until("+1•••••••23  verified")
    status = typed(demo, suggested(demo, r"\S+ status "))
    again = typed(demo, re.search(r"\$ (\S+ import \S+ --yes)", plain(demo.shown))[1])
    demo.process.send_signal(signal.SIGINT)

    assert joined.returncode == 0, joined.stderr
    assert joined.stdout.startswith("code_sent  +1•••••••23")
    assert shlex.split(initiate)[-1] == "Front desk"
    assert '"code"' in json.dumps(inbox)
    assert "verified" in status.stdout
    assert again.returncode == 1
    assert "the same rows were imported under this name" in again.stderr
    assert demo.process.wait(60) == 0
    demo.until("nothing is left behind")


def test_without_a_redis_server_it_says_what_to_install(tmp_path):
    code = (
        "import worker.local.processes.redis_server as server; server._candidates = lambda: iter(());"
        "from worker.cli import main; main(['demo'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("error: no Redis server")
    assert "apt-get install redis-server" in done.stderr
    assert "Traceback" not in done.stderr

"""`GET /sandbox/`: everything that the sandbox says it can do works as the line says that it shows."""

import json
import shlex
import shutil
import subprocess
from dataclasses import fields

import pytest
import requests
from support.harness import PATIENCE_SECONDS

from worker.local.sandbox.switchboard import CALLS, SWITCHES, switch_call
from worker.local.sandbox.switches import Switches

CURL = shutil.which("curl")

pytestmark = pytest.mark.skipif(CURL is None, reason="no curl is on PATH: apt-get install curl")


def pasted(line, *more):
    """Run a line as a shell does into which a person pastes it; return what it prints."""
    assert line.startswith("curl ")
    words = [*shlex.split(line), *more, "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


def lines_of(text):
    return [line for line in text.splitlines() if line.startswith("curl ")]


def test_each_curl_line_works_as_it_stands(plivo):
    lines = lines_of(pasted(f"curl {plivo.root}/sandbox/"))

    answers = [pasted(line) for line in lines]

    assert len(lines) == len(CALLS) + len(SWITCHES)
    assert all(json.loads(answer) for answer in answers[1:])  # the first line shows this text again
    assert lines_of(answers[0]) == lines


def test_a_program_gets_the_same_lines_as_json(plivo):
    about = plivo.about()

    lines = [call["curl"] for call in about["calls"]] + [switch["curl"] for switch in about["switches"].values()]
    assert lines == lines_of(pasted(f"curl {plivo.root}/sandbox/"))
    assert json.loads(pasted(f"curl {plivo.root}/sandbox/", "-H", "Accept: application/json")) == about


def test_a_browser_gets_the_text(plivo):
    answer = requests.get(f"{plivo.root}/sandbox/", headers={"Accept": "text/html,*/*;q=0.8"}, timeout=30)

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "code_length" in answer.text


@pytest.mark.parametrize("name", [field.name for field in fields(Switches)])
def test_each_switch_has_a_line_that_sets_it(plivo, name):
    ((_, value),) = switch_call(name).body.items()

    assert json.loads(pasted(switch_call(name).curl(plivo.root)))[name] == value
    assert plivo.about()["switches"][name]["is"] == value


def test_each_route_has_a_line_for_each_of_its_methods(plivo):
    for path, methods in plivo.about()["routes"].items():
        for method in {"GET", "POST", "PUT", "DELETE"} - set(methods):
            refused = requests.request(
                method, plivo.root + path.replace("{number}", "+14155550123"), json={}, timeout=PATIENCE_SECONDS
            )
            assert refused.status_code == 405, (method, path)

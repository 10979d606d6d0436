"""The samples of the HTTP API's page: `curl` runs them in a shell, against a real front door."""

import os
import re
import shutil
import subprocess

import pytest
from pages import ROOT, fences
from support.api import Api
from support.front_door import FrontDoor
from support.harness import fresh_number, stopped

from ringproof import runtime
from ringproof.ledger.credentials import issue

PAGE = ROOT / "docs/guide/http-api.md"
NUMBER, OTHERS, CODE = "+14155550123", ("+14155550199", "+14155550198"), "0123"
ID = "8c7e1b52-3f0a-8d1c-9b1e-5d2a7c40f6e3"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STREAM_SECONDS = 5

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here to run the samples with")


def samples():
    """Each `$ curl …` of the page with the output that is shown below it."""
    text = "\n".join(fence.text for fence in fences("console") if fence.page == PAGE)
    return re.findall(r"^\$ (curl .*)\n((?:[^$\n].*\n)*)", text, re.MULTILINE)


def matches(shown, output):
    """Whether an output is the one that the page shows, where `…` stands for anything."""
    pattern = ".*".join(map(re.escape, shown.strip().split("…")))
    return re.fullmatch(pattern, output.replace("\r", "").strip(), re.DOTALL)


def with_real(text, written):
    """Return a text with what there really is in the place of what the page has."""
    for example, real in written.items():
        text = text.replace(example, real)
    return text


@pytest.fixture
def issued():
    return issue(runtime.ledger(), "the documentation")


@pytest.fixture
def door(environ, tmp_path, issued):
    with stopped(FrontDoor(tmp_path / "log", environ, tmp_path, issued)) as running:
        yield running


@pytest.mark.usefixtures("worker")
def test_the_samples_do_what_the_page_says(door, issued, plivo, tmp_path):
    number = fresh_number()
    written = {other: fresh_number() for other in OTHERS}
    written |= {NUMBER: number, "+1 (415) 555-0123": f"+1 ({number[2:5]}) {number[5:8]}-{number[8:]}"}
    (tmp_path / "people.csv").write_text(f"Phone\n{fresh_number()}\n{fresh_number()}\n")
    environ = os.environ | {"DOOR": door.url, "AUTH": f"Authorization: Bearer {door.token}", "NO_PROXY": "*"}

    with Api(door.url, issued.token) as api, api.get("/events", stream=True) as asked:
        assert next(asked.iter_lines())  # events are kept from here on

    for sample in samples():
        command, shown = (with_real(text, written) for text in sample)
        if "-N" in command:
            command, shown = command.replace("curl", f"curl --max-time {STREAM_SECONDS}"), f"{shown}…"
        if "/confirm" in command:
            command = command.replace(CODE, plivo.sends(number)[-1]["code"])
        done = subprocess.run(
            ["bash", "-c", command], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        if ID in shown:
            written[ID] = UUID.search(done.stdout)[0]

        assert matches(with_real(shown, written), done.stdout), f"{command}\n{done.stdout}\nis not\n{shown}"
    assert len(samples()) == 13

"""Nothing that another program wrote can steer a terminal: it is shown, and what does not print is replaced."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress

import pytest
from rich.table import Table
from rich.text import Text
from support.harness import fresh_number, ledger_of

from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.record import State
from worker.local.processes.redis_server import RedisServer
from worker.views.console import console, fact_table

HOSTILE = "\x1b[2J\x1b]0;owned\x07Ada\x9b31m\u202egnol\u2066\r\n99:99:99 +1•••••••99 is verified\x7f\x08"
"""Clears the screen, sets a title, a colour by C1, turns letters around, and adds a line."""

UNSHOWN = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def home(environ):
    with RedisServer() as server:
        yield environ | {"RINGPROOF_REDIS_URL": server.url}


def on_a_terminal(environ, cwd, *arguments):
    """All bytes that a command writes to a real terminal without colours, decoded."""
    mine, its = pty.openpty()
    environ = environ | {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "worker", *arguments]
    shown = b""
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environ, cwd=cwd):
        os.close(its)
        with suppress(OSError):  # Linux raises this when the other side has closed
            while piece := os.read(mine, 4096):
                shown += piece
    os.close(mine)
    return shown.decode()


def test_an_alias_of_plivos_does_not_steer_the_terminal(home, tmp_path):
    number = fresh_number()
    with ledger_of(home) as ledger:
        ledger.accept(number, token="x", kind=RequestKind.PERSON, country="US")
        ledger.client.hset(
            ledger.keys.record(number), mapping={"alias": HOSTILE, "state": State.VERIFIED, "message": HOSTILE}
        )

    for arguments in (("status", number), ("ls",)):
        shown = on_a_terminal(home, tmp_path, *arguments)
        assert UNSHOWN.findall(shown) == []
        assert "Ada" in shown
        assert not [line for line in shown.splitlines() if line.startswith("99:99:99")]
    line = on_a_terminal(home, tmp_path, "status", number, "--json")
    assert UNSHOWN.findall(line) == []
    assert json.loads(line)["alias"] == HOSTILE, "a program gets it as it is"


def test_the_name_of_the_folder_with_an_env_file_does_not_steer_the_terminal(home, tmp_path):
    folder = tmp_path / HOSTILE
    folder.mkdir()
    (folder / ".env").write_text("RINGPROOF_REGION=US\n")

    shown = on_a_terminal(home, folder, "status")
    assert UNSHOWN.findall(shown) == []
    assert "Ada" in shown


def test_the_names_of_batches_and_files_do_not_steer_the_terminal(home, tmp_path):
    for arguments in (("batch", "show", HOSTILE), ("batch", "pause", HOSTILE), ("import", HOSTILE)):
        shown = on_a_terminal(home, tmp_path, *arguments)
        assert UNSHOWN.findall(shown) == [], arguments


def test_an_exported_cell_does_not_steer_the_terminal(home, tmp_path):
    file = tmp_path / "hostile.csv"
    file.write_text(f'phone,"note {HOSTILE[:8]}"\n{fresh_number()},"{HOSTILE}"\n', encoding="utf-8")
    imported = on_a_terminal(home, tmp_path, "import", str(file), "--yes", "--paused")
    shown = on_a_terminal(home, tmp_path, "batch", "export", "hostile")
    as_json = on_a_terminal(home, tmp_path, "batch", "export", "hostile", "--format", "json")

    for text in (imported, shown, as_json):
        assert UNSHOWN.findall(text) == []
    assert "Ada" in shown
    assert "Ada" in as_json


def test_whatever_is_laid_out_does_not_steer_the_terminal(capsys):
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    for one in (
        HOSTILE,
        Text(HOSTILE),
        Text.assemble((HOSTILE, "red"), HOSTILE),
        table,
        fact_table({"alias": HOSTILE}),
    ):
        console().print(one)

        shown = capsys.readouterr().out
        assert UNSHOWN.findall(shown) == []
        assert "Ada" in shown

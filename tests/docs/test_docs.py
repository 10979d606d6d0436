"""What the documentation says is so: its tables are made from the code, and each command in it can be typed."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import dropwhile

import click
import pytest
import yaml
from celery.bin.celery import celery
from generated import DEMO, GENERATED, block, rows
from pages import PAGES, ROOT, anchors, fences, links

from ringproof import errors
from ringproof.errors import Capped, InvalidNumber, RingproofError
from ringproof.ledger.record import Reason, State
from ringproof.rosters.row import REMEDIES
from ringproof.settings import Settings
from worker.cli import main

README = ROOT / "README.md"
ERRORS = ROOT / "docs/guide/results-and-errors.md"
OURS = {"ringproof", "worker", "tasks"}

TYPED = {
    *(".", "cat", "cd", "chmod", "cp", "curl", "docker", "export"),
    *("git", "honcho", "kubectl", "mkdir", "openssl", "pip", "python", "python3"),
    *("redis-cli", "set", "systemctl"),
}
"""The other programs that a reader is to type, and that are not here to be asked about their arguments."""

MOST_LINES_OF_THE_README = 150


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_made_from_the_code_is_what_the_code_makes(name):
    assert block(name) == GENERATED[name](), "write it with: python tests/docs/generated.py"


def test_the_demos_output_is_the_demos():
    shown = block(DEMO)

    for said in ("180 rows are in", "kill -9", "codes at Plivo: 1", "Numbers that got two: 0", "ringproof demo --stay"):
        assert said in shown


def test_the_storm_has_been_measured_and_no_number_was_lost_or_got_two_codes():
    assert rows(block("output: make bench-storm"))["Ringproof"][:2] == ["0", "0"]


def test_bulk_has_been_measured_and_no_number_was_lost_or_got_two_codes():
    measured = rows(block("output: make bench-bulk"))

    assert (measured["numbers lost"][0], measured["numbers sent to twice"][0]) == ("0", "0")


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= MOST_LINES_OF_THE_README


def test_the_commands_page_lists_every_command_and_leads_to_its_help():
    page = ROOT / "docs/guide/command.md"
    listed = set(re.findall(r"^\| \[`ringproof (\w+)", page.read_text(), re.MULTILINE))

    assert listed == set(main.list_commands(click.Context(main)))


def test_every_variable_is_among_the_settings():
    table = rows(block("table: settings"))

    assert {f"`{name}`" for name in Settings.variables()} <= table.keys()


def test_every_error_has_its_place_and_no_other():
    classes = {
        name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, RingproofError)
    }
    headings = re.findall(r"^### (\w+)$", ERRORS.read_text(), re.MULTILINE)

    assert set(headings) == classes


def test_every_reason_has_its_place_and_no_other():
    headings = re.findall(r"^### Reason `(\w+)`$", ERRORS.read_text(), re.MULTILINE)

    assert set(headings) == set(Reason)


def test_every_word_of_an_error_has_an_anchor():
    words = [f"number-{reason}" for reason in InvalidNumber.REMEDIES] + [f"limit-{limit}" for limit in Capped.LIMITS]

    assert set(words) <= anchors(ERRORS)
    assert {f"row-{reason}" for reason in REMEDIES} <= anchors(ROOT / "docs/guide/batches-and-rosters.md")


def test_every_state_is_explained():
    text = ERRORS.read_text()

    assert not [state for state in State if f"`{state}`" not in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_links_lead_somewhere(page):
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists() or (anchor and to.suffix == ".md" and anchor not in anchors(to)):
            broken.append(link)

    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_it_names_are_there(page):
    named = re.findall(r"`((?:ringproof|worker|tasks|tests|docs)/[\w./-]+)`", page.read_text())

    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("fence", fences("python", "pycon"), ids=str)
def test_its_python_can_be_read_and_what_it_imports_of_ours_is_there(fence):
    code = fence.text
    if fence.language == "pycon":
        code = "".join(line[4:] + "\n" for line in code.splitlines() if line.startswith((">>> ", "... ")))

    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in OURS:
            exec(compile(ast.Module([node], []), str(fence.page), "exec"), {})  # noqa: S102


def typed(text):
    """Return the commands of a console block, one a line, as words."""
    lines = re.sub(r"\\\n[> ]*", "", text).splitlines()
    for line in (line[2:] for line in lines if line.startswith("$ ")):
        words = shlex.shlex(line, posix=True, punctuation_chars=";|&<>")
        words.whitespace_split = True
        command = []
        for word in words:
            if set(word) <= set(";|&<>"):
                yield command
                command = [] if set(word) <= set(";|&") else ["<"]
            else:
                command.append(word)
        yield command


CONSOLES = fences("console")


@pytest.mark.parametrize("fence", CONSOLES, ids=str)
def test_its_commands_can_be_typed(fence):
    for command in typed(fence.text):
        program, *words = [*dropwhile(re.compile(r"[A-Z_]+=").match, command)] or ["<"]
        match program.rpartition("/")[2]:
            case "<":
                continue
            case "ringproof":
                parse(main, program, words)
            case "celery":
                parse(celery, program, words)
            case "make":
                targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
                assert {word for word in words if "=" not in word} <= targets
            case other:
                assert other in TYPED, command


def parse(command, name, words):
    """Have click read the words as the command would; it raises for what is wrong."""
    context = command.make_context(name, list(words))
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if rest:
            inner_name, inner, rest = command.resolve_command(context, rest)
            parse(inner, inner_name, rest) if command is not celery else inner


def test_there_are_commands():
    assert len(CONSOLES) > 10


@pytest.mark.parametrize("fence", fences("bash", "sh", "console"), ids=str)
def test_its_shell_can_be_read(fence):
    lines = re.sub(r"\\\n[> ]*", "", fence.text).splitlines()
    script = fence.text if fence.language != "console" else "\n".join(line[2:] for line in lines if line[:2] == "$ ")

    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_its_data_can_be_read():
    read = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}
    for fence in fences(*read):
        assert read[fence.language](fence.text), str(fence)


def test_the_site_is_built_and_asks_no_other_host(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr

    html = "".join(page.read_text() for page in tmp_path.rglob("*.html"))
    assert not re.findall(r"""<(?:script|img|iframe)[^>]*src=["']?(?:https?:)?//""", html)
    assert not re.findall(r"""<link[^>]*href=["']?(?:https?:)?//""", html)

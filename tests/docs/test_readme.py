"""What the README says is so: its tables are made from the code, its output by the demo, its examples run.

`python tests/docs/test_readme.py` writes the tables and the demo's output into it.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ringproof.errors import InvalidNumber
from ringproof.ledger.acceptance import TABLE, Disposition, Requester
from ringproof.ledger.record import State
from ringproof.settings import Settings
from worker.cli import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

WORDS = {
    Disposition.ACCEPTED: "accepted",
    Disposition.SAME: "the same request",
    Disposition.RETURNED: "returns it, sends nothing",
    Disposition.IN_DOUBT: "raises `InDoubt` at `.get()`",
    Disposition.JOINED: "joins it",
    Disposition.LIVE: "sends nothing: `live`",
    Disposition.VERIFIED: "sends nothing: `verified`",
    Disposition.GONE: "sends nothing: `gone`",
}


def table_of_requests():
    """Print *record × new request*, with the records that are told the same in one row."""
    rows = {}
    for (state, live), answers in TABLE.items():
        rows.setdefault(tuple(answers[requester] for requester in Requester), {}).setdefault(state, set()).add(live)
    lines = ["| record is | " + " | ".join(Requester) + " |", "|---" * (len(Requester) + 1) + "|"]
    for answers, states in rows.items():
        names = []
        for state, lives in states.items():
            both = lives == {kind for known, kind in TABLE if known == state}
            names.append(
                (state or "none") + ("" if both else ", a code may live" if True in lives else ", no code lives")
            )
        lines.append(f"| {'; '.join(names)} | " + " | ".join(WORDS[answer] for answer in answers) + " |")
    lines += [
        "",
        "A person's request takes over one of bulk or schedule that has not begun: its lane, channel and alias.",
        "To bulk and schedule a number is `verified` still if a request after that failed or was cancelled.",
    ]
    return "\n".join(lines)


def table_of_settings():
    """Print .env.example, whose sentences are the settings' documentation."""
    lines = ["| variable | default | |", "|---|---|---|"]
    comment = ""
    for line in (ROOT / ".env.example").read_text().split("\n\n", 1)[1].splitlines():
        if line.startswith("# "):
            comment += line[2:] + " "
        elif line and not line.startswith("REDIS_PASSWORD"):
            name, _, value = line.partition("=")
            lines.append(f"| `{name}` | {f'`{value}`' if value else ''} | {comment.strip()} |")
            comment = ""
    lines.append("| `REDIS_URL` | | What is read when there is no `RINGPROOF_REDIS_URL`. |")
    return "\n".join(lines)


def output_of_the_demo():
    """Run the demo, and print what it printed."""
    told = subprocess.run(
        [sys.executable, "-m", "worker", "demo"], capture_output=True, text=True, check=True, env=_plain_terminal()
    )
    shown = "\n".join(line.rstrip() for line in told.stdout.strip().splitlines())
    return f"```console\n$ make demo\n{shown}\n```"


def _plain_terminal():
    import os  # noqa: PLC0415  # only for the writing

    return os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}


def block(name):
    """Return what stands in the README between a block's marks."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n(.*?)\n?<!-- end -->", README.read_text(), re.DOTALL)
    assert found, f"the README has no block {name!r}"
    return found[1]


@pytest.mark.parametrize(
    ("name", "made"),
    [("table: record × new request", table_of_requests), ("table: settings", table_of_settings)],
    ids=["requests", "settings"],
)
def test_its_tables_are_made_from_the_code(name, made):
    assert block(name) == made(), "write them with: python tests/docs/test_readme.py"


def test_it_has_every_command_with_every_option():
    text = README.read_text()
    missing = [
        f"ringproof {name} {option}"
        for name, command in main.commands.items()
        for option in ["", *(flag for parameter in command.params for flag in parameter.opts if flag.startswith("--"))]
        if f"`ringproof {name}" not in text or (option and option not in text)
    ]

    assert not missing


def test_it_has_every_command_of_a_group_with_every_option():
    text = README.read_text()
    groups = {name: group for name, group in main.commands.items() if isinstance(group, click.Group)}
    rows = {
        name: next(line for line in text.splitlines() if line.startswith(f"| `ringproof {name}`")) for name in groups
    }
    missing = [
        f"ringproof {name} {inner} {option}"
        for name, group in groups.items()
        for inner, command in group.commands.items()
        for option in ["", *(flag for parameter in command.params for flag in parameter.opts if flag.startswith("--"))]
        if f"`{inner}" not in rows[name] or option not in rows[name]
    ]

    assert set(groups) == {"batch", "limits"}
    assert not missing


def test_it_has_every_variable_and_every_reason():
    text = README.read_text()
    missing = [name for name in (*Settings.variables(), *InvalidNumber.REMEDIES) if f"`{name}`" not in text]

    assert not missing


def test_it_has_every_state():
    assert not [state for state in State if f"`{state}`" not in README.read_text()]


def test_its_python_can_be_run_as_far_as_it_is_ours():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    for code in blocks:
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in {"tasks", "worker"}:
                exec(compile(ast.Module([node], []), "README.md", "exec"), {})  # noqa: S102


def test_the_files_that_it_links_are_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())

    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_demos_output_is_the_demos():
    shown = block("output: make demo")

    for said in ("180 rows are in", "kill -9", "codes at Plivo: 1", "Numbers that got two: 0", "ringproof demo --stay"):
        assert said in shown


def test_the_storms_table_has_been_written_and_nobody_of_ours_was_lost_or_texted_twice():
    row = next(line for line in block("output: make bench-storm").splitlines() if line.startswith("| Ringproof"))

    assert [cell.strip() for cell in row.split("|")][2:4] == ["0", "0"]


def test_the_tables_of_bulk_have_been_written_and_no_number_was_lost_or_sent_to_twice():
    rows = {
        what.strip(): measured.strip()
        for _, what, measured, _, _ in (
            line.split("|") for line in block("output: make bench-bulk").splitlines() if line.startswith("| ")
        )
    }

    assert (rows["numbers lost"], rows["numbers sent to twice"]) == ("0", "0")


def write():
    """Put what is made into the README."""
    text = README.read_text().replace("@REASONS@", ", ".join(f"`{reason}`" for reason in InvalidNumber.REMEDIES))
    for name, made in {
        "table: record × new request": table_of_requests,
        "table: settings": table_of_settings,
        "output: make demo": output_of_the_demo,
    }.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda found, made=made: f"{found[1]}{made()}\n{found[2]}", text, flags=re.DOTALL)
    README.write_text(text)


if __name__ == "__main__":
    write()

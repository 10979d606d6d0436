"""The parts of the documentation that are made, not typed: tables from the code, output of the commands.

`python tests/docs/generated.py` writes all of them between their marks, `<!-- NAME -->` and `<!-- end -->`, wherever
these stand. The demo's output is written by `python tests/docs/generated.py demo`, which runs the demo; the benchmarks
write their own tables (tests/benchmarks/table.py).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import ModuleType

import click
from click.testing import CliRunner
from pages import PAGES, ROOT

from ringproof.errors import Capped, InvalidNumber
from ringproof.http_answer import STATUSES
from ringproof.ledger import keys
from ringproof.ledger.acceptance import TABLE, Disposition, RequestKind
from ringproof.ledger.confirmation import TRIES
from ringproof.ledger.locks import LOCKS
from ringproof.ledger.rights import rights_of
from ringproof.ledger.role import Role
from ringproof.policy import Policy
from ringproof.rosters.row import REMEDIES
from ringproof.settings import USUAL_CA_BUNDLE, USUAL_NO_PROXY, USUAL_PROXY, Settings
from worker.cli import main
from worker.local.sandbox import magic_numbers, misfortunes, switchboard
from worker.local.sandbox.switches import Switches
from worker.observe.doctor.examination import GROUPS
from worker.observe.metric import METRICS

DEMO = "output: make demo"

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


def requests() -> str:
    """Return *record × new request*; records with the same answers share a row."""
    rows: dict[tuple[Disposition, ...], dict[str, set[bool]]] = {}
    for (state, live), answers in TABLE.items():
        rows.setdefault(tuple(answers[kind] for kind in RequestKind), {}).setdefault(state, set()).add(live)
    lines = ["| record is | " + " | ".join(RequestKind) + " |", "|---" * (len(RequestKind) + 1) + "|"]
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
        "A person's request takes over one of bulk or schedule that has not begun, with its lane and channel.",
        "The request keeps its subaccount, and its alias unless the person gives one.",
        "For bulk and schedule, a number stays `verified` whatever became of a later request, as long as it has ended.",
    ]
    return "\n".join(lines)


def settings() -> str:
    """Return the table of variables: .env.example's sentences and defaults."""
    lines = ["| variable | default | |", "|---|---|---|"]
    comment = ""
    for line in (ROOT / ".env.example").read_text().split("\n\n", 1)[1].splitlines():
        if line.startswith("# "):
            comment += line[2:] + " "
        elif line:
            name, _, value = line.partition("=")
            lines.append(f"| `{name}` | {f'`{value}`' if value else ''} | {comment.strip()} |")
            comment = ""
    lines.append("| `REDIS_URL` | | Is read if there is no `RINGPROOF_REDIS_URL`. |")
    lines += [
        f"| {', '.join(f'`{name}`' for name in names)} | | {why} |"
        for names, why in (
            (USUAL_PROXY, "The first one that is set counts if there is no `PLIVO_PROXY`. Workers only."),
            (USUAL_NO_PROXY, "The hosts that need none of the proxies in the line above. Workers only."),
            (USUAL_CA_BUNDLE, "The first one that is set counts if there is no `PLIVO_CA_BUNDLE`. Workers only."),
        )
    ]
    return "\n".join(lines)


def users() -> str:
    """Return the users of Redis with the rights of each role, as redis-cli takes them."""
    lines = []
    for role in Role:
        rights = rights_of(role, Settings.prefix, 0)
        lines.append(f"ACL SETUSER {role} on >PASSWORD {rights.acl(is_read_only_known=True)}")
    return "\n\n".join(f"```text\n{line}\n```" for line in lines)


def _explained(kind: str, texts: dict[str, str]) -> str:
    rows = (f'| <a id="{kind}-{word}"></a>`{word}` | {text} |' for word, text in texts.items())
    return "\n".join([f"| `{kind if kind == 'limit' else 'reason'}` | meaning, and what to do |", "|---|---|", *rows])


def number_reasons() -> str:
    """Return the reasons of InvalidNumber, each with its anchor."""
    return _explained("number", dict(InvalidNumber.REMEDIES))


def caps() -> str:
    """Return the limits of Capped, each with its anchor."""
    return _explained("limit", dict(Capped.LIMITS))


def odds() -> str:
    """Return how likely a guesser hits a number's code, whose digits are random, with as many tries as possible."""
    a_day, a_month, later = Policy().max_wrong_codes, _tries_in(timedelta(days=30)), _tries_of_a_later_month()
    rows = {
        f"with one code ({TRIES} tries)": TRIES,
        f"in 24 hours ({a_day} tries)": a_day,
        f"in the first 30 days ({a_month} tries)": a_month,
        f"in each 30 days after that ({later} tries)": later,
    }
    lines = ["| the code is guessed | of four digits | of six digits |", "|---|---|---|"]
    lines += [f"| {what} | {_chance(tries, 4)} | {_chance(tries, 6)} |" for what, tries in rows.items()]
    return "\n".join(lines)


def _tries_in(time: timedelta) -> int:
    rounds, free_at = 0, timedelta()
    while free_at < time:
        free_at += LOCKS[min(rounds, len(LOCKS) - 1)]
        rounds += 1
    return rounds * Policy().max_wrong_codes


def _tries_of_a_later_month() -> int:
    return round(Policy().max_wrong_codes * (timedelta(days=30) / LOCKS[-1]))


def _chance(tries: int, digits: int) -> str:
    """Return the chance to guess a code, with five tries for each: `0.70 %, 1 in 143`."""
    chance = 1 - (1 - TRIES / 10**digits) ** (tries / TRIES)
    return f"{100 * chance:#.2g} %, 1 in {round(1 / chance):,}"


def row_reasons() -> str:
    """Return the reasons for which a whole row is rejected, each with its anchor."""
    return _explained("row", dict(REMEDIES))


def sandbox_misfortunes() -> str:
    """Return the table that the module has on top."""
    return "\n".join(line for line in (misfortunes.__doc__ or "").splitlines() if line.startswith("|"))


def sandbox_switches() -> str:
    """Return each switch with its value at the start, and what it means."""
    values = Switches()
    lines = ["| switch | at the start | what it is |", "|---|---|---|"]
    for name, (means, _) in switchboard.SWITCHES.items():
        lines.append(f"| `{name}` | `{json.dumps(getattr(values, name))}` | {means} |")
    return "\n".join(lines)


def magic_numbers_table() -> str:
    """Return the misfortune of each magic number; misfortunes has what each is."""
    numbers: dict[str, list[str]] = {}
    for magic in magic_numbers.magic_numbers():
        numbers.setdefault(magic.kind, []).append(magic.phone_number)
    lines = ["| it fails as | when a code is asked for | when its code is entered |", "|---|---|---|"]
    lines += [f"| `{kind}` | `{asked}` | `{entered}` |" for kind, (asked, entered) in numbers.items()]
    return "\n".join(lines)


def _tables(module: ModuleType) -> list[str]:
    """Return the tables in a module's docstring."""
    return re.findall(r"(?:^\|.*\n)+", module.__doc__ or "", re.MULTILINE)


def keys_of_all() -> str:
    """Return the table of the keys in Redis."""
    return _tables(keys)[0].rstrip()


def keys_of_a_batch() -> str:
    """Return the table of the keys of one batch."""
    return _tables(keys)[1].rstrip()


def commands() -> str:
    """Return the help of each command, and of each command of a group."""
    sections = []
    for words, command in _commands(main, "ringproof"):
        if command is not main:
            sections.append(f"{'##' if len(words) == 2 else '###'} {' '.join(words)}\n")
        shown = CliRunner().invoke(main, [*words[1:], "--help"], prog_name="ringproof", terminal_width=100)
        sections.append("```text\n" + "\n".join(line.rstrip() for line in shown.output.splitlines()) + "\n```\n")
    return "\n".join(sections).rstrip()


def _commands(command: click.Command, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    context = click.Context(command)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from _commands(command.resolve_command(context, [name])[1], *words, name)


def measured() -> str:
    """Return what the README says of the tables that the benchmarks have written."""
    pace, storm, bulk = (rows(block(f"output: make bench-{name}")) for name in ("pace", "storm", "bulk"))
    bare, ours = storm["a bare Celery task"], storm["Ringproof"]
    memory = bulk["the importer's peak memory"][0]
    figures = {
        "share of Plivo's 300 requests in 5 s that is used": f"{pace['300/5s'][2]}, {pace['300/5s'][3]} answers 429",
        "a person beside a batch, from `.delay` to Plivo, 99 of 100": f"within {bulk['99 % within'][0]}",
        "2,000 numbers while workers are killed": f"{ours[0]} lost, {ours[1]} with two codes "
        f"(a bare Celery task: {bare[0]} and {bare[1]})",
        "import of a million rows": f"{bulk['rows a second, the whole command'][0]} rows a second, {memory} of memory",
        "Redis, for each finished number": bulk["Redis, a finished number, all keys counted"][0],
    }
    return "\n".join(["| | measured |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in figures.items())])


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of each row of the tables in a text, by its first cell."""
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| ")
    return {first: rest for first, *rest in cells}


SHOWN = (r"roster: \d+ rows", "a person asked", "kill -9", "What became of", r"  \d+  verified", r"  queued \d")
"""The lines of the demo's output that the README has, by how they begin."""


def demo_in_short() -> str:
    """Return ten lines of the demo's output."""
    lines = block(DEMO).splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("Plivo's own list"))
    kept = [line for line in lines if any(re.match(beginning, line) for beginning in SHOWN)]
    return "\n".join(["```console", "$ make demo", *kept, *lines[first : first + 2], "```"])


def demo() -> str:
    """Run the demo, and return what it printed."""
    environ = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "worker", "demo"], capture_output=True, text=True, check=True, env=environ
    )
    shown = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    return f"```console\n$ make demo\n{shown}\n```"


def statuses_of_errors() -> str:
    """Return the status with which the HTTP API answers each error."""
    by_status: dict[int, list[str]] = {}
    for kind, status in STATUSES.items():
        by_status.setdefault(int(status), []).append(
            f"[`{kind.__name__}`](results-and-errors.md#{kind.__name__.lower()})"
        )
    rows = [f"| {status} | {', '.join(names)} |" for status, names in sorted(by_status.items())]
    return "\n".join(["| status | error, with those below it |", "|---|---|", *rows])


def metrics() -> str:
    """Return the table of the metrics."""
    rows = (
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.help} |"
        for one in METRICS
    )
    return "\n".join(["| metric | kind | labels | |", "|---|---|---|---|", *rows])


def checks() -> str:
    """Return the doctor's checks by their groups, each as its function has it."""
    lines = ["| group | check | |", "|---|---|---|"]
    for group in GROUPS:
        for check in group.checks:
            first = (check.look.__doc__ or "").strip().splitlines()[0]
            lines.append(f"| {group.name} | [`{check.name}`](#{check.name}) | {first} |")
    return "\n".join(lines)


EXAMPLES = {
    "examples/flask/flask_app.py": "flask_app.py",
    "examples/fastapi/fastapi_app.py": "fastapi_app.py",
    "examples/django/accounts/forms.py": "accounts/forms.py",
    "examples/django/accounts/middleware.py": "accounts/middleware.py",
    "examples/django/accounts/models.py": "accounts/models.py",
    "examples/django/accounts/views.py": "accounts/views.py",
}
"""The files of the three applications that a page shows, and their titles there."""


def example(path: str, title: str) -> str:
    """Return a file of an application as a page shows it."""
    return f'```python title="{title}"\n{(ROOT / path).read_text().rstrip()}\n```'


GENERATED = {
    "table: checks of the doctor": checks,
    "table: record × new request": requests,
    "table: settings": settings,
    "table: reasons of InvalidNumber": number_reasons,
    "table: caps": caps,
    "table: odds": odds,
    "table: statuses of errors": statuses_of_errors,
    "table: reasons of rejected rows": row_reasons,
    "table: misfortunes": sandbox_misfortunes,
    "table: switches": sandbox_switches,
    "table: magic numbers": magic_numbers_table,
    "table: measured": measured,
    "table: metrics": metrics,
    "output: users of Redis": users,
    "table: keys": keys_of_all,
    "table: keys of a batch": keys_of_a_batch,
    "output: ringproof --help": commands,
    "output: make demo, in short": demo_in_short,
    **{f"file: {path}": partial(example, path, title) for path, title in EXAMPLES.items()},
}


def blocks() -> dict[str, tuple[Path, str]]:
    """Return what stands between marks, with its page, by the marks' name."""
    found = {}
    for page in PAGES:
        for name, text in re.findall(r"<!-- ([a-z]+: .*?) -->\n(.*?)\n?<!-- end -->", page.read_text(), re.DOTALL):
            assert name not in found, f"{name!r} is in {page} and {found[name][0]}"
            found[name] = (page, text)
    return found


def block(name: str) -> str:
    """Return what stands between the marks of this name."""
    return blocks()[name][1]


def write(name: str, text: str) -> None:
    """Put a text between the marks of this name."""
    if name not in blocks():
        raise SystemExit(f"no page has marks named {name!r}")
    page = blocks()[name][0]
    pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
    page.write_text(re.sub(pattern, lambda marks: f"{marks[1]}{text}\n{marks[2]}", page.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    if "demo" in sys.argv[1:]:
        write(DEMO, demo())
    for name, make in GENERATED.items():
        write(name, make())

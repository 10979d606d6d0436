"""`--json`: every command that shows something has it, with the keys that the documentation has."""

import json
import re
from datetime import datetime
from functools import partial
from pathlib import Path

import click
import pytest
from support.commands import commands_of
from support.harness import fresh_number, ledger_of

from ringproof.ledger.record import State
from ringproof.policy import Policy, Rate
from worker import cli

PAGE = Path(__file__).parents[2] / "docs/guide/command.md"

WITHOUT_JSON = {
    "batch export": "it has --format json",
    "beat": "it runs until it is stopped",
    "demo": "it shows something to a person",
    "metrics": "it runs until it is stopped",
    "page": "it runs until it is stopped",
    "sandbox": "it runs until it is stopped",
    "serve": "it runs until it is stopped",
    "worker": "it runs until it is stopped, and its log is JSON if RINGPROOF_LOG_FORMAT says so",
}

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")


def test_every_command_that_shows_something_prints_it_as_json():
    commands = {" ".join(path): one for path, one in commands_of(cli.main) if not isinstance(one, click.Group)}
    without = {path for path, one in commands.items() if not any("--json" in param.opts for param in one.params)}

    assert without == WITHOUT_JSON.keys()


def documented():
    """Return the keys of each command, as the table on the page has them: those in brackets are of inner objects."""
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", PAGE.read_text().split("## JSON")[1].split("## The")[0], re.MULTILINE)
    keys = {}
    for commands, cell in rows:
        first = re.split(r"[.;] ", re.sub(r" \(.*?\)", "", cell))[0]
        for command in commands.split(", "):
            keys[command.replace("`", "")] = set(re.findall(r"`(\w+)`", first))
    return keys


DOCUMENTED = documented()
OF_DOCTOR = re.search(r"^\| `doctor` .*?\((.*?)\)", PAGE.read_text(), re.MULTILINE)


@pytest.fixture
def prints(run, idle, tmp_path):
    """Run a command with --json; return what it prints, one object a line."""
    ringproof = partial(run, RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"], RINGPROOF_REGION="US")

    def prints_(*arguments, exits=0, stdin=""):
        done = ringproof(*arguments, "--json", stdin=stdin)
        assert done.returncode == exits, done
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert found, done
        return found

    return prints_


@pytest.fixture(autouse=True)
def ledger(idle):
    with ledger_of(idle) as ledger:
        ledger.client.flushall()
        yield ledger


def times_in(value):
    """Yield all texts that begin as a time does."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from times_in(inner)
    elif isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value):
        yield value


def check(command, found):
    """Every object has the keys that are documented for the command, and times in UTC."""
    assert [one.keys() for one in found] == [DOCUMENTED[command]] * len(found)
    assert [time for time in times_in(found) if not MOMENT.fullmatch(time)] == []


def test_the_sendings_commands_print_the_documented_keys(prints):
    check("pause", paused := prints("pause", "--lane", "bulk"))
    check("pause", again := prints("pause", "--lane", "bulk"))
    check("resume", resumed := prints("resume"))
    nothing = prints("resume", exits=1)
    check("limits set", limits := prints("limits", "set", "RATE=10/1s", "--over-cap", "+1415555", "--for", "1h"))
    check("limits show", shown := prints("limits", "show"))
    check("limits reset", reset := prints("limits", "reset"))
    check("audit", prints("audit"))
    door = prints("door", "add", "shop")
    check("door add", door)
    check("door ls", prints("door", "ls"))
    check("door revoke", revoked := prints("door", "revoke", "shop"))
    check("webhook replay", prints("webhook", "replay", "--since", "1h"))

    assert (paused[0], again[0]["changed"]) == ({"lane": "bulk", "paused": True, "changed": True}, False)
    assert resumed == [{"lane": None, "paused": False, "changed": True, "tried_again": []}]
    assert nothing[0]["changed"] is False
    assert datetime.fromisoformat(limits[0]["until"]) > datetime.fromisoformat(limits[0]["history"][0]["at"])
    assert shown == limits
    assert limits[0]["over_cap"] == [{"block": "+1415555", "until": limits[0]["history"][-1]["until"]}]
    assert (limits[0]["rate"], reset[0]["rate"], reset[0]["until"]) == ("10/1s", "300/5s", None)
    assert revoked == [{"name": "shop", "revoked": True}]


def test_the_commands_about_a_number_print_the_documented_keys(prints, ledger):
    number, other = fresh_number(), fresh_number()
    check("initiate", prints("initiate", number, "--no-wait"))
    check("status NUMBER", queued := prints("status", number, exits=3))
    check("ls", prints("ls"))
    check("cancel NUMBER", cancelled := prints("cancel", number))
    check("cancel of many", many := prints("cancel", "--country", "DE", "--yes", exits=1))
    check("reverify", reverified := prints("reverify", number, exits=1))
    check("erase", erased := prints("erase", number, "--yes", "--rewrite"))
    unknown = prints("cancel", number, exits=1)
    ledger.accept(other, token="t", country="US")
    ledger.begin([(other, ledger.read(other).request)])
    late = prints("cancel", other, exits=1)

    assert queued[0]["until"] == queued[0]["ends_at"]
    assert cancelled == [{"phone_number": number, "state": "cancelled", "cancelled": True}]
    assert many == [{"cancelled": 0, "country": "DE", "range": None, "lane": None}]
    assert (reverified[0]["chosen"], reverified[0]["never"]) == (1, 1)
    assert erased[0]["here"] is True
    assert unknown == [{"phone_number": number, "state": None, "cancelled": False}]
    assert (late[0]["state"], late[0]["cancelled"]) == (State.SENDING, False)


def test_the_doctor_prints_the_documented_keys(prints, ledger):
    ledger.publish_policy(Policy(rate=Rate.parse("1000/1s")))  # its question waits for the first window to end
    check("doctor", found := prints("doctor", exits=1))

    assert found[0]["ok"] is False
    assert {tuple(one) for one in found[0]["checks"]} == {tuple(re.findall(r"`(\w+)`", OF_DOCTOR[1]))}


def test_a_refused_number_says_until_when(prints, ledger):
    ledger.publish_policy(Policy(range_codes_per_hour=1))
    prints("initiate", fresh_number(), "--no-wait")
    (refused,) = prints("initiate", fresh_number(), "--no-wait", exits=1)

    assert refused.keys() == {"phone_number", "error", "reason", "message", "until"}
    assert refused["reason"] == "range_codes_per_hour"
    assert MOMENT.fullmatch(refused["until"])


def test_the_commands_about_batches_print_the_documented_keys(prints, tmp_path):
    roster = tmp_path / "people.csv"
    roster.write_text("phone\n" + "\n".join(fresh_number() for _ in range(3)))
    check("import --dry-run", forecast := prints("import", str(roster), "--dry-run"))
    check("import", imported := prints("import", str(roster), "--paused"))
    check("batch ls", prints("batch", "ls"))
    check("batch resume", resumed := prints("batch", "resume", "people"))
    check("batch pause", prints("batch", "pause", "people"))
    check("batch retry", retried := prints("batch", "retry", "people", exits=1))
    check("batch cancel", cancelled := prints("batch", "cancel", "people", "--yes"))
    check("batch cancel", prints("batch", "cancel", "people", "--yes", exits=1))

    assert (forecast[0]["rows"], forecast[0]["texts"]) == (3, 3)
    assert (imported[0]["rows"], imported[0]["state"]) == (3, "paused")
    assert [one[0]["state"] for one in (resumed, cancelled)] == ["running", "cancelled"]
    assert retried[0]["retried"] == 0

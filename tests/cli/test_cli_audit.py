"""`ringproof audit`, what the other commands note in it, and `ringproof erase --rewrite`."""

import json
import re
from datetime import UTC, datetime, timedelta
from functools import partial

import click
import pytest
from support.commands import commands_of
from support.harness import eventually, fresh_number, ledger_of

from ringproof.ledger import audit
from ringproof.phone.masking import mask
from worker import cli
from worker.cli.audit import AS
from worker.local.processes.redis_server import RedisServer


@pytest.fixture
def ledger(idle):
    with ledger_of(idle) as found:
        found.client.flushall()
        yield found


@pytest.fixture
def ringproof(run, idle):
    return partial(run, RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])


def entries(ledger):
    return [(one.actor, one.action, one.subject) for one in audit.entries(ledger, 100)]


def test_who_did_what_is_shown_oldest_first_and_without_numbers(ringproof, ledger):
    number = fresh_number()
    ledger.accept(number, token="1")
    ringproof("pause", "--lane", "bulk", "--reason", f"ask {number}", "--as", "alice")
    ringproof("limits", "set", "RATE=10/5s", "--for", "90m", "--as", "alice")
    ringproof("limits", "reset", "--as", "bob")
    ringproof("cancel", number, "--as", "bob")
    ringproof("erase", number, "--yes", "--as", "a\nb\x1b[31m")
    ringproof("resume", "--as", f"phone {number}")

    assert entries(ledger)[:4] == [
        ("alice", "pause", f"bulk: ask {mask(number)}"),
        ("alice", "limits set", "RATE=10/5s for 1 h 30 min"),
        ("bob", "limits reset", ""),
        ("bob", "cancel", mask(number)),
    ]
    shown = ringproof("audit").stdout
    assert [re.split(r"  +", line)[2] for line in shown.splitlines()] == [
        "pause", "limits set", "limits reset", "cancel", "erase", "resume",
    ]  # fmt: skip
    assert number[1:] not in shown + str(entries(ledger))
    newest = [json.loads(line) for line in ringproof("audit", "--json", "--last", "2").stdout.splitlines()]
    assert [entry["action"] for entry in newest] == ["erase", "resume"]
    assert datetime.now(UTC) - datetime.fromisoformat(newest[0]["at"]) < timedelta(minutes=1)


def test_an_entry_without_a_name_has_the_user_and_the_host(ringproof, ledger):
    ringproof("pause")

    [(actor, _, subject)] = entries(ledger)
    assert re.fullmatch(r"\S+( \d+)?@\S+", actor)
    assert subject == "all lanes"


def test_an_empty_trail_says_so(ringproof, ledger):
    nothing = ringproof("audit")

    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "no entry yet" in nothing.stderr
    assert ringproof("audit", "--json").stdout == ""


def test_a_command_that_cannot_note_what_it_does_does_not_do_it(ringproof, ledger):
    ledger.client.set(ledger.keys.audit, "no stream")

    refused = ringproof("pause")

    assert refused.returncode == 1
    assert "WRONGTYPE" in refused.stderr
    assert not ledger.client.exists(ledger.keys.pauses)


def test_only_the_newest_entries_are_kept(ledger, monkeypatch):
    monkeypatch.setattr(audit, "MOST_ENTRIES", 3)

    for at in range(5):
        audit.note(ledger, "alice", "pause", str(at))

    assert [subject for _, _, subject in entries(ledger)] == ["2", "3", "4"]


READS_ONLY = {
    "audit", "batch", "batch ls", "batch show", "health", "limits", "limits show", "status",
    "confirm", "initiate", "worker", "beat", "sandbox", "demo", "serve", "door", "door ls",
    "webhook", "webhook ls", "webhook test",
    "doctor", "metrics", "page", "accounts", "accounts ls", "accounts check",
}  # fmt: skip
"""Commands that only read, that a person uses for a number of their own, or that start a process."""


def test_each_command_that_changes_something_asks_who_does_it():
    [name] = AS(click.command()(lambda: None)).params[0].opts
    commands = {" ".join(path): command for path, command in commands_of(cli.main)}
    noting = {path for path, command in commands.items() if any(name in param.opts for param in command.params)}

    assert commands.keys() - noting == READS_ONLY


def test_a_rewrite_removes_an_erased_number_from_the_append_only_file(run, environ):
    with RedisServer() as server, ledger_of(environ | {"RINGPROOF_REDIS_URL": server.url}) as ledger:
        number = fresh_number()

        def is_on_disk():
            files = [path for path in server.directory.rglob("*aof*") if path.is_file()]
            return any(number[1:].encode() in path.read_bytes() for path in files)

        ledger.accept(number, token="1")
        run("erase", number, "--yes", RINGPROOF_REDIS_URL=server.url)
        eventually(is_on_disk)

        again = run("erase", number, "--yes", "--rewrite", RINGPROOF_REDIS_URL=server.url)

        assert (again.returncode, "is rewriting its append-only file" in again.stdout) == (0, True)
        eventually(lambda: not is_on_disk())


def test_without_an_append_only_file_no_rewrite_begins_one(ringproof, ledger):
    number = fresh_number()
    ledger.accept(number, token="1")
    ledger.client.config_set("appendonly", "no")
    try:
        erased = ringproof("erase", number, "--yes", "--rewrite")

        assert (erased.returncode, "keeps no append-only file" in erased.stdout) == (0, True)
        assert not ledger.client.info("persistence")["aof_rewrite_in_progress"]
    finally:
        ledger.client.config_set("appendonly", "yes")

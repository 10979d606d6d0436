"""`ringproof --account NAME …` and `ringproof accounts`: a command is about one account, and no other one changes."""

import json

import click
import pytest
from support.commands import commands_of
from support.harness import fresh_number
from support.roster_of_batch import import_rows
from support.two_accounts import TOKENS, TwoAccounts

from ringproof.batches.summary import batch_summary
from ringproof.ledger.control import pause, sending_status
from worker import cli
from worker.cli.account import WITHOUT_ACCOUNT
from worker.observe.accounts import MOST_NAMED
from worker.observe.hints import OF_AN_ACCOUNT

OPTIONAL = {"serve"}
"""Commands that are about one account only with another option."""


@pytest.fixture(scope="module")
def accounts(sandbox, tmp_path_factory):
    two = TwoAccounts(tmp_path_factory.mktemp("accounts"), base_url=sandbox.base_url)
    yield two
    two.close()


@pytest.fixture
def ringproof(run, accounts):
    """Run a command in an installation with two more accounts; no token is ever in what it prints."""

    def run_(*arguments, stdin="", **changes):
        done = run(*arguments, stdin=stdin, RINGPROOF_REGION="US", **{**accounts.environ, **changes})
        assert not [token for token in TOKENS.values() if token in done.stdout + done.stderr]
        return done

    return run_


def content(ledger):
    """All that a ledger has, by key, but which accounts have work: the workers look there for all of them."""
    client = ledger.client
    keys = set(client.scan_iter(match=f"{ledger.keys.prefix}:*")) - {ledger.keys.accounts}
    return {key: client.dump(key) for key in sorted(keys)}


def test_each_command_is_about_an_account_or_says_why_it_is_not():
    named = {path[0] for path, one in commands_of(cli.main) if len(path) == 1 and not isinstance(one, click.Option)}

    assert named == {*OF_AN_ACCOUNT, *WITHOUT_ACCOUNT, *OPTIONAL}


@pytest.mark.parametrize("name", sorted(WITHOUT_ACCOUNT))
def test_a_command_that_is_about_no_account_says_so(ringproof, name):
    done = ringproof("--account", "acme", name)

    assert done.returncode == 2
    assert f"ringproof {name} takes no --account" in done.stderr


def test_the_door_of_all_accounts_takes_none(ringproof):
    done = ringproof("--account", "acme", "serve", "--port", "0")

    assert done.returncode == 2
    assert "--no-auth" in done.stderr


@pytest.mark.parametrize("words", ["status", "ls", "pause", "health", "metrics", "page", "door add x", "batch ls"])
def test_an_unknown_account_is_named_with_one_that_may_be_meant(ringproof, words):
    done = ringproof("--account", "acmee", *words.split())

    assert done.returncode == 1
    assert "acmee" in done.stderr
    assert "did you mean acme?" in done.stderr


@pytest.mark.parametrize("name", ["Acme", "a b", "ringproof:acme", "-", "x" * 33])
def test_a_name_that_no_account_can_have_is_refused(ringproof, name):
    done = ringproof(f"--account={name}", "ls")

    assert done.returncode in {1, 2}
    assert "account" in done.stderr


NUMBER = fresh_number()
COMMANDS = (
    ("initiate", NUMBER, "--no-wait"),
    ("status", NUMBER),
    ("status",),
    ("ls", "--unmasked"),
    ("pause", "--reason", "ours"),
    ("resume",),
    ("limits", "set", "RATE=10/1s", "--for", "1h"),
    ("limits", "reset"),
    ("limits",),
    ("cancel", NUMBER),
    ("import", "-", "--batch", "spring", "--yes"),
    ("batch", "ls"),
    ("batch", "show", "spring"),
    ("batch", "pause", "spring"),
    ("batch", "resume", "spring"),
    ("batch", "export", "spring"),
    ("batch", "cancel", "spring", "--yes"),
    ("reverify", NUMBER),
    ("audit",),
    ("webhook", "ls"),
    ("webhook", "replay", "--since", "1h"),
    ("erase", NUMBER, "--yes"),
    ("health",),
)


def test_no_command_for_one_account_changes_anything_of_another(ringproof, accounts):
    """Only the queues are shared."""
    before = {name: content(accounts.ledgers[name]) for name in (None, "globex")}
    own = content(accounts.ledgers["acme"])
    for command in COMMANDS:
        done = ringproof("--account", "acme", *command, stdin=f"phone\n{fresh_number()}\n")
        assert "Usage:" not in done.stderr, (command, done.stderr)
        assert "unknown here" not in done.stdout, (command, done.stdout)

    assert {name: content(accounts.ledgers[name]) for name in (None, "globex")} == before
    assert content(accounts.ledgers["acme"]) != own


@pytest.mark.parametrize("given", ["option", "variable", ".env"])
def test_an_account_is_named_by_the_option_a_variable_or_the_file_env(ringproof, accounts, tmp_path, given):
    number = fresh_number()
    accounts.send("acme", number)
    named, variable = (("--account", "acme") if given == "option" else ()), {}
    if given == "variable":
        variable = {"RINGPROOF_ACCOUNT": "acme"}
    elif given == ".env":
        (tmp_path / ".env").write_text("RINGPROOF_ACCOUNT=acme\n")
        (tmp_path / ".env").chmod(0o600)
    done = ringproof(*named, "status", number, "--json", **variable)

    assert json.loads(done.stdout)["state"] == "code_sent"
    assert "no setting" not in done.stderr


def test_the_option_wins_over_the_variable(ringproof, accounts):
    number = fresh_number()
    accounts.send("acme", number)

    done = ringproof("--account", "globex", "status", number, "--json", RINGPROOF_ACCOUNT="acme")
    assert json.loads(done.stdout)["state"] is None


def test_a_request_of_an_account_is_sent_for_it(ringproof, accounts):
    number = fresh_number()
    done = ringproof("--account", "globex", "initiate", number, "--no-wait")

    message = accounts.ledgers[None].client.lrange("ringproof.interactive", 0, 0)[0]
    assert done.returncode == 0, done.stderr
    assert accounts.ledgers["globex"].read(number)
    assert "'account': 'globex'" in json.loads(message)["headers"]["kwargsrepr"]


def test_what_the_command_advises_names_the_account(ringproof):
    paused = ringproof("--account", "acme", "pause")
    status = ringproof("--account", "acme", "status")
    named = ringproof("pause", RINGPROOF_ACCOUNT="acme")
    ringproof("--account", "acme", "resume")

    assert "ringproof --account acme resume" in paused.stdout
    assert "ringproof --account acme resume" in status.stdout
    assert "to go on: ringproof resume" in named.stdout


def test_the_accounts_are_listed_with_what_they_do(ringproof, accounts):
    import_rows(accounts.ledgers["globex"], "listed", [fresh_number()])
    accounts.ledgers["globex"].accept(fresh_number(), token="waits")
    pause(accounts.ledgers["acme"])
    done = ringproof("accounts", "ls")
    lines = {one["name"]: one for one in map(json.loads, ringproof("accounts", "ls", "--json").stdout.splitlines())}
    ringproof("--account", "acme", "resume")

    assert done.returncode == 1
    assert "MA••••42" in done.stdout
    assert "MAACME" not in done.stdout
    assert lines.keys() == {"acme", "globex"}
    assert (lines["acme"]["paused"], lines["globex"]["paused"]) == (True, False)
    assert lines["globex"]["waiting"] >= 1
    assert [one["code"] for one in lines["acme"]["findings"]] == ["paused"]
    assert lines["globex"]["ledger"] != lines["acme"]["ledger"]
    assert ringproof("accounts", "ls", "globex").returncode == 0


def test_without_accounts_the_commands_say_where_they_are_named(ringproof):
    done = [ringproof("accounts", one, RINGPROOF_ACCOUNTS="") for one in ("ls", "check")]

    assert [one.returncode for one in done] == [0, 0]
    assert all("RINGPROOF_ACCOUNTS" in one.stdout + one.stderr for one in done)


def test_all_accounts_are_tried(ringproof, accounts, sandbox):
    good = ringproof("accounts", "check")
    sandbox.switch(unknown_tokens=[TOKENS["globex"]])
    bad = ringproof("accounts", "check", "--json")
    sandbox.switch(unknown_tokens=[])
    lines = {one["name"]: one for one in map(json.loads, bad.stdout.splitlines())}

    assert good.returncode == 0, good.stdout
    assert "2 of 2 accounts work" in good.stderr
    assert bad.returncode == 1
    assert {name: one["result"] for name, one in lines.items()} == {"acme": "ok", "globex": "failed"}
    assert "(401)" in lines["globex"]["checks"][1]["sentence"]
    assert not sending_status(accounts.ledgers["globex"]).pauses


def test_an_account_that_is_tried_by_its_name_must_be_known(ringproof):
    done = ringproof("accounts", "check", "globx")

    assert done.returncode == 1
    assert "did you mean globex?" in done.stderr


def test_all_faults_of_the_file_are_named_at_once(ringproof, accounts, tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text('[acme]\nrate = "fast"\n[globex]\ncolour = "red"\n')
    done = ringproof("accounts", "check", RINGPROOF_ACCOUNTS=str(file))

    assert done.returncode == 1
    assert "acme: rate" in " ".join(done.stderr.split())
    assert "globex: colour" in " ".join(done.stderr.split())


def test_a_ledger_that_is_away_is_named_by_every_command_that_looks_at_all(ringproof, accounts, tmp_path):
    two = TwoAccounts(tmp_path)
    two.other.kill()
    try:
        asked = {name: ringproof(*name.split(), **two.environ) for name in ("status", "health", "accounts ls")}
        own = ringproof("--account", "acme", "health", "--json", **two.environ)
        anothers = ringproof("--account", "globex", "health", "--json", **two.environ)
        checked = json.loads(ringproof("accounts", "check", "globex", "--json", **two.environ).stdout)
    finally:
        two.close()

    assert all("its Redis at redis://" in " ".join(done.stdout.split()) for done in asked.values())
    assert "account_away" not in own.stdout
    assert "account_away" in anothers.stdout
    assert [one["result"] for one in checked["checks"]] == ["failed", "not_tried"]


def test_the_status_of_many_accounts_names_some_and_counts_the_others(ringproof, accounts, tmp_path):
    file = tmp_path / "many.toml"
    file.write_text("\n".join(f"[many{nth:03}]" for nth in range(MOST_NAMED + 30)))
    environ = accounts.environ | {"RINGPROOF_ACCOUNTS": str(file)}
    for nth in range(MOST_NAMED + 5):
        ringproof("--account", f"many{nth:03}", "pause", **environ)
    shown = ringproof("status", **environ)
    as_json = json.loads(ringproof("status", "--json", **environ).stdout)

    assert shown.stdout.count("many0") == 2 * MOST_NAMED  # each with its remedy
    assert "5 more accounts have trouble" in shown.stdout
    assert as_json["accounts"]["count"] == MOST_NAMED + 30
    assert as_json["accounts"]["in_trouble"] == MOST_NAMED + 5
    assert len([one for one in as_json["findings"] if one["code"] == "paused"]) == MOST_NAMED + 1


def test_a_credential_is_made_for_an_account(ringproof):
    made = json.loads(ringproof("door", "add", "shop", "--account", "acme", "--json").stdout)
    also = json.loads(ringproof("--account", "globex", "door", "add", "other shop", "--json").stdout)
    taken = ringproof("--account", "globex", "door", "add", "shop")
    unknown = ringproof("door", "add", "third", "--account", "third")
    own = [json.loads(line) for line in ringproof("--account", "acme", "door", "ls", "--json").stdout.splitlines()]
    anothers = ringproof("--account", "globex", "door", "revoke", "shop")
    revoked = [ringproof("--account", "acme", "door", "revoke", "shop"), ringproof("door", "revoke", "other shop")]

    assert (made["account"], also["account"]) == ("acme", "globex")
    assert (taken.returncode, unknown.returncode) == (2, 1)
    assert [one["name"] for one in own] == ["shop"]
    assert anothers.returncode == 1
    assert [done.returncode for done in revoked] == [0, 0]
    assert made["token"] not in json.dumps(own)


def test_a_batch_of_an_account_is_imported_for_it(ringproof, accounts):
    done = ringproof(
        "--account", "globex", "import", "-", "--batch", "for globex", "--yes", stdin=f"{fresh_number()}\n"
    )

    assert done.returncode == 0, done.stderr
    assert batch_summary(accounts.ledgers["globex"], "for globex")
    assert not batch_summary(accounts.ledgers[None], "for globex")

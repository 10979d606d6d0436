"""Many accounts: metrics, the healthcheck and the doctor say where each stands, bounded in number and in time."""

import json
import os
import time

import pytest
from support.harness import fresh_number, started
from support.roster_of_batch import import_rows
from support.scrape import scrape_at
from support.two_accounts import TOKENS, TwoAccounts
from support.wire import Server

from ringproof.clock import epoch_ms
from ringproof.ledger.control import pause
from worker.observe.metric import MOST_ACCOUNTS, MOST_IN_TROUBLE

MANY = MOST_IN_TROUBLE + 20


@pytest.fixture
def two(tmp_path, sandbox):
    two = TwoAccounts(tmp_path, base_url=sandbox.base_url)
    yield two
    two.close()


def scraped(two, tmp_path, *options):
    """What an exporter of these accounts says, and all that it wrote."""
    with started(os.environ | two.environ, tmp_path, *options, "metrics", "--port", "0") as process:
        found = scrape_at(process.stdout.readline().split()[-1])
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert errors == ""
    assert not [token for token in TOKENS.values() if token in found.text]
    return found


def test_the_series_of_an_account_have_its_name_and_those_of_the_default_one_none(two, tmp_path):
    for name in ("acme", "globex"):
        two.send(name, fresh_number())
    two.ledgers["globex"].accept(fresh_number(), token="waits")
    import_rows(two.ledgers["acme"], "spring", [fresh_number()])
    pause(two.ledgers["acme"])
    closed_at = epoch_ms(two.ledgers["globex"].now()) - 90_000
    gate = {"went_back": 1, "closed_at": closed_at, "closing": closed_at, "mended": 7, "forgotten": 3, "awaits:a": 1}
    two.ledgers["globex"].run("hset", two.ledgers["globex"].keys.generation, mapping=gate)
    found = scraped(two, tmp_path)

    assert found.value("ringproof_open_numbers", account="globex") == 2
    assert found.value("ringproof_people_waiting", account="globex", channel="sms") == 1
    assert found.value("ringproof_batches", account="acme", state="running") == 1
    assert found.value("ringproof_paused", account="acme", kind="operator", lane="all") == 1
    assert found.value("ringproof_finding", account="acme", code="paused") == 1
    assert found.value("ringproof_finding", account="globex", code="paused") is None
    assert found.value("ringproof_accounts", state="known") == 2
    assert found.value("ringproof_accounts", state="at_work") == 2
    assert found.value("ringproof_finding", account="globex", code="went_back") == 1
    assert found.value("ringproof_gate_closed_seconds", account="globex") >= 90
    assert found.value("ringproof_gate_unreported_processes", account="globex") == 1
    assert found.value("ringproof_gate_reported_numbers", account="globex") == 7
    assert found.value("ringproof_gate_held_numbers", account="globex") == 3
    assert found.value("ringproof_gate_closed_seconds", account="acme") == 0
    assert found.value("ringproof_accounts", state="in_trouble") == 2
    assert [one for one in found.labels("ringproof_open_numbers") if "account" not in one] == [{}]
    assert [one for one in found.labels("ringproof_queue_messages") if "account" in one] == []


def test_an_exporter_of_one_account_has_that_one_alone(two, tmp_path):
    two.send("globex", fresh_number())
    found = scraped(two, tmp_path, "--account", "globex")

    assert found.labels("ringproof_open_numbers") == [{"account": "globex"}]
    assert found.labels("ringproof_heartbeat_age_seconds") == []


def test_a_thousand_accounts_have_few_series(two, tmp_path):
    two.file.write_text("\n".join(f"[many{nth:04}]" for nth in range(1000)))
    with two.ledgers[None].client.pipeline(transaction=False) as pipeline:
        for nth in range(MANY):
            pipeline.hset(f"{{ringproof:many{nth:04}}}:pauses", "person:all", 1_800_000_000_000)
        pipeline.execute()
    began = time.monotonic()
    found = scraped(two, tmp_path)

    assert len({one.get("account") for one in found.labels("ringproof_open_numbers")}) == MOST_ACCOUNTS + 1
    assert len([one for one in found.labels("ringproof_finding") if "account" in one]) == MOST_IN_TROUBLE
    assert found.value("ringproof_accounts", state="known") == 1000
    assert found.value("ringproof_accounts", state="in_trouble") == MANY
    assert time.monotonic() - began < 60


def test_an_account_whose_redis_is_away_is_a_finding_and_the_others_are_read(two, tmp_path):
    two.send("acme", fresh_number())
    two.other.kill()
    found = scraped(two, tmp_path)

    assert found.value("ringproof_finding", account="globex", code="account_away") == 1
    assert found.value("ringproof_open_numbers", account="globex") is None
    assert found.value("ringproof_open_numbers", account="acme") == 1
    assert found.value("ringproof_redis_up") == 1


def test_accounts_that_cannot_be_read_are_a_finding(two, tmp_path, run):
    two.file.write_text("[acme]\ncolour = 1\n")
    found = scraped(two, tmp_path)
    done = {words: run(*words.split(), **two.environ) for words in ("status --json", "health --json")}

    assert found.value("ringproof_finding", code="accounts_wrong") == 1
    assert all("accounts_wrong" in one.stdout for one in done.values())
    assert run("health", "--self", "--json", **two.environ).stdout.count("accounts_wrong") == 0


def examined(run, two):
    lines = json.loads(run("doctor", "--json", **two.environ).stdout)["checks"]
    return [one for one in lines if one["group"] == "accounts"]


def test_the_doctor_tries_accounts_and_names_those_with_trouble(run, two, sandbox):
    good = examined(run, two)
    sandbox.switch(unknown_tokens=[TOKENS["acme"]])
    two.other.kill()
    bad = examined(run, two)
    sandbox.switch(unknown_tokens=[])

    assert [one["result"] for one in good] == ["ok", "ok"]
    failed = {one["code"]: one["sentence"] for one in bad if one["result"] == "failed"}
    assert failed.keys() == {"credentials_refused", "account_away"}
    assert "account acme" in failed["credentials_refused"]
    assert "account globex" in failed["account_away"]
    assert not [token for token in TOKENS.values() if token in json.dumps(bad)]


def test_the_doctor_ends_in_time_also_if_plivo_hangs_for_all_accounts(run, two):
    hangs = Server(lambda *_: hangs.ended.wait(60))
    fields = 'auth_id = "MAMANYXXXXXXXXXXX{0}"\nauth_token = "token"\nbase_url = "{1}"\n'
    two.file.write_text("".join(f"[many{nth}]\n{fields.format(nth, hangs.url())}" for nth in range(100, 140)))
    began = time.monotonic()
    lines = examined(run, two)
    took = time.monotonic() - began
    hangs.close()

    assert {one["result"] for one in lines} > {"failed"} or "were not tried" in lines[-1]["sentence"]
    assert took < 40

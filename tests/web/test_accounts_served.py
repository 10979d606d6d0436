"""One worker and one front door for several accounts: each caller's codes are sent, checked and removed by its own."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.api import Api
from support.front_door import FrontDoor
from support.harness import AUTH_ID, AUTH_TOKEN, Sandbox, Worker, eventually, fresh_number, stopped
from support.two_accounts import TOKENS, TwoAccounts

from ringproof.ledger.credentials import issue

ALL = (None, "acme", "globex")


@pytest.fixture(scope="module")
def plivos(tmp_path_factory):
    """A Plivo for each account, which knows nothing of the others."""
    folder = tmp_path_factory.mktemp("plivos")
    running = {name: Sandbox(folder / f"{name}.log", os.environ, folder) for name in ALL}
    yield running
    for one in running.values():
        one.kill()


@pytest.fixture(scope="module")
def accounts(plivos, tmp_path_factory):
    two = TwoAccounts(tmp_path_factory.mktemp("accounts"), breaker_percent="0", range_codes_per_hour="0")
    for name, fields in two.sections.items():
        fields["base_url"] = plivos[name].base_url
    two.write()
    yield two
    two.close()


@pytest.fixture(scope="module")
def environ(accounts, plivos):
    own = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_AUTH_TOKEN": AUTH_TOKEN, "PLIVO_BASE_URL": plivos[None].base_url}
    return os.environ | accounts.environ | own


@pytest.fixture(scope="module")
def served(accounts, environ, tmp_path_factory):
    """The clients of a door with a worker behind it, by account: of Plivo's resource, and of the API."""
    folder = tmp_path_factory.mktemp("served")
    issued = {name: issue(accounts.ledgers[None], f"program of {name}", account=name) for name in ALL}
    with (
        stopped(Worker(folder / "worker.log", environ, folder, "-P", "threads", "-B")) as worker,
        stopped(FrontDoor(folder / "door.log", environ, folder, issued[None])) as door,
    ):
        yield {name: (door.of(one), Api(door.url, one.token)) for name, one in issued.items()}
        assert not [token for token in TOKENS.values() if token in door.log + worker.log]


def only_at(plivos, name, number):
    """Whether a code for this number was sent by this account, and by no other."""
    return [other for other in ALL if plivos[other].sends(number)] == [name]


@pytest.mark.parametrize("name", ALL)
def test_a_client_of_plivos_has_a_code_sent_and_checked_by_its_own_account(served, plivos, name):
    caller, _ = served[name]
    number = fresh_number()
    asked = caller.initiate(number)
    code = eventually(lambda: plivos[name].sends(number))[-1]["code"]
    done = caller.complete(asked.json()["verification_uuid"], code)
    found = caller.ask("GET", f"/{number[1:]}/")
    for other in set(ALL) - {name}:  # 409: no slot of that account's pace came in time
        eventually(lambda other=other: served[other][0].ask("GET", f"/{number[1:]}/").status_code == 404)

    assert asked.status_code in {201, 202}, asked.text
    assert only_at(plivos, name, number)
    assert done.status_code == 200, done.text
    assert found.json()["phone_number"].lstrip("+") == number[1:]


@pytest.mark.parametrize("name", ALL)
def test_a_program_of_the_api_has_a_code_sent_and_checked_by_its_own_account(served, plivos, name):
    _, api = served[name]
    number = fresh_number()
    asked = api.ask_for_code(number)
    assert api.sent(asked)["state"] == "code_sent"
    done = api.post(f"/verifications/{asked}/confirm", json={"code": plivos[name].sends(number)[-1]["code"]})
    verified = [served[other][1].post("/numbers/lookup", json={"phone_number": number}).json() for other in ALL]

    assert done.status_code == 200, done.text
    assert only_at(plivos, name, number)
    assert [one["is_verified"] for one in verified] == [other == name for other in ALL]


def test_accounts_are_served_at_once_for_one_number(served, plivos):
    number = fresh_number()
    with ThreadPoolExecutor(len(ALL)) as pool:
        answers = list(pool.map(lambda name: served[name][0].initiate(number), ALL))

    assert {answer.status_code for answer in answers} <= {201, 202}
    assert [len(eventually(lambda name=name: plivos[name].sends(number))) for name in ALL] == [1, 1, 1]


def test_a_roster_is_sent_by_its_callers_account(served, plivos):
    numbers = [fresh_number() for _ in range(3)]
    upload = {"params": {"name": "spring", "dry_run": "false"}, "headers": {"Content-Type": "text/csv"}}
    answer = served["globex"][1].post("/batches", data="phone\n" + "\n".join(numbers), **upload)

    assert answer.status_code == 201, answer.text
    for number in numbers:
        eventually(lambda number=number: plivos["globex"].sends(number))
        assert only_at(plivos, "globex", number)


def test_the_command_asks_confirms_and_removes_for_an_account(run, environ, served, plivos):
    number = fresh_number()
    own = {name: environ[name] for name in environ if name.startswith(("RINGPROOF_", "PLIVO_"))}
    asked = run("--account", "acme", "initiate", number, **own)
    code = plivos["acme"].sends(number)[-1]["code"]
    confirmed = run("--account", "acme", "confirm", number, stdin=code, **own)
    shown = json.loads(run("--account", "acme", "status", number, "--json", **own).stdout)
    removed = json.loads(run("--account", "acme", "remove", number, "--yes", "--json", **own).stdout)

    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert confirmed.returncode == 0, confirmed.stdout + confirmed.stderr
    assert shown["is_verified"]
    assert (removed["at_plivo"], removed["here"]) == (True, True)
    assert only_at(plivos, "acme", number)


def test_the_list_of_one_account_is_read_and_its_numbers_asked_about_alone(run, environ, served, plivos):
    _, api = served["globex"]
    number = fresh_number()
    asked = api.ask_for_code(number)
    api.sent(asked)
    api.post(f"/verifications/{asked}/confirm", json={"code": plivos["globex"].sends(number)[-1]["code"]})
    own = {name: environ[name] for name in environ if name.startswith(("RINGPROOF_", "PLIVO_"))}
    synced = json.loads(run("--account", "globex", "sync", "--yes", "--json", **own).stdout)
    again = run("--account", "globex", "reverify", number, "--yes", "--json", **own)

    assert synced["at_plivo"] >= 1
    assert synced["gone"] == 0
    assert json.loads(again.stdout)["due"] == 1

"""Two accounts beside the installation's own in one real worker: each has its own numbers, codes and credentials."""

import pytest
from support.accounts import Installation
from support.harness import AUTH_ID, eventually, fresh_number

from ringproof.ledger.record import State


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Installation(tmp_path_factory.mktemp("two"), accounts=("acme", "globex")) as installation:
        yield installation


def test_one_number_in_two_accounts_has_two_records_and_two_codes_by_their_own_credentials(world):
    number = fresh_number()
    ids = {name: world.initiate(number, name) for name in (None, "acme", "globex")}

    for name, task_id in ids.items():
        record = world.until(name, number, State.CODE_SENT)
        assert task_id == (f"{name}:" if name else "") + f"{number}/{record.request}"
        (send,) = [one for one in world.plivos.sends(world.auth_ids[name]) if one["number"] == number]
        assert send["uuid"] == record.verification_uuid
    assert world.auth_ids[None] == AUTH_ID


def test_a_code_verifies_the_number_of_its_own_account_alone(world):
    number = fresh_number()
    world.initiate(number, "globex")
    task_id = world.initiate(number, "acme")
    world.until("acme", number, State.CODE_SENT)
    world.until("globex", number, State.CODE_SENT)
    (send,) = [one for one in world.plivos.sends(world.auth_ids["acme"]) if one["number"] == number]

    assert world.confirm(number, send["code"], request=task_id)["state"] == "verified"
    assert world.until("acme", number, State.VERIFIED)
    assert world.ledger("globex").read(number).state is State.CODE_SENT


def test_a_log_line_about_a_number_names_its_account_and_no_secret(world):
    number = fresh_number()
    world.initiate(number, "acme")
    world.until("acme", number, State.CODE_SENT)

    assert eventually(lambda: "account=acme" in world.log or '"account": "acme"' in world.log)
    assert number not in world.log
    assert all(token not in world.log for token in world.tokens.values())

"""The front door's credentials: many, revocable, and no token in Redis."""

import pytest
from support.number_in_ledger import Book

from ringproof.errors import InvalidRequest
from ringproof.ledger.credentials import Scope, credentials, find, issue, revoke
from ringproof.secret_str import SecretStr


@pytest.fixture
def ledger(client):
    return Book(client).ledger


def test_a_token_and_its_auth_id_find_their_credential_and_no_other(ledger):
    shop, api = issue(ledger, "shop"), issue(ledger, "api", [Scope.READ])
    known = credentials(ledger)

    assert [one.name for one in known] == ["api", "shop"]
    assert find(known, shop.token) == find(known, shop.token, shop.credential.auth_id) == shop.credential
    assert find(known, api.token).scopes == {Scope.READ}
    assert find(known, shop.token, api.credential.auth_id) is None
    assert find(known, SecretStr(""), shop.credential.auth_id) is None
    assert find(known, SecretStr(shop.credential.digest), shop.credential.auth_id) is None
    assert find(known, shop.token, "MAé") is None
    assert find([], shop.token) is None


def test_an_auth_id_is_one_that_plivos_clients_take_and_a_token_one_that_nobody_guesses(ledger):
    issued = [issue(ledger, str(n)) for n in range(20)]

    assert all(one.credential.auth_id[:2] == "MA" and len(one.credential.auth_id) == 20 for one in issued)
    assert all(len(one.token.get_secret_value()) == 40 for one in issued)
    assert len({one.token for one in issued}) == len({one.credential.auth_id for one in issued}) == 20


def test_neither_redis_nor_a_repr_has_the_token(ledger):
    issued = issue(ledger, "shop")
    token = issued.token.get_secret_value()

    assert token not in str(ledger.client.hgetall(ledger.keys.credentials))
    assert token not in repr(issued)
    assert issued.credential.digest not in repr(issued)


def test_a_revoked_credential_finds_nothing_and_its_name_is_free(ledger):
    first = issue(ledger, "shop")

    assert revoke(ledger, "shop")
    assert not revoke(ledger, "shop")
    assert find(credentials(ledger), first.token) is None
    assert issue(ledger, "shop").credential.auth_id != first.credential.auth_id


@pytest.mark.parametrize("name", ["", " shop", "a\nb", "x" * 65, "shop"])
def test_a_name_that_cannot_be_listed_or_is_taken_is_refused(ledger, name):
    issue(ledger, "shop")
    with pytest.raises(InvalidRequest) as refused:
        issue(ledger, name)

    assert refused.value.field == "credential"
    assert len(credentials(ledger)) == 1

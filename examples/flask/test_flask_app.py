"""The application's tests. Ringproof's pytest plugin has a worker and phones; no code is really sent."""

import pytest
from flask.testing import FlaskClient
from flask_app import app

from ringproof.testing import Phones, Ringproof

NUMBER = "+14155550123"


@pytest.fixture
def client(ringproof: Ringproof) -> FlaskClient:
    return app.test_client()


def test_a_user_verifies_a_number(client: FlaskClient, phones: Phones) -> None:
    assert client.post("/phone", json={"phone": "+1 (415) 555-0123"}).status_code == 202
    code = phones.last_code(NUMBER)
    assert client.get("/phone").json == {"state": "SUCCESS"}
    assert client.post("/phone/code", json={"code": code}).json == {"state": "VERIFIED"}


def test_two_clicks_send_one_code(client: FlaskClient, phones: Phones) -> None:
    for _ in range(2):
        assert client.post("/phone", json={"phone": NUMBER}).status_code == 202
    assert len(phones.inbox(NUMBER)) == 1


def test_a_wrong_number_is_refused_in_the_users_language(client: FlaskClient) -> None:
    answer = client.post("/phone", json={"phone": "555-0199"}, headers={"Accept-Language": "es-MX"})
    assert answer.status_code == 422
    assert answer.get_json()["error"].startswith("Escriba el número de teléfono")


def test_a_wrong_code_can_be_entered_again(client: FlaskClient, phones: Phones) -> None:
    client.post("/phone", json={"phone": NUMBER})
    answer = client.post("/phone/code", json={"code": phones.wrong_code(NUMBER)})
    assert (answer.status_code, answer.get_json()["error"].split(". ")[-1]) == (422, "Tries left: 4.")
    assert client.post("/phone/code", json={"code": phones.last_code(NUMBER)}).status_code == 200


def test_another_code_can_be_had_after_a_minute(client: FlaskClient, ringproof: Ringproof, phones: Phones) -> None:
    client.post("/phone", json={"phone": NUMBER})
    ringproof.settle()
    too_early = client.post("/phone", json={"resend": True})
    assert (too_early.status_code, int(too_early.headers["Retry-After"]) > 50) == (429, True)
    ringproof.travel(minutes=1)
    assert client.post("/phone", json={"resend": True}).status_code == 202
    assert len(phones.inbox(NUMBER)) == 2


def test_a_code_expires(client: FlaskClient, ringproof: Ringproof, phones: Phones) -> None:
    client.post("/phone", json={"phone": NUMBER})
    code = phones.last_code(NUMBER)
    ringproof.travel(minutes=16)
    answer = client.post("/phone/code", json={"code": code})
    assert (answer.status_code, answer.get_json()["error"][:22]) == (422, "This code has expired.")


def test_a_number_that_plivo_refuses(client: FlaskClient, ringproof: Ringproof) -> None:
    ringproof.misfortune("400")
    client.post("/phone", json={"phone": NUMBER})
    ringproof.settle()
    answer = client.get("/phone")
    assert (answer.status_code, answer.get_json()["error"][:30]) == (409, "We could not send a code to th")


def test_another_session_learns_nothing(client: FlaskClient, phones: Phones) -> None:
    client.post("/phone", json={"phone": NUMBER})
    code = phones.last_code(NUMBER)
    stranger = app.test_client()
    assert stranger.post("/phone", json={"phone": NUMBER}).status_code == 202, "as for any number"
    assert stranger.get("/phone").json == {"state": "PENDING"}
    assert stranger.post("/phone/code", json={"code": "0000"}).status_code == 422
    assert client.post("/phone/code", json={"code": code}).json == {"state": "VERIFIED"}

"""The project's tests. Ringproof's pytest plugin has a worker and phones; no code is really sent."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from accounts.models import Phone
from ringproof.testing import Phones, Ringproof

pytestmark = pytest.mark.django_db(transaction=True)  # on_commit runs when a transaction really ends

NUMBER = "+14155550123"
ADA = {"username": "ada", "password": "a password", "phone": "+1 (415) 555-0123"}


@pytest.fixture
def client(ringproof: Ringproof) -> Client:
    return Client()


def test_a_user_signs_up_and_verifies_the_number(client: Client, phones: Phones) -> None:
    assert client.post("/sign-up", ADA).status_code == 201
    code = phones.last_code(NUMBER)
    assert client.get("/phone/state").json() == {"state": "SUCCESS"}
    assert Phone.objects.get().verified_at is None
    assert client.post("/phone/code", {"code": code}).json() == {"state": "VERIFIED"}
    assert Phone.objects.get().verified_at is not None


def test_the_page_has_the_form_and_is_protected(client: Client) -> None:
    page = client.get("/").content.decode()
    assert 'type="tel"' in page
    assert "csrfmiddlewaretoken" in page
    assert Client(enforce_csrf_checks=True).post("/sign-up", ADA).status_code == 403


def test_a_wrong_number_leaves_no_user(client: Client) -> None:
    answer = client.post("/sign-up", ADA | {"phone": "555-0199"}, headers={"Accept-Language": "es-MX"})
    assert answer.status_code == 422
    assert answer.json()["errors"]["phone"][0].startswith("Escriba el número de teléfono")
    assert not User.objects.exists()


def test_a_user_who_gets_no_code_is_whole_and_reads_why(client: Client, ringproof: Ringproof) -> None:
    client.post("/sign-up", ADA)
    for _ in range(4):  # a number gets five codes a day
        ringproof.travel(minutes=2)
        client.post("/phone", {"resend": "yes"})
    ringproof.travel(minutes=16)
    answer = Client().post("/sign-up", ADA | {"username": "eve"})
    assert (answer.status_code, answer.json()["error"][:48]) == (
        201,
        "This phone number has received too many codes to",
    )
    assert Phone.objects.get(user__username="eve").request == ""


def test_a_wrong_code_can_be_entered_again(client: Client, phones: Phones) -> None:
    client.post("/sign-up", ADA)
    answer = client.post("/phone/code", {"code": phones.wrong_code(NUMBER)})
    assert (answer.status_code, answer.json()["error"].split(". ")[-1]) == (422, "Tries left: 4.")
    assert client.post("/phone/code", {"code": phones.last_code(NUMBER)}).status_code == 200


def test_another_code_can_be_had_after_a_minute(client: Client, ringproof: Ringproof, phones: Phones) -> None:
    client.post("/sign-up", ADA)
    ringproof.settle()
    too_early = client.post("/phone", {"resend": "yes"})
    assert (too_early.status_code, int(too_early.headers["Retry-After"]) > 50) == (429, True)
    ringproof.travel(minutes=1)
    assert client.post("/phone", {"resend": "yes"}).status_code == 202
    assert len(phones.inbox(NUMBER)) == 2


def test_a_number_that_plivo_refuses(client: Client, ringproof: Ringproof) -> None:
    ringproof.misfortune("400")
    client.post("/sign-up", ADA)
    ringproof.settle()
    answer = client.get("/phone/state")
    assert (answer.status_code, answer.json()["error"][:30]) == (409, "We could not send a code to th")


def test_another_user_learns_nothing(client: Client, phones: Phones) -> None:
    client.post("/sign-up", ADA)
    code = phones.last_code(NUMBER)
    stranger = Client()
    assert stranger.post("/sign-up", ADA | {"username": "eve"}).status_code == 201, "as for any number"
    assert stranger.get("/phone/state").json() == {"state": "PENDING"}
    assert stranger.post("/phone/code", {"code": "0000"}).status_code == 422
    assert client.post("/phone/code", {"code": code}).json() == {"state": "VERIFIED"}


def test_a_visitor_who_has_not_signed_up_is_refused(client: Client) -> None:
    for path in ("/phone", "/phone/code"):
        assert client.post(path).status_code == 403
    assert client.get("/phone/state").status_code == 403
